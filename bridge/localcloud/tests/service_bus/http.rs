//! The HTTP side over a bare socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::attach::{bearer, signature};
use super::peer::{Peer, message};
use super::{KEY, start};

/// Method, path, headers, body, and the status that they deserve.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [u8], u16);

/// One request on a connection of its own; the status and everything after the head.
pub(crate) async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // The service may answer before it has read all.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub(crate) fn authorization() -> String {
    signature("http://localhost/", KEY, 60)
}

#[tokio::test]
async fn each_reason_to_refuse_has_its_status() {
    let service = start().await;
    let address = service.http_address();
    let good = authorization();
    let too_large = vec![b'x'; 262_145];
    let cases: [Case<'_>; 9] = [
        ("POST", "/orders/messages", &[], b"x", 401),
        ("POST", "/orders/messages", &[("Authorization", &signature("http://localhost/", "wrong", 60))], b"x", 401),
        ("POST", "/orders/messages", &[("Authorization", &signature("http://localhost/others", KEY, 60))], b"x", 401),
        ("POST", "/orders/messages", &[("Authorization", &format!("Bearer {}", bearer(-1)))], b"x", 401),
        ("POST", "/nosuch/messages", &[("Authorization", &good)], b"x", 404),
        ("POST", "/orders/messages", &[("Authorization", &good)], &too_large, 413),
        ("POST", "/orders/messages", &[("Authorization", &good), ("BrokerProperties", "{")], b"x", 400),
        (
            "POST",
            "/orders/messages",
            &[("Authorization", &good), ("Content-Type", "application/vnd.microsoft.servicebus.json")],
            b"[{",
            400,
        ),
        ("POST", "/orders/messages", &[("Authorization", &format!("Bearer {}", bearer(60)))], b"x", 201),
    ];
    for (method, path, headers, body, expected) in cases {
        let (status, answer) = call(address, method, path, headers, body).await;
        assert_eq!(status, expected, "{path} {headers:?}: {answer}");
    }
    assert_eq!(service.counts("orders").unwrap().active, 1);
}

#[tokio::test]
async fn a_body_arrives_over_amqp_byte_for_byte() {
    let service = start().await;
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let headers = [("Authorization", &*authorization()), ("Content-Type", "application/octet-stream")];
    assert_eq!(call(service.http_address(), "POST", "/ORDERS/messages", &headers, &body).await.0, 201);
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.receiver(0, "orders", 1).await;
    let (_, bytes) = peer.delivery().await;
    assert!(bytes.ends_with(&message(&body)));
}

