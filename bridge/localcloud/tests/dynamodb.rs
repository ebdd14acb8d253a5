//! DynamoDB at the level of bytes: hardness, faults and what clients do not show. Its API is held to the service's by
//! official clients elsewhere.

mod wire;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use localcloud::dynamodb::{Dynamodb, DynamodbOptions};
use localcloud::fault::{Faults, Service, ServiceFaults};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use wire::{Answer, deep, request, throw_garbage};

struct World {
    dynamodb: Dynamodb,
    faults: Arc<Faults>,
}

async fn world() -> World {
    let faults = Faults::new(1);
    let options = DynamodbOptions {
        address: ([127, 0, 0, 1], 0).into(),
        region: "us-east-1".to_owned(),
        access_key_id: "KEY".to_owned(),
        faults: Arc::clone(&faults),
    };
    let dynamodb = Dynamodb::start(options).await.expect("a free port");
    dynamodb.create_table("records", "pk", Some("expires_at")).expect("a table");
    World { dynamodb, faults }
}

impl World {
    fn service(&self) -> ServiceFaults {
        self.faults.service(Service::Dynamodb, "us-east-1")
    }

    /// Signs by the service's own clock, as a client does that has learnt it from a `Date` header.
    async fn send(&self, operation: &str, body: &str) -> Option<Answer> {
        self.send_at(self.service().now(), operation, body).await
    }

    async fn send_at(&self, time: SystemTime, operation: &str, body: &str) -> Option<Answer> {
        let date = chrono::DateTime::<chrono::Utc>::from(time).format("%Y%m%dT%H%M%SZ").to_string();
        let credential = "AWS4-HMAC-SHA256 Credential=KEY/20261121/us-east-1/dynamodb/aws4_request, \
                          SignedHeaders=host;x-amz-date, Signature=0";
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
            ("x-amz-date", date.as_str()),
            ("authorization", credential),
        ];
        request(self.dynamodb.address(), "POST", "/", &headers, body.as_bytes()).await
    }

    async fn ask(&self, operation: &str, body: &Value) -> Answer {
        self.send(operation, &body.to_string()).await.expect("an answer")
    }

    async fn put(&self, item: &Value) -> Answer {
        self.ask("PutItem", &json!({ "TableName": "records", "Item": item })).await
    }

    async fn get(&self, key: &str) -> Value {
        let key = json!({ "pk": { "S": key } });
        let answer = self.ask("GetItem", &json!({ "TableName": "records", "Key": key, "ConsistentRead": true })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["Item"].clone()
    }

    fn fault(&self, text: &str) {
        self.faults.add(text.parse().expect("a fault"));
    }
}

