//! Raw bytes over a socket: what no well-behaved client would send, and what it would never show.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Every exchange of a test ends within this, or the server hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// One HTTP answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Sends bytes, closes the sending half, and returns all that comes back until the server closes or resets.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    talk(address, bytes, true).await
}

/// A client that closes its sending half takes back its request, so a real exchange leaves it open.
async fn talk(address: SocketAddr, bytes: &[u8], close: bool) -> Vec<u8> {
    let work = async {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        let mut answer = Vec::new();
        // Either may fail when the server has had enough; what came until then counts.
        if stream.write_all(bytes).await.is_ok() && close {
            let _ = stream.shutdown().await;
        }
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    tokio::time::timeout(PATIENCE, work).await.expect("the server neither answered nor closed")
}

/// One request over a connection of its own; `None` if no answer came.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
    bytes.extend(body);
    parse(&talk(address, &bytes, false).await)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head, body: bytes[split + 4..].to_vec() })
}

/// Sends what no HTTP server should choke on; the caller then checks that the server still serves.
pub(crate) async fn throw_garbage(address: SocketAddr) {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut samples: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"GET".to_vec(),
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 18446744073709551615\r\n\r\nx".to_vec(),
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nx".to_vec(),
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffff0\r\nx".to_vec(),
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab".to_vec(),
        b"BREW /%ff%00%zz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET http://[::1/ HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"AMQP\x00\x01\x00\x00".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x04\x00".to_vec(),
    ];
    samples.push([b"GET / HTTP/1.1\r\n".as_slice(), &b"x: y\r\n".repeat(50_000)].concat());
    samples.extend((0..50).map(|_| (0..rng.usize(1..400)).map(|_| rng.u8(..)).collect()));
    for sample in samples {
        exchange(address, &sample).await;
    }
}

/// JSON nested so deeply that a parser which recurses without a bound overruns its stack.
pub(crate) fn deep(open: &str, close: &str, levels: usize) -> String {
    format!("{}1{}", open.repeat(levels), close.repeat(levels))
}
