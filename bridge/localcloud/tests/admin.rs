//! The way to the faults from outside, and both clouds put together.

mod wire;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use localcloud::fault::{Failure, Service};
use localcloud::{AwsOptions, AzureOptions, LocalCloud, Options};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use wire::{Answer, request};

/// Ports of the system's choice, so that tests run side by side.
fn options() -> Options {
    Options { azure: vec![azure()], ..Options::default() }
}

fn azure() -> AzureOptions {
    AzureOptions { service_bus_port: 0, ..AzureOptions::new("westeurope") }
}

async fn cloud() -> LocalCloud {
    LocalCloud::start(options()).await.expect("free ports")
}

async fn ask(cloud: &LocalCloud, method: &str, path: &str, body: &str) -> Answer {
    let address = cloud.admin().trim_start_matches("http://").parse().expect("an address");
    request(address, method, path, &[], body.as_bytes()).await.expect("an answer")
}

#[tokio::test]
async fn faults_are_started_listed_and_ended() {
    let cloud = cloud().await;
    let text = "sqs:*:latency,fixed=5ms\n\n dynamodb:PutItem:drop,when=after,count=2 \n";
    assert_eq!(ask(&cloud, "POST", "/faults", text).await.json(), json!({ "ids": [1, 2] }));
    let one = json!({ "service": "cosmos", "kind": "error" }).to_string();
    assert_eq!(ask(&cloud, "POST", "/faults", &one).await.json(), json!({ "ids": [3] }));
    let many = json!([{ "service": "azure", "kind": "dark", "for": "1h" }]).to_string();
    assert_eq!(ask(&cloud, "POST", "/faults", &many).await.status, 201);
    let cosmos = cloud.faults().service(Service::Cosmos, "westeurope");
    assert_eq!(cosmos.judge("read-item").before, Some(Failure::Error));
    assert_eq!(
        ask(&cloud, "GET", "/health", "").await.json()["dark"],
        json!(["service-bus@westeurope", "cosmos@westeurope"])
    );
    assert_eq!(ask(&cloud, "DELETE", "/faults/4", "").await.status, 200);
    assert_eq!(ask(&cloud, "DELETE", "/faults/4", "").await.status, 404);
    let listed = ask(&cloud, "GET", "/faults", "").await.json();
    let expected = json!([
        { "id": 1, "hits": 0, "service": "sqs", "operation": "*", "kind": "latency", "fixed": "5ms", "jitter": "0ms" },
        { "id": 2, "hits": 0, "service": "dynamodb", "operation": "PutItem", "kind": "drop", "when": "after", "count": 2 },
        { "id": 3, "hits": 1, "service": "cosmos", "operation": "*", "kind": "error", "when": "before" },
    ]);
    assert_eq!(listed["faults"], expected);
    assert_eq!(ask(&cloud, "DELETE", "/faults", "").await.json(), json!({ "removed": 3 }));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_what_can() {
    let cloud = cloud().await;
    for (method, path, body, status, words) in [
        ("POST", "/faults", "", 400, "no fault"),
        ("POST", "/faults", "sqs:*:drop\ns3:*:drop", 400, "allowed: sqs"),
        ("POST", "/faults", "{}", 400, "service"),
        ("POST", "/faults", "[{]", 400, "key must be"),
        ("DELETE", "/faults/x", "", 404, "no live fault"),
        ("POST", "/faults", "sqs:*:drop\nsqs@eu-west-1:*:drop", 400, "`sqs@eu-west-1`; there are sqs@us-east-1"),
        ("PUT", "/clocks/s3", "{}", 404, "service-bus"),
        ("PUT", "/clocks/cosmos@eastus", "{}", 404, "cosmos@westeurope"),
        ("POST", "/cut/aws@westeurope", "", 404, "sqs@us-east-1"),
        ("POST", "/cut/s3", "", 404, "allowed: sqs"),
        ("PUT", "/clocks/sqs", "{\"offset_ms\": 1e99}", 400, "offset_ms"),
        ("GET", "/requests?service=s3", "", 404, "dynamodb"),
        ("GET", "/nowhere", "", 404, "/faults"),
    ] {
        let answer = ask(&cloud, method, path, body).await;
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == status && error.contains(words), "{method} {path} {body}: {answer:?}");
    }
    assert_eq!(cloud.faults().list(), [], "of several faults, none is started if one is refused");
}

