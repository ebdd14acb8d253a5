//! The history on reports of the tests' own, and the server on a look that never fails to come.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bridge_ops::lag::{
    Report,
    report::{Lag, LagState, Site},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use super::{Dashboard, Look, Options, history::History};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

/// A report at so many seconds past a minute.
fn report(second: u32) -> Report {
    let site = |name: &str| Site { site: name.to_owned(), backlog_messages: Some(0), ..Site::default() };
    let way = |from: &str, to: &str| Lag {
        from: from.to_owned(),
        to: to.to_owned(),
        state: LagState::Heard,
        seconds: Some(0.041),
        heard_at: None,
        age_seconds: Some(3.0),
    };
    Report {
        at: format!("2026-11-21T01:02:{second:02}.5Z"),
        sites: vec![site(HERE), site(THERE)],
        lag: vec![way(HERE, THERE), way(THERE, HERE)],
        ..Report::default()
    }
}

#[test]
fn a_point_of_the_history_is_the_worst_of_its_five_seconds() {
    let mut history = History::new(vec![HERE.to_owned(), THERE.to_owned()]);
    let mut add = |second, lag: Option<f64>, backlog| {
        let mut report = report(second);
        report.lag[0].seconds = lag;
        report.sites[0].backlog_messages = backlog;
        let point = serde_json::to_value(history.add(&report, &BTreeMap::new())).unwrap();
        (point["at"].as_i64().unwrap() % 60, point["lag"][0].clone(), point["backlog"][0].clone())
    };
    let number = <serde_json::Value as From<f64>>::from;
    assert_eq!(add(0, Some(0.1), Some(3)), (0, number(0.1), number(3.0)));
    assert_eq!(add(2, Some(8.0), Some(1)), (0, number(8.0), number(3.0)));
    assert_eq!(add(4, Some(0.1), None), (0, number(8.0), serde_json::Value::Null), "for a moment it was not known");
    assert_eq!(add(5, Some(0.1), Some(0)), (5, number(0.1), number(0.0)), "a new point");
    let kept = serde_json::to_value(&history).unwrap();
    assert_eq!(kept["points"].as_array().unwrap().len(), 2);
    assert_eq!(kept["ways"][1], serde_json::json!([THERE, HERE]));
}

#[test]
fn the_history_is_bounded() {
    let mut history = History::new(vec![HERE.to_owned()]);
    for minute in 0..60 {
        for second in (0..60).step_by(2) {
            let at = format!("2026-11-21T01:{minute:02}:{second:02}Z");
            history.add(&Report { at, ..report(0) }, &BTreeMap::new());
        }
    }
    history.add(&Report { at: "2026-11-21T02:00:00Z".into(), ..report(0) }, &BTreeMap::new());
    let kept = serde_json::to_value(&history).unwrap();
    let points = kept["points"].as_array().unwrap();
    assert_eq!(points.len(), 720);
    assert_eq!(points[719]["at"].as_i64().unwrap() - points[0]["at"].as_i64().unwrap(), 719 * 5);
}

/// Counts how often it is asked.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl Look for Counting {
    async fn look(&self, _conflicts: bool) -> Report {
        self.0.fetch_add(1, Ordering::Relaxed);
        report(3)
    }
}

async fn served(token: Option<&str>) -> (Dashboard, CancellationToken, Arc<Counting>) {
    let (stop, look) = (CancellationToken::new(), Arc::new(Counting::default()));
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        token: token.map(str::to_owned),
        sites: vec![HERE.to_owned(), THERE.to_owned()],
        unwatched: None,
    };
    let dashboard = Dashboard::start(look.clone(), options, stop.clone()).await.unwrap();
    (dashboard, stop, look)
}

/// Sends one request and reads until the server ends the answer, or nothing comes for a second.
async fn ask(dashboard: &Dashboard, path: &str, more: &str) -> String {
    let mut stream = TcpStream::connect(dashboard.address).await.unwrap();
    let host = if more.contains("Host:") { "" } else { "Host: localhost\r\n" };
    let request = format!("GET {path} HTTP/1.1\r\n{host}{more}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_secs(1), stream.read_buf(&mut answer)).await {}
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn pages_come_with_a_policy_that_lets_no_other_host_in() {
    let (dashboard, stop, _) = served(None).await;
    ask(&dashboard, "/api/stream", "").await; // so that there is a look
    for path in
        ["/", "/assets/main.js", "/assets/vendor/uPlot.iife.min.js", "/api/report", "/runbooks/halted", "/nothing"]
    {
        let answer = ask(&dashboard, path, "").await;
        let status = if path == "/nothing" { "404" } else { "200" };
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        assert!(answer.contains("content-security-policy: default-src 'self';"), "{path}: {answer}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{path}: {answer}");
    }
    let stranger = ask(&dashboard, "/api/report", "Host: evil.example\r\n").await;
    assert!(stranger.starts_with("HTTP/1.1 421") && !stranger.contains("westeurope"), "{stranger}");
    stop.cancel();
    dashboard.ended().await.unwrap();
}

#[tokio::test]
async fn a_follower_gets_the_history_and_then_each_look() {
    let (dashboard, stop, look) = served(None).await;
    let followers = futures_util::future::join_all((0..5).map(|_| ask(&dashboard, "/api/stream", ""))).await;
    for answer in &followers {
        let events: Vec<_> = answer.lines().filter(|line| line.starts_with("event:")).collect();
        assert_eq!(events[..2], ["event: history", "event: look"], "{answer}");
        assert!(answer.contains("\"state\":\"heard\",\"seconds\":0.041"), "{answer}");
    }
    assert!(look.0.load(Ordering::Relaxed) <= 2, "five viewers ask no more of the clouds than one");
    stop.cancel();
    dashboard.ended().await.unwrap();
}

#[tokio::test]
async fn nobody_is_asked_until_somebody_watches() {
    let (dashboard, stop, look) = served(None).await;
    assert!(ask(&dashboard, "/", "").await.starts_with("HTTP/1.1 200"), "the page alone is no question");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(look.0.load(Ordering::Relaxed), 0);
    assert!(ask(&dashboard, "/api/report", "").await.starts_with("HTTP/1.1 503"), "there is nothing yet");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(ask(&dashboard, "/api/report", "").await.contains("westeurope"));
    stop.cancel();
    dashboard.ended().await.unwrap();
}

#[tokio::test]
async fn whoever_follows_does_not_keep_the_server_from_ending() {
    let (dashboard, stop, _) = served(None).await;
    let mut follower = TcpStream::connect(dashboard.address).await.unwrap();
    follower.write_all(b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    follower.readable().await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), dashboard.ended()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_token_is_asked_for_everywhere_and_leads_to_a_cookie() {
    let token = "0123456789abcdef0123456789abcdef";
    let (dashboard, stop, _) = served(Some(token)).await;
    for path in ["/", "/assets/main.js", "/api/report", "/api/stream", "/runbooks/", "/?token=wrong"] {
        assert!(ask(&dashboard, path, "").await.starts_with("HTTP/1.1 401"), "{path}");
    }
    let door = ask(&dashboard, &format!("/?token={token}"), "").await;
    let cookie = door.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict") && !cookie.contains(token), "{cookie}");
    let shown = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert!(ask(&dashboard, "/api/stream", &shown).await.contains("westeurope"));
    stop.cancel();
    dashboard.ended().await.unwrap();
}
