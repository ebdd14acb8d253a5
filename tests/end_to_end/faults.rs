//! Each kind of fault, on everything that workers ask of the four services: both stores must end equal all the same.

use std::time::Duration;

use serde_json::Value;

use crate::program::{Clouds, Running};

/// What workers ask. The script that looks whether all is well asks for other things, so it needs no patience.
const CALLS: [&str; 6] = [
    "sqs:*Message*",
    "dynamodb:PutItem",
    "service-bus:rest-send",
    "service-bus:receive",
    "service-bus:settle",
    "cosmos:*-item",
];

/// A worker gives up on a peer after a few failed sends, so that nothing waits for it, and writes letters that name what is
/// owed. Here the peer is only troubled, never gone, and these workers have the patience to see that.
const PATIENCE: [(&str, &str); 2] =
    [("BRIDGE_WORKER_PEER_ATTEMPTS_MAX", "100"), ("BRIDGE_WORKER_CIRCUIT_FAILURES", "1000")];

/// Sends before the faults begin, and then sets each of them on each kind of call.
///
/// A lost settlement costs the rest of a lease, 30 s, so what fails calls ends after a few hits of each kind.
fn stores_end_equal_under(kinds: &[&str]) {
    let clouds = Clouds::start(&["--without-workers"]);
    let state = sent(&clouds);
    let faults: Vec<String> =
        kinds.iter().flat_map(|kind| CALLS.iter().map(move |calls| format!("{calls}:{kind}"))).collect();
    clouds.admin("POST", "/faults", &faults.join("\n"));
    let _workers = workers(&clouds);
    check(&clouds, &state);
    // What has had its hits is gone from the list; what is still there must have had some.
    let live: Value = serde_json::from_str(&clouds.admin("GET", "/faults", "")).unwrap();
    for fault in live["faults"].as_array().unwrap() {
        assert!(fault["hits"].as_u64() > Some(0), "nothing was hit, so nothing is shown: {fault}");
    }
}

#[test]
fn stores_end_equal_under_latency_and_dripping_answers() {
    stores_end_equal_under(&["latency,fixed=10ms,jitter=60ms", "drip,pause=2ms,probability=0.2"]);
}

#[test]
fn stores_end_equal_under_throttling() {
    stores_end_equal_under(&["throttle,count=3,retry_after=50ms"]);
}

#[test]
fn stores_end_equal_under_errors_before_and_after_the_effect() {
    stores_end_equal_under(&["error,count=2", "error,count=2,when=after"]);
}

#[test]
fn stores_end_equal_under_connections_dropped_before_and_after_the_effect() {
    stores_end_equal_under(&["drop,count=2", "drop,count=2,when=after"]);
}

/// A whole cloud is away for a while, shorter than a worker's patience with its peer.
#[test]
fn stores_end_equal_after_either_cloud_was_dark() {
    for cloud in ["aws", "azure"] {
        let clouds = Clouds::start(&["--without-workers"]);
        let state = sent(&clouds);
        let _workers = workers(&clouds);
        clouds.admin("POST", "/faults", &format!("{cloud}:*:dark,for=1s"));
        std::thread::sleep(Duration::from_millis(1100));
        check(&clouds, &state);
    }
}

/// Sends the traffic; the name of the file with what a check must know of it.
fn sent(clouds: &Clouds) -> String {
    let state = clouds.file("state.json").display().to_string();
    clouds.script("acceptance.py", &["--events", "200", "--keys", "40", "--only", "send", "--state", &state]);
    state
}

fn check(clouds: &Clouds, state: &str) {
    clouds.script("acceptance.py", &["--only", "check", "--state", state]);
}

fn workers(clouds: &Clouds) -> [Running; 2] {
    ["aws:us-east-1", "azure:westeurope"].map(|site| clouds.worker_with(site, &PATIENCE))
}