#[tokio::test]
async fn pages_of_other_origins_are_kept_out() {
    let cloud = cloud().await;
    let address = cloud.admin().trim_start_matches("http://").parse().unwrap();
    for (origin, status) in [
        ("https://example.com", 403),
        ("http://127.0.0.1.example.com", 403),
        ("null", 403),
        ("http://127.0.0.1:8080", 200),
        ("http://localhost:3000", 200),
    ] {
        let answer = request(address, "GET", "/health", &[("origin", origin)], b"").await.unwrap();
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test]
async fn calls_are_counted_until_the_count_is_taken() {
    let cloud = cloud().await;
    let dynamodb = cloud.aws()[0].site.dynamodb_endpoint.trim_start_matches("http://").parse().unwrap();
    let target = [("x-amz-target", "DynamoDB_20120810.ListTables")];
    for _ in 0..3 {
        request(dynamodb, "POST", "/", &target, b"{}").await.unwrap();
    }
    let expected = json!([
        { "service": "dynamodb", "region": "us-east-1", "operation": "ListTables", "status": "400", "count": 3 },
    ]);
    assert_eq!(ask(&cloud, "GET", "/requests?service=sqs", "").await.json()["requests"], json!([]));
    assert_eq!(ask(&cloud, "GET", "/requests", "").await.json()["requests"], expected);
    assert_eq!(ask(&cloud, "DELETE", "/requests", "").await.json()["requests"], expected);
    assert_eq!(ask(&cloud, "GET", "/requests", "").await.json()["requests"], json!([]));
}

#[tokio::test]
async fn usage_tells_what_each_service_holds() {
    let cloud = cloud().await;
    let of_all = |sqs: usize| {
        json!({
            "sqs@us-east-1": { "connections": sqs, "messages": 0, "sent": 0 },
            "dynamodb@us-east-1": { "connections": 0 },
            "service-bus@westeurope": { "connections": 0, "links": 0, "waiting": 0, "messages": 0, "sent": 0 },
            "cosmos@westeurope": { "connections": 0 },
        })
    };
    assert_eq!(ask(&cloud, "GET", "/usage", "").await.json(), of_all(0));
    let sqs: SocketAddr = cloud.aws()[0].site.sqs_endpoint.trim_start_matches("http://").parse().unwrap();
    let connection = tokio::net::TcpStream::connect(sqs).await.unwrap();
    become_usage(&cloud, &of_all(1)).await;
    drop(connection);
    become_usage(&cloud, &of_all(0)).await;
}

/// Idle ones and half-sent ones, of every protocol, at one moment; other services' and later ones go on.
#[tokio::test]
async fn every_open_connection_of_a_service_is_cut() {
    let cloud = cloud().await;
    let (aws, azure, bus) = (&cloud.aws()[0].site, &cloud.azure()[0].site, &cloud.azure()[0].service_bus);
    let http = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').parse::<SocketAddr>().unwrap();
    let half = &b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345"[..];
    for (name, address, half) in [
        ("sqs@us-east-1", http(&aws.sqs_endpoint), half),
        ("dynamodb@us-east-1", http(&aws.dynamodb_endpoint), half),
        ("cosmos@westeurope", http(&azure.cosmos_endpoint), half),
        ("service-bus@westeurope", bus.http_address(), half),
        ("service-bus@westeurope", bus.amqp_address(), b"AMQP\0\x01"),
    ] {
        let other = if name.starts_with("sqs") { bus.amqp_address() } else { http(&aws.sqs_endpoint) };
        let mut kept = tokio::net::TcpStream::connect(other).await.unwrap();
        let mut cut = [(); 2].map(|()| std::net::TcpStream::connect(address).unwrap());
        cut[1].write_all(half).unwrap();
        become_connections(&cloud, name, 2).await;
        let answer = ask(&cloud, "POST", &format!("/cut/{}", name.split('@').next().unwrap_or_default()), "").await;
        assert_eq!(answer.json(), json!({ "cut": { name: 2 } }));
        become_connections(&cloud, name, 0).await;
        for stream in &mut cut {
            let end = stream.read(&mut [0; 64]).map_err(|error| error.kind());
            assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset), "{name} at {address}");
        }
        let silence = tokio::time::timeout(Duration::from_millis(20), kept.read_u8()).await;
        assert!(silence.is_err(), "{name}: another service's connection was cut");
        let _new = tokio::net::TcpStream::connect(address).await.unwrap();
        become_connections(&cloud, name, 1).await;
        assert_eq!(ask(&cloud, "POST", "/cut/*", "").await.json()["cut"][name], 1);
        become_connections(&cloud, name, 0).await;
    }
}