#[tokio::test]
async fn a_batch_with_one_bad_message_is_refused_as_a_whole() {
    let service = start().await;
    let headers = [
        ("Authorization", &*authorization()),
        ("Content-Type", "application/vnd.microsoft.servicebus.json; charset=utf-8"),
    ];
    for (batch, status, count) in [
        (r#"[{"Body":"1"},{"Body":2}]"#, 400, 0),
        (r#"[{"Body":"1"},{"Body":"2","UserProperties":{"a":[]}}]"#, 400, 0),
        (r#"[{"Body":"1"},{"Body":"2","BrokerProperties":{"TimeToLive":"x"}}]"#, 400, 0),
        (r#"[{"Body":"1"},{"Body":"2"}]"#, 201, 2),
    ] {
        let (got, answer) = call(service.http_address(), "POST", "/orders/messages", &headers, batch.as_bytes()).await;
        assert_eq!((got, service.counts("orders").unwrap().active), (status, count), "{answer}");
    }
}

#[tokio::test]
async fn queues_are_counted_made_and_deleted() {
    let service = start().await;
    let address = service.http_address();
    let headers = [("Authorization", &*authorization())];
    call(address, "POST", "/orders/messages", &headers, b"x").await;
    let (status, entry) = call(address, "GET", "/orders?api-version=2021-05", &headers, &[]).await;
    assert_eq!(status, 200);
    assert!(entry.contains("<d2p1:ActiveMessageCount>1</d2p1:ActiveMessageCount>"), "{entry}");
    assert!(entry.contains(r#"<title type="text">Orders</title>"#), "{entry}");
    let (status, feed) = call(address, "GET", "/nosuch", &headers, &[]).await;
    assert!(status == 200 && !feed.contains("<entry"), "as the service says of what is not there: {feed}");
    let description =
        b"<entry><content><QueueDescription><LockDuration>PT5S</LockDuration></QueueDescription></content></entry>";
    assert_eq!(call(address, "PUT", "/new", &headers, description).await.0, 201);
    assert_eq!(call(address, "PUT", "/new", &headers, description).await.0, 409);
    assert!(call(address, "GET", "/$Resources/queues", &headers, &[]).await.1.contains(">new<"));
    assert_eq!(call(address, "DELETE", "/new", &headers, &[]).await.0, 200);
    assert_eq!(call(address, "DELETE", "/new", &headers, &[]).await.0, 404);
    assert_eq!(call(address, "PUT", "/bad$name", &headers, description).await.0, 400);
    assert_eq!(service.counts("new"), None);
}

/// For who looks at a queue's settings: they are kept and shown, and that is all.
#[tokio::test]
async fn settings_that_are_not_served_are_shown() {
    let service = start().await;
    let address = service.http_address();
    let headers = [("Authorization", &*authorization())];
    let settings =
        "<RequiresSession>true</RequiresSession><ForwardTo>orders</ForwardTo><AutoDeleteOnIdle>PT5M</AutoDeleteOnIdle>";
    let description = format!("<entry><content><QueueDescription>{settings}</QueueDescription></content></entry>");
    assert_eq!(call(address, "PUT", "/new", &headers, description.as_bytes()).await.0, 201);
    let shown = |text: String| {
        ["RequiresSession", "ForwardTo", "AutoDeleteOnIdle"]
            .map(|name| text.split(&format!("<{name}>")).nth(1).map(|rest| rest.split('<').next().unwrap().to_owned()))
    };
    let some = |texts: [&str; 3]| texts.map(|text| Some(text.to_owned()));
    assert_eq!(shown(call(address, "GET", "/new", &headers, &[]).await.1), some(["true", "orders", "PT5M"]));
    let [sessions, forward, idle] = shown(call(address, "GET", "/orders", &headers, &[]).await.1);
    assert_eq!((sessions.as_deref(), forward), (Some("false"), None));
    assert_eq!(idle.as_deref(), Some("P10675199DT2H48M5.4775807S"));
}

#[tokio::test]
async fn a_message_can_be_locked_and_completed_over_http() {
    let service = start().await;
    let address = service.http_address();
    let headers = [("Authorization", &*authorization())];
    assert_eq!(call(address, "POST", "/orders/messages/head?timeout=0", &headers, &[]).await.0, 204);
    call(address, "POST", "/orders/messages", &headers, b"body").await;
    assert_eq!(call(address, "POST", "/orders/messages/head?timeout=5", &headers, &[]).await, (201, "body".into()));
    assert_eq!(service.counts("orders").unwrap().locked, 1);
    let unknown = "/orders/messages/1/00000000-0000-0000-0000-000000000001";
    assert_eq!(call(address, "DELETE", unknown, &headers, &[]).await.0, 404);
    assert_eq!(call(address, "DELETE", "/orders/messages/1/x", &headers, &[]).await.0, 400);
}

#[tokio::test]
async fn broken_requests_hold_nobody_up() {
    let service = start().await;
    let address = service.http_address();
    let mut held = Vec::new();
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..60 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let bytes: Vec<u8> = match round % 3 {
            0 => {
                b"POST /orders/messages HTTP/1.1\r\nContent-Length: 18446744073709551615\r\nHost: x\r\n\r\nabc".to_vec()
            }
            1 => b"POST /orders/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf".to_vec(),
            _ => (0..200).map(|_| random.u8(..)).collect(),
        };
        stream.write_all(&bytes).await.unwrap();
        held.push(stream);
    }
    let headers = [("Authorization", &*authorization())];
    assert_eq!(call(address, "POST", "/orders/messages", &headers, b"x").await.0, 201);
}
