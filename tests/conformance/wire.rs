//! What adapters ask of services in so many words, and what they make of answers that localcloud does not give.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING},
    },
};
use bridge_adapters::{
    aws::{AwsClients, AwsOptions, DynamodbStore},
    azure::{
        CosmosOptions, CosmosStore,
        service_bus::{ServiceBusOptions, ServiceBusQueue},
    },
};
use bridge_core::{
    event::Op,
    failure::{FailureKind, Recovery},
    port::{Place, Queue, Store},
};
use bridge_tests::{
    at, changed,
    cloud::{aws_options, cosmos_options, local_cloud, runtime, skipped, url},
    event, message, unique,
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use crate::{
    backends::{service_bus_options, sqs_queue},
    record,
};

/// Its status, what it says of waiting, and its body.
type Answer = (u16, Option<&'static str>, &'static str);

/// What a proxy, a login page or a gateway says that has kept nothing.
const LIES: [(u16, &str); 6] =
    [(200, "<html>log in</html>"), (200, ""), (200, "{}"), (202, ""), (204, ""), (206, "{}")];

/// What AWS' services say with each answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

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
            let mut headers =
                HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"))]);
            headers.extend(wait.map(|wait| (RETRY_AFTER, HeaderValue::from_static(wait))));
            if !LIES.contains(&(status, body)) || body == "{}" && status == 200 {
                headers.insert(REQUEST_ID, HeaderValue::from_static("r"));
            }
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

#[test]
fn an_answer_that_is_not_the_services_is_no_success() {
    runtime().block_on(async {
        let service = Service::start().await;
        let options = service_bus_options(local_cloud(), "queue", |text| text);
        let queue = ServiceBusQueue::new(ServiceBusOptions { http_endpoint: Some(url(&service.address)), ..options });
        let store = DynamodbStore::new(service.aws().await.dynamodb, "table");
        let event = event("k", at(0));
        for (status, body) in LIES {
            *service.answer.lock().unwrap() = (status, None, body);
            let error = queue.send(&[message("x")]).await.remove(0).unwrap_err();
            assert_eq!(error.kind, FailureKind::Unavailable, "{status} {body:?}: {}", error.chain());
            if (status, body) != (200, "{}") {
                let error = store.put_if_newer(&record(&event)).await.unwrap_err();
                assert!(error.kind.recovery() == Recovery::Retry, "{status} {body:?}: {}", error.chain());
                assert!(store.get(&event.key).await.is_err(), "{status} {body:?}");
            }
        }
    });
}

/// In front of localcloud's Cosmos DB: passes all on, but for writes of items, which get another answer.
async fn lying_cosmos(lie: Arc<Mutex<(u16, &'static str)>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (own, real) = (address.clone(), local_cloud().azure()[0].site.cosmos_endpoint.trim_end_matches('/').to_owned());
    let client = reqwest::Client::new();
    let router = Router::new().fallback(async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (status, text) = *lie.lock().unwrap();
        let writes = method == Method::PUT || method == Method::POST && uri.path().ends_with("/docs");
        let mut headers = headers;
        headers.remove(HOST);
        if writes && !headers.contains_key("x-ms-documentdb-isquery") {
            return (StatusCode::from_u16(status).unwrap(), HeaderMap::new(), text.to_owned());
        }
        let passed = client
            .request(method, format!("{real}{}", uri.path_and_query().unwrap()))
            .headers(headers)
            .body(body)
            .send()
            .await
            .unwrap();
        let (status, mut headers) = (passed.status(), passed.headers().clone());
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        // The account says where it is, and the SDK goes there.
        (status, headers, passed.text().await.unwrap().replace(&real, &own))
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[test]
fn an_answer_that_is_not_cosmos_dbs_is_no_write() {
    if skipped("cosmos", "an answer that is not Cosmos DB's") {
        return;
    }
    runtime().block_on(async {
        let lie = Arc::new(Mutex::new(LIES[0]));
        let endpoint = url(&lying_cosmos(Arc::clone(&lie)).await);
        let liar = CosmosStore::new(CosmosOptions { endpoint, ..cosmos_options(local_cloud()) }).unwrap();
        let honest = CosmosStore::new(cosmos_options(local_cloud())).unwrap();
        let key = unique("lie");
        let create = changed(&event(&key, at(1)), |change| change.op = Op::Create);
        honest.put_if_newer(&record(&event(&format!("{key}-there"), at(1)))).await.unwrap();
        for (status, body) in LIES.into_iter().chain([(201, ""), (304, "")]) {
            *lie.lock().unwrap() = (status, body);
            for event in [&create, &event(&format!("{key}-there"), at(2))] {
                let error = liar.put_if_newer(&record(event)).await.expect_err(&format!("{status} {body:?}"));
                let found =
                    error.kind.recovery() == Recovery::Retry && error.chain().contains("that is not Cosmos DB's");
                assert!(found || status == 304, "{status} {body:?}: {}", error.chain());
            }
        }
        assert!(honest.get(&create.key).await.unwrap().is_none());
    });
}