async fn become_connections(cloud: &LocalCloud, service: &str, wanted: usize) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let open = ask(cloud, "GET", "/usage", "").await.json()[service]["connections"].clone();
        if open == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{service}: {open} connections instead of {wanted}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Connections open and close a little after the client thinks they did.
async fn become_usage(cloud: &LocalCloud, wanted: &Value) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let usage = ask(cloud, "GET", "/usage", "").await.json();
        if usage == *wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{usage} instead of {wanted}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_sites_have_every_key_of_the_ready_file() {
    let cloud = cloud().await;
    let sites = serde_json::to_value(cloud.sites()).unwrap();
    let keys = |site: &str| -> Vec<String> { sites[site].as_object().unwrap().keys().cloned().collect() };
    let mut aws = vec!["cloud", "region", "access_key_id", "secret_access_key", "sqs_endpoint", "queue_url"];
    aws.extend(["dead_letter_queue_url", "dynamodb_endpoint", "table"]);
    let mut azure = vec!["cloud", "region", "service_bus_connection_string", "service_bus_http_endpoint", "queue"];
    azure.extend(["dead_letter_queue", "cosmos_endpoint", "cosmos_key", "database", "container"]);
    for (site, mut wanted) in [("aws:us-east-1", aws), ("azure:westeurope", azure)] {
        wanted.sort_unstable();
        assert_eq!(keys(site), wanted);
        assert!(sites[site].as_object().unwrap().values().all(Value::is_string));
    }
}

fn with_aws(aws: AwsOptions) -> Options {
    Options { aws: vec![aws], ..options() }
}

fn with_azure(azure: AzureOptions) -> Options {
    Options { azure: vec![azure], ..Options::default() }
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (options, words) in [
        (with_azure(AzureOptions { cosmos_port: port, ..azure() }), "--cosmos-port"),
        (with_aws(AwsOptions { dynamodb_port: port, ..AwsOptions::new("us-east-1") }), "--dynamodb-port"),
        (with_aws(AwsOptions { sqs_port: port, ..AwsOptions::new("us-east-1") }), "--sqs-port"),
        (Options { admin_port: port, ..options() }, "--admin-port"),
        (with_azure(AzureOptions { service_bus_port: port, ..azure() }), "--service-bus-address 127.0.0.2"),
        (with_azure(AzureOptions { service_bus_address: [192, 0, 2, 1].into(), ..azure() }), "stays on this machine"),
    ] {
        let error = LocalCloud::start(options).await.err().expect("the port is taken").to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn it_starts_and_stops_well_under_a_second() {
    let begun = std::time::Instant::now();
    cloud().await.stop().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
}
