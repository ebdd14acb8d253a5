//! What adapters ask of services in so many words, and what they make of answers that localcloud does not give.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
};
use bridge_adapters::{
    aws::{AwsClients, AwsOptions, DynamodbStore},
    azure::service_bus::{ServiceBusOptions, ServiceBusQueue},
};
use bridge_core::{
    failure::FailureKind,
    port::{Place, Queue, Store},
};
use bridge_tests::{
    cloud::{aws_options, local_cloud, runtime, url},
    message,
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use crate::backends::{service_bus_options, sqs_queue};

/// Its status, what it says of waiting, and its body.
type Answer = (u16, Option<&'static str>, &'static str);

/// A service that answers everything alike.
struct Service {
    address: String,
    /// The bodies of its requests.
    asked: UnboundedReceiver<String>,
    answer: Arc<Mutex<Answer>>,
}

impl Service {
    async fn start() -> Self {
        let (told, asked) = unbounded_channel();
        let answer = Arc::new(Mutex::new((200, None, "{}")));
        let answering = Arc::clone(&answer);
        let router = Router::new().fallback(async move |body: String| {
            told.send(body).unwrap();
            let (status, wait, body) = *answering.lock().unwrap();
            let fixed = HeaderValue::from_static;
            let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, fixed("application/x-amz-json-1.0"))]);
            // Without one, an answer is not the service's.
            headers.insert("x-amzn-requestid", fixed("a-request"));
            headers.extend(wait.map(|wait| (RETRY_AFTER, fixed(wait))));
            (StatusCode::from_u16(status).unwrap(), headers, body)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked, answer }
    }

    /// The next request's body.
    async fn asked(&mut self) -> Value {
        serde_json::from_str(&self.asked.recv().await.unwrap()).unwrap()
    }

    async fn aws(&self) -> AwsClients {
        let address = || Some(url(&self.address));
        let options = aws_options(local_cloud(), None);
        AwsClients::new(&AwsOptions { sqs_endpoint: address(), dynamodb_endpoint: address(), ..options }).await.unwrap()
    }
}

/// What is hidden for longer than its holder needs it waits in vain, should the holder die.
#[test]
fn sqs_is_asked_to_hide_for_a_lease_and_for_two_minutes_at_a_look() {
    runtime().block_on(async {
        let mut service = Service::start().await;
        let queue = sqs_queue(&service.aws().await, format!("{}/1/queue", service.address));
        queue.receive(1, Duration::ZERO).await.unwrap();
        assert_eq!(service.asked().await["VisibilityTimeout"], queue.lease().as_secs());
        queue.browse(&mut Place::default(), 1).await.unwrap();
        assert_eq!(service.asked().await["VisibilityTimeout"], 120);
    });
}

/// localcloud has one copy of a table, which is never behind.
#[test]
fn a_read_of_dynamodb_asks_for_the_latest_write() {
    runtime().block_on(async {
        let mut service = Service::start().await;
        let store = DynamodbStore::new(service.aws().await.dynamodb, "table");
        assert!(store.get(&"k".parse().unwrap()).await.unwrap().is_none());
        assert_eq!(service.asked().await["ConsistentRead"], true);
    });
}

/// The right table answers every legal key, so a refusal in words that nobody knows yet is no fault of a record.
#[test]
fn a_read_that_dynamodb_refuses_shows_another_table() {
    runtime().block_on(async {
        let service = Service::start().await;
        let store = DynamodbStore::new(service.aws().await.dynamodb, "table");
        let refusal = r#"{"__type": "com.amazon.coral.validate#ValidationException", "message": "Words of next year"}"#;
        *service.answer.lock().unwrap() = (400, None, refusal);
        let error = store.get(&"k".parse().unwrap()).await.unwrap_err();
        let detail = "ValidationException: Words of next year".to_owned();
        assert_eq!(error.kind, FailureKind::Misshapen { detail }, "{}", error.chain());
    });
}

#[test]
fn what_service_bus_answers_over_http_has_its_kind() {
    runtime().block_on(async {
        let service = Service::start().await;
        let options = service_bus_options(local_cloud(), "queue", |text| text);
        let queue = ServiceBusQueue::new(ServiceBusOptions { http_endpoint: Some(url(&service.address)), ..options });
        let waits = |seconds| FailureKind::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
        let does_not_wait = FailureKind::Throttled { retry_after: None };
        // One byte of body, and what the service counts beside it.
        let too_large = FailureKind::TooLarge { size_bytes: 129, limit_bytes: 256 * 1024 };
        let refused = |status| FailureKind::Rejected { detail: format!("HTTP {status} {{}}") };

        for (status, wait, kind) in [
            (400, None, refused(400)),
            (401, None, FailureKind::Unauthorized),
            (403, None, does_not_wait.clone()),
            (404, None, FailureKind::Missing),
            (408, None, FailureKind::TimedOut),
            (410, None, FailureKind::Missing),
            (413, None, too_large),
            (429, None, does_not_wait),
            (429, Some("7"), waits(7)),
            (431, None, refused(431)),
            (500, None, FailureKind::Unavailable),
            (503, None, FailureKind::Unavailable),
            (503, Some("3"), waits(3)),
            (504, None, FailureKind::TimedOut),
        ] {
            *service.answer.lock().unwrap() = (status, wait, "{}");
            let error = queue.send(&[message("x")]).await.remove(0).unwrap_err();
            assert_eq!(error.kind, kind, "{status}, {wait:?}: {}", error.chain());
        }
    });
}
