//! Workers as processes of their own: what they lose when they are killed, and what they weigh.

use std::time::{Duration, Instant};

use bridge_adapters::clock::SystemClock;
use bridge_core::{port::Clock, property::rfc3339};

use crate::{
    program::{Clouds, bridge, day, must},
    telemetry::event,
};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

/// Nothing is lost by SIGKILL in mid-batch: what was not settled is delivered again when its lease ends.
#[test]
fn a_killed_worker_loses_nothing() {
    let clouds = Clouds::start(&["--without-workers"]);
    let state = clouds.file("state.json");
    let state = state.to_str().unwrap();
    clouds.script("acceptance.py", &["--events", "1000", "--keys", "100", "--only", "send", "--state", state]);
    for round in 0..3 {
        let (here, there) = (clouds.worker(HERE), clouds.worker(THERE));
        // Some way into the backlog, each time at another place.
        std::thread::sleep(Duration::from_millis(400 + 150 * round));
        here.signal("KILL");
        there.signal("KILL");
    }
    let _workers = (clouds.worker(HERE), clouds.worker(THERE));
    clouds.script("acceptance.py", &["--only", "check", "--state", state, "--timeout", "150"]);
}

/// The memory goal of the design: a worker as it is released stays under 40 MB while 10,000 events pass.
#[test]
fn a_worker_stays_small_while_ten_thousand_events_pass() {
    let clouds = Clouds::start(&["--without-workers"]);
    let (here, there) = (clouds.released_worker(HERE), clouds.released_worker(THERE));
    let arguments = ["--events", "10000", "--keys", "1000", "--timeout", "300"];
    clouds.script("acceptance.py", &arguments);
    for (site, worker) in [(HERE, &here), (THERE, &there)] {
        let peak = worker.peak_memory_mb();
        println!("{site}: {peak:.1} MB at the peak");
        assert!(peak < 40.0, "{site}: {peak:.1} MB");
    }
}

/// SIGTERM ends a worker cleanly: what it works on is settled, and what it holds besides is given back at once, so a successor waits for no
/// lease.
#[test]
fn a_stopped_worker_gives_back_what_it_holds() {
    let clouds = Clouds::start(&["--without-workers"]);
    let state = clouds.file("state.json");
    let state = state.to_str().unwrap();
    clouds.script("acceptance.py", &["--events", "1000", "--keys", "100", "--only", "send", "--state", state]);
    // Each write takes a second, so each worker is in the middle of some, and has more messages than it works on.
    for calls in ["dynamodb:PutItem", "cosmos:*-item"] {
        clouds.fault(&format!("{calls}:latency,fixed=1s"));
    }
    let mut workers = [clouds.worker(HERE), clouds.worker(THERE)];
    std::thread::sleep(Duration::from_millis(2_500));
    for worker in &workers {
        worker.signal("TERM");
    }
    for worker in &mut workers {
        assert!(worker.end(Duration::from_secs(25)).success(), "a clean end");
    }
    let usage: serde_json::Value = serde_json::from_str(&clouds.admin("GET", "/usage", "")).unwrap();
    for service in ["sqs@us-east-1", "service-bus@westeurope"] {
        assert!(usage[service]["messages"].as_u64() > Some(0), "{service} has nothing left to show: {usage}");
    }
    clouds.clear_faults();
    let _workers = (clouds.worker(HERE), clouds.worker(THERE));
    // A lease is 30 s.
    clouds.script("acceptance.py", &["--only", "check", "--state", state, "--timeout", "20"]);
}

