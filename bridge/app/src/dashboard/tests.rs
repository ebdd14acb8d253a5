//! The rules of the page on reports of the tests' own, and the server on a look that never fails to come.

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
    report::{DeadLetters, Lag, LagState, RecoveryPoint, Site, Worker},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use super::{
    Dashboard, Look, Options,
    history::History,
    verdict::{Level, findings},
};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

/// A site with which all is well.
fn site(name: &str, peer: &str) -> Site {
    Site {
        site: name.to_owned(),
        unreachable: false,
        trouble: Vec::new(),
        backlog_messages: Some(0),
        in_flight_messages: Some(0),
        delayed_messages: Some(0),
        oldest_age_seconds: None,
        dead_letters: Some(DeadLetters::default()),
        worker: Some(Worker {
            heard_at: "2026-11-21T01:02:00Z".to_owned(),
            age_seconds: 3.0,
            every_seconds: 30.0,
            instance: "one".to_owned(),
            clock_skew_seconds: Some(0.02),
            circuits: [(peer.to_owned(), "closed".to_owned())].into(),
            events: BTreeMap::new(),
            conflicts: 0,
        }),
        recovery_point: RecoveryPoint { events: Some(0), seconds: Some(0.04) },
    }
}

fn way(from: &str, to: &str) -> Lag {
    Lag {
        from: from.to_owned(),
        to: to.to_owned(),
        state: LagState::Heard,
        seconds: Some(0.041),
        heard_at: Some("2026-11-21T01:02:00Z".to_owned()),
        age_seconds: Some(3.0),
    }
}

/// A report at so many seconds past a minute, with which all is well.
fn report(second: u32) -> Report {
    Report {
        at: format!("2026-11-21T01:02:{second:02}.5Z"),
        sites: vec![site(HERE, THERE), site(THERE, HERE)],
        lag: vec![way(HERE, THERE), way(THERE, HERE)],
        conflicts: Vec::new(),
    }
}

/// Level, place, runbook of everything that is found once `change` was made to a good report.
fn found(change: impl FnOnce(&mut Report)) -> Vec<(Level, String, Option<&'static str>)> {
    let mut report = report(3);
    change(&mut report);
    findings(&report).into_iter().map(|finding| (finding.level, finding.place, finding.runbook)).collect()
}

fn worker(report: &mut Report) -> &mut Worker {
    report.sites[0].worker.as_mut().unwrap()
}

#[test]
fn nothing_is_found_where_all_is_well() {
    assert_eq!(found(|_| {}), []);
}

#[test]
fn each_trouble_is_found_where_it_shows_and_with_its_runbook() {
    type Change = fn(&mut Report);
    let cases: [(Change, Level, &str, Option<&str>); 19] = [
        (|r| r.sites[0].trouble = vec!["table: denied".into()], Level::Warn, "reach/aws:us-east-1", Some("aws-down")),
        (|r| r.sites[0].worker = None, Level::Unknown, "worker/aws:us-east-1", Some("halted")),
        (|r| worker(r).age_seconds = 61.0, Level::Warn, "worker/aws:us-east-1", Some("halted")),
        (|r| worker(r).age_seconds = 121.0, Level::Bad, "worker/aws:us-east-1", Some("halted")),
        (
            |r| *worker(r).circuits.get_mut(THERE).unwrap() = "open".into(),
            Level::Warn,
            "circuits/aws:us-east-1",
            Some("azure-down"),
        ),
        (|r| worker(r).clock_skew_seconds = Some(-6.0), Level::Warn, "clock/aws:us-east-1", Some("clock-skew")),
        (|r| worker(r).clock_skew_seconds = Some(31.0), Level::Bad, "clock/aws:us-east-1", Some("clock-skew")),
        (|r| r.sites[0].oldest_age_seconds = Some(60.0), Level::Warn, "oldest_age/aws:us-east-1", Some("lag")),
        (|r| r.sites[0].oldest_age_seconds = Some(300.0), Level::Bad, "oldest_age/aws:us-east-1", Some("lag")),
        (|r| r.sites[0].dead_letters = None, Level::Unknown, "dead_letters/aws:us-east-1", None),
        (|r| letters(r, "peer_unavailable"), Level::Bad, "dead_letters/aws:us-east-1", Some("dead-letters")),
        (|r| letters(r, "not_json"), Level::Warn, "dead_letters/aws:us-east-1", Some("dead-letters")),
        (|r| letters(r, "clock_skew"), Level::Warn, "dead_letters/aws:us-east-1", Some("dead-letters")),
        (|r| owed(r, "clock_skew"), Level::Bad, "dead_letters/aws:us-east-1", Some("dead-letters")),
        (|r| r.lag[0].seconds = Some(10.0), Level::Warn, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
        (|r| r.lag[0].seconds = Some(30.0), Level::Bad, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
        (|r| r.lag[0].state = LagState::Late, Level::Warn, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
        (|r| r.lag[0].state = LagState::Silent, Level::Bad, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
        (|r| r.lag[0].state = LagState::Never, Level::Unknown, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
    ];
    for (change, level, place, runbook) in cases {
        assert_eq!(found(change), [(level, place.to_owned(), runbook)]);
    }
}

fn letters(report: &mut Report, reason: &str) {
    let by_reason = [(reason.to_owned(), 5)].into();
    report.sites[0].dead_letters = Some(DeadLetters { messages: 5, by_reason, ..DeadLetters::default() });
}

/// One of the five is owed to a site.
fn owed(report: &mut Report, reason: &str) {
    letters(report, reason);
    let owed_by_reason = [(reason.to_owned(), 1)].into();
    let letters = report.sites[0].dead_letters.take().unwrap();
    report.sites[0].dead_letters = Some(DeadLetters { owed_by_reason, ..letters });
}

#[test]
fn a_site_that_is_gone_is_told_once_and_first() {
    let all = found(|report| {
        let gone = &mut report.sites[1];
        (gone.unreachable, gone.dead_letters, gone.backlog_messages) = (true, None, None);
        report.lag[0] = Lag { state: LagState::Unknown, seconds: None, ..way(HERE, THERE) };
        *worker(report).circuits.get_mut(THERE).unwrap() = "open".into();
    });
    let places: Vec<_> = all.iter().map(|(level, place, _)| (*level, place.as_str())).collect();
    assert_eq!(places, [(Level::Bad, "reach/azure:westeurope"), (Level::Warn, "circuits/aws:us-east-1")]);
}

#[test]
fn where_a_site_is_gone_silence_leads_to_its_runbook() {
    let all = found(|report| {
        report.sites[0].unreachable = true;
        report.lag[0].state = LagState::Silent;
    });
    let runbooks: Vec<_> = all.iter().map(|(_, place, runbook)| (place.as_str(), runbook.unwrap())).collect();
    assert_eq!(runbooks, [("lag/aws:us-east-1/azure:westeurope", "aws-down"), ("reach/aws:us-east-1", "aws-down")]);
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
