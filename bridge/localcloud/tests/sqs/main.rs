//! SQS at the level of bytes: what no client sends, what clients do not show, faults, and waiting. Its API is held to
//! the service's by official clients elsewhere.

#[path = "../wire/mod.rs"]
mod wire;

mod faults;
mod protocol;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use localcloud::fault::{Faults, Service, ServiceFaults};
use localcloud::sqs::{Code, Counts, Sqs, SqsOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::{Answer, deep, exchange, request, throw_garbage};

struct World {
    sqs: Sqs,
    faults: Arc<Faults>,
    queue_url: String,
}

async fn world() -> World {
    let faults = Faults::new(1);
    let options = SqsOptions {
        address: ([127, 0, 0, 1], 0).into(),
        region: "us-east-1".to_owned(),
        account: "000000000000".to_owned(),
        access_key_id: "KEY".to_owned(),
        faults: Arc::clone(&faults),
    };
    let sqs = Sqs::start(options).await.expect("a free port");
    let queue_url = sqs.create_queue("q", &[]).expect("a queue");
    World { sqs, faults, queue_url }
}

const CREDENTIAL: &str = "AWS4-HMAC-SHA256 Credential=KEY/20261121/us-east-1/sqs/aws4_request, \
    SignedHeaders=host;x-amz-date, Signature=0";

/// A request's bytes, over a connection that stays open.
fn request_bytes(address: SocketAddr, target: &str, body: &[u8]) -> Vec<u8> {
    let date = date(SystemTime::now());
    let length = body.len();
    let mut bytes = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\nauthorization: {CREDENTIAL}\r\nx-amz-date: {date}\r\n\
         x-amz-target: {target}\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend(body);
    bytes
}

fn date(time: SystemTime) -> String {
    chrono::DateTime::<chrono::Utc>::from(time).format("%Y%m%dT%H%M%SZ").to_string()
}

impl World {
    fn service(&self) -> ServiceFaults {
        self.faults.service(Service::Sqs, "us-east-1")
    }

    fn address(&self) -> SocketAddr {
        self.sqs.endpoint().strip_prefix("http://").expect("plain HTTP").parse().expect("an address")
    }

    async fn send_raw(&self, target: &str, body: &[u8]) -> Option<Answer> {
        let date = date(self.service().now());
        let headers = [("x-amz-target", target), ("x-amz-date", date.as_str()), ("authorization", CREDENTIAL)];
        request(self.address(), "POST", "/", &headers, body).await
    }

    async fn ask(&self, action: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.send_raw(&format!("AmazonSQS.{action}"), body.as_bytes()).await.expect("an answer")
    }

    /// Asks about the queue `q`, for the answer's members.
    async fn on_queue(&self, action: &str, mut body: Value) -> Value {
        body["QueueUrl"] = json!(self.queue_url);
        let answer = self.ask(action, &body).await;
        assert_eq!(answer.status, 200, "{action}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    async fn send(&self, body: &str) {
        self.on_queue("SendMessage", json!({ "MessageBody": body })).await;
    }

    async fn bodies(&self, wish: Value) -> Vec<String> {
        let answer = self.on_queue("ReceiveMessage", wish).await;
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        messages.iter().map(|message| message["Body"].as_str().expect("a body").to_owned()).collect()
    }

    fn counts(&self) -> (usize, usize, usize) {
        let Counts { visible, in_flight, delayed } = self.sqs.counts("q").expect("the queue");
        (visible, in_flight, delayed)
    }

    fn inject(&self, fault: &str) {
        self.faults.add(fault.parse().expect("a fault"));
    }

    async fn still_serves(&self) {
        self.send("still here").await;
        assert_eq!(self.bodies(json!({})).await, ["still here"]);
    }
}

/// The error's shape, its code for older clients, and the status.
fn error(answer: &Answer) -> (String, String, u16) {
    let shape = answer.json()["__type"].as_str().expect("a type").to_owned();
    (shape, answer.header("x-amzn-query-error").unwrap_or_default().to_owned(), answer.status)
}

fn named(shape: &str, code: &str, status: u16) -> (String, String, u16) {
    (shape.to_owned(), code.to_owned(), status)
}

#[tokio::test]
async fn queues_are_created_from_within_as_from_without() {
    let world = world().await;
    assert_eq!(world.sqs.create_queue("q", &[]), Ok(world.queue_url.clone()));
    assert_eq!(world.queue_url, format!("{}/000000000000/q", world.sqs.endpoint()));
    let code =
        |name: &str, attributes: &[(&str, &str)]| world.sqs.create_queue(name, attributes).map_err(|error| error.code);
    assert_eq!(code("q", &[("DelaySeconds", "1")]), Err(Code::QueueNameExists));
    assert_eq!(code("q q", &[]), Err(Code::InvalidParameterValue));
    assert_eq!(code("r", &[("DelaySeconds", "901")]), Err(Code::InvalidAttributeValue));
    assert_eq!(world.sqs.counts("r"), None);
}

#[tokio::test]
async fn only_loopback_is_served() {
    let options = SqsOptions {
        address: ([0, 0, 0, 0], 0).into(),
        region: "us-east-1".to_owned(),
        account: "000000000000".to_owned(),
        access_key_id: "KEY".to_owned(),
        faults: Faults::new(1),
    };
    let error = Sqs::start(options).await.err().expect("a refusal");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