/// Service Bus sends what a receive has asked for also after it has returned. That waits in the worker for its turn, leased, and is
/// nobody's yet.
#[test]
fn a_stopped_worker_gives_back_what_came_ahead() {
    let clouds = Clouds::start(&["--without-workers"]);
    // Each event keeps the lane that takes it busy for seconds.
    clouds.fault("cosmos:*-item:latency,fixed=2s");
    let mut worker = clouds.worker(THERE);
    std::thread::sleep(Duration::from_secs(2));
    let keys: Vec<String> = (0..8).map(|number| format!("ahead-{number}")).collect();
    for sent in [&keys[..1], &keys[1..2], &keys[2..]] {
        let events = clouds.file("events.jsonl");
        std::fs::write(&events, sent.iter().map(|key| event(THERE, key, None) + "\n").collect::<String>()).unwrap();
        must(bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&events));
    }
    let sent = Instant::now();
    std::thread::sleep(Duration::from_millis(500));
    worker.signal("TERM");
    assert!(worker.end(Duration::from_secs(15)).success(), "a clean end");
    clouds.clear_faults();
    let _worker = clouds.worker(THERE);
    for key in &keys {
        let is_there = || {
            let output = bridge().args(["get", key, "--json", "--config"]).arg(clouds.config()).output().unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            !answer["sites"][THERE]["record"].is_null()
        };
        while !is_there() {
            // A lease is 30 s.
            assert!(sent.elapsed() < Duration::from_secs(28), "{key} waits for a lease to end");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What its queue did not take was not sent.
#[test]
fn events_that_were_not_sent_are_told_as_failed() {
    let clouds = Clouds::start(&["--without-workers"]);
    clouds.fault("sqs:SendMessageBatch:denied");
    let events = clouds.file("events.jsonl");
    std::fs::write(&events, [HERE, HERE, THERE].map(|site| event(site, "k", None)).join("\n")).unwrap();
    let output = bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&events).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "sent 1, refused 0, failed 2\n", "{errors}");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors.contains("events.jsonl:1 to ") && errors.contains("events.jsonl:2: none of 2 events was sent"),
        "{errors}"
    );
}

/// What is published by our own command lands where the official clients' events do.
#[test]
fn published_events_arrive_and_can_be_looked_at() {
    let clouds = Clouds::start(&[]);
    let events = clouds.file("orders.jsonl");
    let line = |number: u32, site: &str| {
        format!(
            r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-{number:012}","source_region":"{site}","op_type":"upsert","payload":{{"id":"order-{number}","total":{number}}},"timestamp":"{day}T01:02:03Z"}}"#,
            day = day()
        )
    };
    let mut lines: Vec<String> =
        (0..250).map(|number| line(number, if number % 2 == 0 { HERE } else { THERE })).collect();
    lines.insert(7, "{\"event_id\": 1}".to_owned());
    std::fs::write(&events, lines.join("\n")).unwrap();
    let output = bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&events).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "one line was refused");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "sent 250, refused 1, failed 0\n");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("orders.jsonl:8: invalid_event: /event_id: must be a UUID, is a number"), "{errors}");

    let get = |key: &str| bridge().args(["get", key, "--json", "--config"]).arg(clouds.config()).output().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    for number in [0, 1, 248, 249] {
        loop {
            let output = get(&format!("order-{number}"));
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let held = |site: &str| answer["sites"][site]["record"]["payload"]["total"] == number;
            if held(HERE) && held(THERE) {
                assert_eq!(answer["agree"], true);
                assert_eq!(output.status.code(), Some(0));
                break;
            }
            assert!(Instant::now() < deadline, "order-{number}: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let absent = must(bridge().args(["get", "nobody", "--config"]).arg(clouds.config()));
    assert!(String::from_utf8_lossy(&absent.stdout).contains("no site has this key"));
}

/// Only its origin's queue takes an event, and every fence of its origin stands before it is sent.
#[test]
fn what_no_worker_would_accept_is_not_published() {
    let clouds = Clouds::start(&["--without-workers"]);
    let events = clouds.file("events.jsonl");
    let publish = |key: &str, timestamp: &str, arguments: &[&str]| {
        let line = format!(
            r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-000000000001","source_region":"{THERE}","op_type":"upsert","payload":{{"id":"{key}"}},"timestamp":"{timestamp}"}}"#
        );
        std::fs::write(&events, line).unwrap();
        let output =
            bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&events).args(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (now, old) = (rfc3339(SystemClock.now()), "2019-05-01T12:00:00Z");
    for (key, timestamp, arguments, words) in [
        (
            "k",
            now.as_str(),
            &["--to", HERE][..],
            "only the queue of azure:westeurope takes it; use --to azure:westeurope",
        ),
        ("k", old, &[], "too_old: "),
        ("k", "2099-01-01T00:00:00Z", &["--import"], "clock_skew: "),
        ("_bridge/k", now.as_str(), &[], "invalid_key: /payload/id: "),
    ] {
        let (code, said, errors) = publish(key, timestamp, arguments);
        assert_eq!((code, said.as_str()), (Some(1), "sent 0, refused 1, failed 0\n"), "{errors}");
        assert!(errors.contains(words), "{errors}");
    }
    for (timestamp, arguments) in [(now.as_str(), &["--to", THERE][..]), (old, &["--import"])] {
        let (code, said, errors) = publish("k", timestamp, arguments);
        assert_eq!((code, said.as_str()), (Some(0), "sent 1, refused 0, failed 0\n"), "{errors}");
    }
}
