//! Cosmos DB at the level of bytes: hardness, keys and what clients do not show. Its API is held to the service's by
//! official clients elsewhere.

mod wire;

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use localcloud::cosmos::{Cosmos, CosmosOptions};
use localcloud::fault::{Faults, Service, ServiceFaults};
use localcloud::http::http_date;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use wire::{Answer, deep, request, throw_garbage};

const KEY: &[u8] = b"a key of the account";
const ITEMS: &str = "/dbs/shop/colls/records/docs";

struct World {
    cosmos: Cosmos,
    faults: Arc<Faults>,
}

async fn world() -> World {
    world_written_in(None).await
}

/// An account that takes writes in a second region too, if there is one.
async fn world_written_in(second: Option<&str>) -> World {
    let faults = Faults::new(1);
    let options = CosmosOptions {
        address: ([127, 0, 0, 1], 0).into(),
        key: STANDARD.encode(KEY),
        region: "westeurope".to_owned(),
        second_write_region: second.map(str::to_owned),
        faults: Arc::clone(&faults),
    };
    let cosmos = Cosmos::start(options).await.expect("a free port");
    cosmos.create_database("shop").await.expect("a database");
    cosmos.create_container("shop", "records", "/pk", Some(-1)).await.expect("a container");
    World { cosmos, faults }
}

impl World {
    fn service(&self) -> ServiceFaults {
        self.faults.service(Service::Cosmos, "westeurope")
    }

    /// A call with a bearer token, in the partition `p`.
    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = encoded(&format!("type=aad&ver=1.0&sig={}", token(4_000_000_000)));
        let headers = [("authorization", authorization.as_str()), ("x-ms-documentdb-partitionkey", "[\"p\"]")];
        request(self.cosmos.address(), method, path, &headers, body.as_bytes()).await.expect("an answer")
    }

    async fn create(&self, item: &Value) -> Answer {
        self.ask("POST", ITEMS, &item.to_string()).await
    }

    /// A read signed with the account key over a link of the caller's choice.
    async fn signed_read(&self, path: &str, link: &str, date: &str) -> u16 {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY).expect("any length will do");
        mac.update(format!("get\ndocs\n{link}\n{}\n\n", date.to_lowercase()).as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let authorization = encoded(&format!("type=master&ver=1.0&sig={signature}"));
        let headers = [
            ("authorization", authorization.as_str()),
            ("x-ms-date", date),
            ("x-ms-documentdb-partitionkey", "[\"p\"]"),
        ];
        request(self.cosmos.address(), "GET", path, &headers, b"").await.expect("an answer").status
    }
}

fn token(expires: u64) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(json!({ "alg": "RS256" })), part(json!({ "exp": expires })))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request_leave_it_serving() {
    let world = world().await;
    throw_garbage(world.cosmos.address()).await;
    assert_eq!(world.create(&json!({ "id": "a", "pk": "p" })).await.status, 201);
}

#[tokio::test]
async fn bodies_that_are_no_item_are_refused() {
    let world = world().await;
    let array = deep("[", "]", 100_000);
    for body in ["", "{", "[]", "7", "null", "\u{0}", r#"{"pk":"p"}"#, r#"{"id":7,"pk":"p"}"#, array.as_str()] {
        let answer = world.ask("POST", ITEMS, body).await;
        assert_eq!(answer.status, 400, "{}: {answer:?}", &body[..body.len().min(20)]);
        assert_eq!(answer.json()["code"], "BadRequest");
    }
    // Bodies that begin like Cosmos's binary JSON, and go on like nothing at all.
    let mut rng = fastrand::Rng::with_seed(3);
    let authorization = encoded(&format!("type=aad&ver=1.0&sig={}", token(4_000_000_000)));
    let headers = [("authorization", authorization.as_str()), ("x-ms-documentdb-partitionkey", "[\"p\"]")];
    for _ in 0..300 {
        let body: Vec<u8> = std::iter::once(0x80).chain((0..rng.usize(0..64)).map(|_| rng.u8(..))).collect();
        let answer = request(world.cosmos.address(), "POST", ITEMS, &headers, &body).await.expect("an answer");
        assert_eq!(answer.status, 400, "{body:02x?}");
    }
    assert_eq!(world.create(&json!({ "id": "a", "pk": "p" })).await.status, 201);
}