fn error(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    let name = json["__type"].as_str().unwrap_or_default();
    (answer.status, name.rsplit('#').next().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request_leave_it_serving() {
    let world = world().await;
    throw_garbage(world.dynamodb.address()).await;
    assert_eq!(world.put(&json!({ "pk": { "S": "a" } })).await.status, 200);
}

#[tokio::test]
async fn bodies_that_are_no_operation_are_refused_in_the_services_words() {
    let world = world().await;
    for (operation, body, expected) in [
        ("PutItem", "", "SerializationException"),
        ("PutItem", "{", "SerializationException"),
        ("PutItem", "[]", "SerializationException"),
        ("PutItem", "\u{0}", "SerializationException"),
        ("PutItem", r#"{"TableName": 7}"#, "SerializationException"),
        ("PutItem", "{}", "ValidationException"),
        ("PutItem", r#"{"TableName": "records", "Item": {"pk": {"Q": "a"}}}"#, "ValidationException"),
        ("PutItem", r#"{"TableName": "records", "Item": {"pk": {"N": "1"}}}"#, "ValidationException"),
        ("GetItem", r#"{"TableName": "none", "Key": {"pk": {"S": "a"}}}"#, "ResourceNotFoundException"),
        ("Explode", "{}", "UnknownOperationException"),
    ] {
        let answer = world.send(operation, body).await.expect("an answer");
        assert_eq!(error(&answer), (400, expected.to_owned()), "{operation} {body}");
    }
    let invalid_utf8 = request(
        world.dynamodb.address(),
        "POST",
        "/",
        &[("x-amz-target", "DynamoDB_20120810.PutItem")],
        b"{\"a\":\"\xff\"}",
    )
    .await;
    assert_eq!(invalid_utf8.unwrap().status, 400);
}

#[tokio::test]
async fn a_value_nested_too_deeply_is_refused_however_deep() {
    let world = world().await;
    for levels in [33, 70, 5_000] {
        let value = deep(r#"{"L":["#, "]}", levels).replace('1', r#"{"S":"x"}"#);
        let body = format!(r#"{{"TableName":"records","Item":{{"pk":{{"S":"a"}},"v":{value}}}}}"#);
        let answer = world.send("PutItem", &body).await.expect("an answer");
        assert_eq!(error(&answer), (400, "ValidationException".to_owned()), "{levels}");
    }
    let value = deep(r#"{"L":["#, "]}", 31).replace('1', r#"{"S":"x"}"#);
    let body = format!(r#"{{"TableName":"records","Item":{{"pk":{{"S":"a"}},"v":{value}}}}}"#);
    assert_eq!(world.send("PutItem", &body).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_body_over_16_mb_is_refused_before_it_is_read() {
    let world = world().await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 17000000000\r\n\r\n";
    let answer = wire::exchange(world.dynamodb.address(), head.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn without_the_access_key_nothing_is_done() {
    let world = world().await;
    let address = world.dynamodb.address();
    let target = ("x-amz-target", "DynamoDB_20120810.ListTables");
    let scope = "20261121/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
    let stranger = format!("AWS4-HMAC-SHA256 Credential=OTHER/{scope}");
    let elsewhere = format!("AWS4-HMAC-SHA256 Credential=KEY/{}", scope.replace("us-east-1", "eu-west-3"));
    let date = ("date", "Sat, 21 Nov 2026 00:00:00 GMT");
    for (headers, expected) in [
        (vec![target], "MissingAuthenticationTokenException"),
        (vec![target, ("authorization", "Bearer x")], "MissingAuthenticationTokenException"),
        (vec![target, ("authorization", "AWS4-HMAC-SHA256 Credential=KEY")], "IncompleteSignatureException"),
        (vec![target, date, ("authorization", &stranger)], "UnrecognizedClientException"),
        (vec![target, date, ("authorization", &elsewhere)], "InvalidSignatureException"),
    ] {
        let answer = request(address, "POST", "/", &headers, b"{}").await.expect("an answer");
        assert_eq!(error(&answer), (400, expected.to_owned()), "{headers:?}");
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_clients_check() {
    let world = world().await;
    let answer = world.put(&json!({ "pk": { "S": "a" } })).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
    // The CRC-32 of `{}`, computed elsewhere.
    assert_eq!(answer.header("x-amz-crc32"), Some("2745614147"));
    assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.0"));
    assert_eq!(answer.header("x-amzn-requestid").map(str::len), Some(52));
}

#[tokio::test]
async fn a_number_comes_back_as_it_was_meant() {
    let world = world().await;
    for number in ["9007199254740993", "0.1", "12345678901234567890123456789012345678", "-0.000001"] {
        world.put(&json!({ "pk": { "S": "n" }, "v": { "N": number } })).await;
        assert_eq!(world.get("n").await["v"], json!({ "N": number }));
    }
}

#[tokio::test]
async fn faults_fail_before_or_after_the_effect() {
    let world = world().await;
    let item = |key: &str| json!({ "pk": { "S": key } });
    world.fault("dynamodb:PutItem:error,count=1");
    assert_eq!(error(&world.put(&item("a")).await), (500, "InternalServerError".to_owned()));
    world.fault("dynamodb:PutItem:error,when=after,count=1");
    assert_eq!(error(&world.put(&item("b")).await), (500, "InternalServerError".to_owned()));
    world.fault("dynamodb:PutItem:drop,when=after,count=1");
    assert!(world.send("PutItem", &json!({ "TableName": "records", "Item": item("c") }).to_string()).await.is_none());
    world.fault("dynamodb:*:throttle,count=2");
    let names = [error(&world.put(&item("d")).await).1, error(&world.put(&item("d")).await).1];
    assert!(names.contains(&"ThrottlingException".to_owned()), "{names:?}");
    assert!(names.contains(&"ProvisionedThroughputExceededException".to_owned()), "{names:?}");
    assert_eq!(world.get("a").await, Value::Null);
    assert_eq!(world.get("b").await, item("b"));
    assert_eq!(world.get("c").await, item("c"));
    assert_eq!(world.get("d").await, Value::Null);
    let counts: Vec<(String, String, u64)> =
        world.faults.counts().into_iter().map(|row| (row.operation, row.status, row.count)).collect();
    let row = |operation: &str, status: &str, count| (operation.to_owned(), status.to_owned(), count);
    assert_eq!(
        counts,
        [row("GetItem", "200", 4), row("PutItem", "400", 2), row("PutItem", "500", 2), row("PutItem", "dropped", 1)]
    );
}

#[tokio::test]
async fn darkness_cuts_idle_connections_and_refuses_new_ones() {
    let world = world().await;
    let mut idle = TcpStream::connect(world.dynamodb.address()).await.unwrap();
    // A whole request first, so that the connection is surely accepted.
    let ask = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut idle, ask.as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    assert!(idle.read(&mut buffer).await.unwrap() > 0);
    world.fault("aws:*:dark");
    let end = tokio::time::timeout(Duration::from_secs(5), idle.read(&mut buffer))
        .await
        .expect("the connection was left open");
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    // Nothing is sent, so that it is the connection that is refused, not a call.
    let mut refused = TcpStream::connect(world.dynamodb.address()).await.unwrap();
    let end =
        tokio::time::timeout(Duration::from_secs(5), refused.read(&mut buffer)).await.expect("a connection was taken");
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    world.faults.clear();
    assert_eq!(world.ask("ListTables", &json!({})).await.json(), json!({ "TableNames": ["records"] }));
}

#[tokio::test]
async fn a_shifted_clock_expires_items_and_is_told_to_clients() {
    let world = world().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let month = 30 * 86_400;
    world.put(&json!({ "pk": { "S": "tombstone" }, "expires_at": { "N": (now + month).to_string() } })).await;
    world.put(&json!({ "pk": { "S": "later" }, "expires_at": { "N": (now + 3 * month).to_string() } })).await;
    world.service().set_clock_offset(i64::try_from(2 * month * 1_000).unwrap());
    let refused = world.send_at(SystemTime::now(), "ListTables", "{}").await.unwrap();
    assert_eq!(error(&refused), (400, "InvalidSignatureException".to_owned()));
    let told = chrono::DateTime::parse_from_rfc2822(refused.header("date").unwrap()).unwrap();
    assert!(SystemTime::from(told) > SystemTime::now() + Duration::from_secs(month));
    // The sweep runs on another thread, a second after the one that the new table got.
    tokio::time::timeout(Duration::from_secs(10), async {
        while !world.get("tombstone").await.is_null() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the expired item stayed");
    assert_eq!(world.get("later").await["pk"], json!({ "S": "later" }));
}

#[tokio::test]
async fn a_stopped_server_lets_its_port_go_and_does_not_wait_for_idle_clients() {
    let world = world().await;
    let address = world.dynamodb.address();
    let _idle = TcpStream::connect(address).await.unwrap();
    tokio::time::timeout(Duration::from_secs(2), world.dynamodb.stop()).await.expect("it waits for an idle client");
    std::net::TcpListener::bind(address).expect("the port is free");
}

#[tokio::test]
async fn only_loopback_is_served() {
    let options = DynamodbOptions {
        address: ([0, 0, 0, 0], 0).into(),
        region: "us-east-1".to_owned(),
        access_key_id: "KEY".to_owned(),
        faults: Faults::new(1),
    };
    let error = Dynamodb::start(options).await.err().expect("it listens to the world");
    assert!(error.to_string().contains("not a loopback address"), "{error}");
}

#[tokio::test]
async fn a_permission_can_be_missing() {
    let world = world().await;
    world.fault("dynamodb:PutItem:denied,count=1");
    assert_eq!(error(&world.put(&json!({ "pk": { "S": "a" } })).await), (400, "AccessDeniedException".to_owned()));
    assert_eq!(world.get("a").await, Value::Null);
}

#[tokio::test]
async fn replicas_are_noted_and_shown() {
    let world = world().await;
    let update = async |change: Value| {
        world.ask("UpdateTable", &json!({ "TableName": "records", "ReplicaUpdates": [change] })).await
    };
    let described =
        async || world.ask("DescribeTable", &json!({ "TableName": "records" })).await.json()["Table"].clone();
    let region = |name: &str| json!({ "RegionName": name });
    assert_eq!(described().await.get("Replicas"), None);
    let answer = update(json!({ "Create": region("eu-west-1") })).await;
    assert_eq!(
        (answer.status, answer.json()["TableDescription"]["Replicas"][0]["RegionName"].clone()),
        (200, json!("eu-west-1"))
    );
    let table = described().await;
    assert_eq!(table["Replicas"], json!([{ "RegionName": "eu-west-1", "ReplicaStatus": "ACTIVE" }]));
    assert_eq!(
        (table["GlobalTableVersion"].clone(), table["KeySchema"][0]["AttributeName"].clone()),
        (json!("2019.11.21"), json!("pk"))
    );
    for wrong in [json!({ "Create": region("us-east-1") }), json!({ "Delete": region("eu-west-2") })] {
        assert_eq!(error(&update(wrong).await), (400, "ValidationException".to_owned()));
    }
    update(json!({ "Delete": region("eu-west-1") })).await;
    assert_eq!(described().await.get("Replicas"), None);
    let missing = json!({ "TableName": "none", "ReplicaUpdates": [{ "Create": region("eu-west-1") }] });
    assert_eq!(error(&world.ask("UpdateTable", &missing).await), (400, "ResourceNotFoundException".to_owned()));
}