/// Clients tell by the substatus that the container is partitioned by something else.
#[tokio::test]
async fn an_item_of_another_partition_is_refused_as_the_service_does_it() {
    let world = world().await;
    assert_eq!(world.create(&json!({ "id": "a", "pk": "p" })).await.status, 201);
    let other = json!({ "id": "a", "pk": "q" }).to_string();
    for (method, path) in [("POST", ITEMS.to_owned()), ("PUT", format!("{ITEMS}/a"))] {
        for body in [other.as_str(), r#"{"id":"a"}"#] {
            let answer = world.ask(method, &path, body).await;
            assert_eq!((answer.status, answer.header("x-ms-substatus")), (400, Some("1001")), "{method} {body}");
            let words = "PartitionKey extracted from document doesn't match the one specified in the header";
            assert!(answer.json()["message"].as_str().unwrap().contains(words), "{method} {body}");
        }
    }
    let bad = world.create(&json!({ "id": "a/b", "pk": "p" })).await;
    assert_eq!((bad.status, bad.header("x-ms-substatus")), (400, None));
}

#[tokio::test]
async fn paths_and_methods_that_lead_nowhere_are_refused() {
    let world = world().await;
    for (method, path, expected) in [
        ("GET", "/dbs/none/colls/records/docs/a", 404),
        ("GET", "/dbs/shop/colls/none", 404),
        ("GET", "/nothing", 501),
        ("POST", "/dbs/shop/colls/records/sprocs", 501),
        ("BREW", "/", 405),
        ("GET", "/dbs/shop/colls/records/docs/%ff%fe", 404),
        ("GET", "/dbs/shop/colls/records/docs/..%2f..%2f", 404),
        ("GET", "//dbs//shop", 200),
        ("GET", "/dbs/shop/", 200),
    ] {
        assert_eq!(world.ask(method, path, "").await.status, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let world = world().await;
    let head = format!("POST {ITEMS} HTTP/1.1\r\nhost: x\r\ncontent-length: 17000000000\r\n\r\n");
    let answer = wire::exchange(world.cosmos.address(), head.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
    let large = json!({ "id": "a", "pk": "p", "body": "x".repeat(2 * 1024 * 1024) });
    assert_eq!(world.create(&large).await.status, 413);
}

#[tokio::test]
async fn the_account_key_signs_the_decoded_link_at_about_this_time() {
    let world = world().await;
    world.create(&json!({ "id": "a b+c%", "pk": "p" })).await;
    let path = format!("{ITEMS}/a%20b%2Bc%25");
    let link = "dbs/shop/colls/records/docs/a b+c%";
    let now = http_date(SystemTime::now());
    assert_eq!(world.signed_read(&path, link, &now).await, 200);
    assert_eq!(world.signed_read(&path, "dbs/shop/colls/records/docs/other", &now).await, 401);
    assert_eq!(world.signed_read(&path, link, "yesterday").await, 401);
    let hour_ago = http_date(SystemTime::now() - std::time::Duration::from_hours(1));
    assert_eq!(world.signed_read(&path, link, &hour_ago).await, 403);
    world.service().set_clock_offset(-3_600_000);
    assert_eq!(world.signed_read(&path, link, &hour_ago).await, 200);
}

#[tokio::test]
async fn credentials_of_the_wrong_shape_are_refused() {
    let world = world().await;
    let good = token(4_000_000_000);
    for credential in [
        String::new(),
        "type=master&ver=1.0&sig=".to_owned(),
        "type=master&ver=1.0&sig=AAAA".to_owned(),
        "type=resource&ver=1.0&sig=x".to_owned(),
        format!("Bearer {good}"),
        format!("type=aad&ver=1.0&sig={}", token(1)),
        format!("type=aad&ver=1.0&sig={good}.more"),
        "type=aad&ver=1.0&sig=a.b.c".to_owned(),
    ] {
        let authorization = encoded(&credential);
        let headers = [("authorization", authorization.as_str()), ("x-ms-date", "Sat, 21 Nov 2026 00:00:00 GMT")];
        let answer = request(world.cosmos.address(), "GET", "/", &headers, b"").await.expect("an answer");
        assert!(matches!(answer.status, 401 | 403), "{credential}: {answer:?}");
    }
    assert_eq!(request(world.cosmos.address(), "GET", "/", &[], b"").await.unwrap().status, 401);
}

#[tokio::test]
async fn the_account_tells_clients_its_own_address() {
    let world = world().await;
    let account = world.ask("GET", "/", "").await.json();
    let endpoint = &account["writableLocations"][0]["databaseAccountEndpoint"];
    assert_eq!(endpoint.as_str(), Some(world.cosmos.endpoint().as_str()), "{account}");
}

#[tokio::test]
async fn numbers_are_doubles_as_in_the_service() {
    let world = world().await;
    let item =
        r#"{"id":"n","pk":"p","big":9007199254740993,"huge":18446744073709551615,"fine":[0.1,1e21,9007199254740992]}"#;
    assert_eq!(world.ask("POST", ITEMS, item).await.status, 201);
    let read = world.ask("GET", &format!("{ITEMS}/n"), "").await.json();
    // Compared as they are written: as doubles they would be equal even if nothing had been rounded.
    assert_eq!(read["big"].to_string(), "9007199254740992");
    assert_eq!(read["huge"].to_string(), "1.8446744073709552e+19");
    assert_eq!(read["fine"], json!([0.1, 1e21, 9_007_199_254_740_992_u64]));
}

#[tokio::test]
async fn an_expired_item_is_gone_to_the_second_and_a_rewrite_saves_it() {
    let world = world().await;
    for id in ["gone", "saved"] {
        world.create(&json!({ "id": id, "pk": "p", "ttl": 60 })).await;
    }
    let saved = format!("{ITEMS}/saved");
    assert_eq!(world.ask("PUT", &saved, r#"{"id":"saved","pk":"p"}"#).await.status, 200);
    world.service().set_clock_offset(58_000);
    assert_eq!(world.ask("GET", &format!("{ITEMS}/gone"), "").await.status, 200);
    world.service().set_clock_offset(61_000);
    assert_eq!(world.ask("GET", &format!("{ITEMS}/gone"), "").await.status, 404);
    assert_eq!(world.ask("GET", &saved, "").await.status, 200);
}

#[tokio::test]
async fn faults_fail_before_or_after_the_effect() {
    let world = world().await;
    let item = |id: &str| json!({ "id": id, "pk": "p" });
    world.faults.add("cosmos:create-item:throttle,retry_after=70ms,count=1".parse().unwrap());
    let throttled = world.create(&item("a")).await;
    assert_eq!(throttled.status, 429);
    assert_eq!(throttled.header("x-ms-substatus"), Some("3200"));
    assert_eq!(throttled.header("x-ms-retry-after-ms"), Some("70"));
    assert_eq!(world.ask("GET", &format!("{ITEMS}/a"), "").await.status, 404);
    for number in 0..4 {
        world.faults.add("cosmos:create-item:error,when=after,count=1".parse().unwrap());
        let id = format!("b{number}");
        // Never 449, which would promise that nothing was written.
        assert_eq!(world.create(&item(&id)).await.status, 503);
        assert_eq!(world.ask("GET", &format!("{ITEMS}/{id}"), "").await.status, 200);
    }
    let statuses: Vec<(String, String, u64)> = world
        .faults
        .counts()
        .into_iter()
        .filter(|row| row.operation == "create-item")
        .map(|row| (row.operation, row.status, row.count))
        .collect();
    let row = |status: &str, count| ("create-item".to_owned(), status.to_owned(), count);
    assert_eq!(statuses, [row("429", 1), row("503", 4)]);
}

#[tokio::test]
async fn a_permission_can_be_missing() {
    let world = world().await;
    world.faults.add("cosmos:create-item:denied,count=1".parse().unwrap());
    let denied = world.create(&json!({ "id": "a", "pk": "p" })).await;
    assert_eq!((denied.status, denied.header("x-ms-substatus")), (403, Some("5301")));
    assert_eq!(world.ask("GET", &format!("{ITEMS}/a"), "").await.status, 404);
}

#[tokio::test]
async fn an_account_names_the_regions_that_take_writes() {
    for (second, expected) in [(None, &["West Europe"][..]), (Some("North Europe"), &["West Europe", "North Europe"])] {
        let world = world_written_in(second).await;
        let account = world.ask("GET", "/", "").await.json();
        let writable = account["writableLocations"].as_array().expect("a list");
        let names: Vec<&str> = writable.iter().filter_map(|location| location["name"].as_str()).collect();
        assert_eq!(names, expected);
        assert_eq!(account["enableMultipleWriteLocations"], second.is_some());
        assert_eq!(world.create(&json!({ "id": "a", "pk": "p" })).await.status, 201);
        assert_eq!(world.ask("GET", &format!("{ITEMS}/a"), "").await.status, 200);
    }
}
