//! The packaged functions on their hosts, AWS Lambda and Azure Functions. The hosts are played by Python scripts that know
//! the hosts' contracts (`docs/hosts.md`), the vendors' clients, and nothing of our code.

use std::{
    fs::File,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    packages::packages,
    program::{Clouds, Running, bridge, must, python},
};

/// A host in the background. It ends by SIGTERM, so that it takes the function's process along, which nobody else would.
pub(crate) struct Host {
    player: Running,
    told: PathBuf,
}

impl Host {
    pub(crate) fn start(clouds: &Clouds, script: &str, function: &str, arguments: &[&str]) -> Self {
        let told = clouds.file(&format!("{function}.json"));
        let mut command = python(script);
        command.arg(clouds.ready_file()).arg("--package").arg(packages().join(function)).args(arguments);
        let player = Running::start(command.stdout(File::create(&told).unwrap()));
        Self { player, told }
    }

    /// Ends it, and reads what it counted.
    pub(crate) fn end(mut self) -> Value {
        self.player.signal("TERM");
        let status = self.player.end(Duration::from_secs(30));
        assert!(status.success(), "{status}");
        serde_json::from_str(&std::fs::read_to_string(&self.told).unwrap()).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.player.has_ended().is_none() {
            self.player.signal("TERM");
            let start = Instant::now();
            while self.player.has_ended().is_none() && start.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Runs a script that plays both hosts by itself.
fn script(name: &str, arguments: &[&str]) -> String {
    let clouds = Clouds::start(&["--without-workers"]);
    let packages = packages();
    let arguments: Vec<&str> = ["--package", packages.to_str().unwrap()].iter().chain(arguments).copied().collect();
    String::from_utf8(clouds.script(name, &arguments).stdout).unwrap()
}

/// The players are worth something because they see what is wrong: functions that answer null, hang, exit, redirect.
#[test]
fn the_players_notice_a_function_that_does_wrong() {
    must(&mut python("test_hosts.py"));
}

#[test]
fn hostile_traffic_ends_in_equal_stores_with_two_functions() {
    let clouds = Clouds::start(&["--without-workers"]);
    let lambda = Host::start(&clouds, "lambda_host.py", "lambda", &["--heartbeat", "5"]);
    let function = Host::start(&clouds, "function_host.py", "function", &["--timer"]);
    clouds.script("acceptance.py", &["--events", "2000", "--keys", "200"]);
    for site in ["aws:us-east-1", "azure:westeurope"] {
        heartbeats_arrive(&clouds, site);
    }
    for (host, told) in [("Lambda", lambda.end()), ("Functions", function.end())] {
        println!("{host}: {told}");
        assert!(told["invocations"].as_u64() > Some(100), "{host}: {told}");
        assert!(told["ticks"].as_u64() > Some(0), "{host}: {told}");
        for never in ["failures", "restarts", "kept", "not_deleted", "abandoned", "ticks_failed"] {
            assert_eq!(told[never].as_u64().unwrap_or(0), 0, "{host}: {told}");
        }
    }
}

/// Waits until the heartbeat of `site` is in every store. Azure's schedule sends one every half minute.
fn heartbeats_arrive(clouds: &Clouds, site: &str) {
    let start = Instant::now();
    loop {
        let key = format!("_bridge/heartbeat/{site}");
        let output = bridge().args(["get", &key, "--json", "--config"]).arg(clouds.config()).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        if answer["sites"].as_object().unwrap().values().all(|site| !site["record"].is_null()) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{answer}");
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// What was not settled when a function's process died comes again, to the process that the host starts in its place.
#[test]
fn functions_killed_in_mid_batch_lose_nothing() {
    let clouds = Clouds::start(&["--without-workers"]);
    let lambda = Host::start(&clouds, "lambda_host.py", "lambda", &["--timeout", "2", "--kill-after", "20,60,100"]);
    let function = Host::start(&clouds, "function_host.py", "function", &["--kill-after", "200,600"]);
    clouds.script("acceptance.py", &["--events", "2000", "--keys", "200", "--timeout", "150"]);
    let (lambda, function) = (lambda.end(), function.end());
    assert_eq!(lambda["starts"], 2 + 3, "{lambda}");
    assert_eq!(function["exits"], 2, "{function}");
    assert!(function["abandoned"].as_u64() > Some(0), "{function}");
}

#[test]
fn each_of_ten_kinds_of_message_ends_as_it_must() {
    script("host_ten_kinds.py", &[]);
}

#[test]
fn functions_whose_stores_are_dark_lose_nothing() {
    let seconds = std::env::var("BRIDGE_OUTAGE_SECONDS").unwrap_or_else(|_| "15".to_owned());
    println!("{}", script("host_outage.py", &["--outages", "stores", "--seconds", &seconds]));
}

#[test]
fn a_lambda_function_whose_peer_is_dark_goes_on_writing() {
    script("host_outage.py", &["--outages", "azure"]);
}

#[test]
fn an_azure_function_whose_peer_is_dark_goes_on_writing() {
    script("host_outage.py", &["--outages", "aws"]);
}

/// A store that is not there concerns every message: none may be let go or set aside until an operator has mended it.
#[test]
fn halted_functions_let_nothing_go() {
    script("host_halted.py", &[]);
}

/// A function that serves another queue takes that queue's events away, so it is refused before it takes any.
#[test]
fn functions_serve_the_queue_of_their_own_site_alone() {
    script("host_foreign.py", &[]);
}

/// The least memory that Lambda gives, and the fullest batches: some 6,000 small events, and long texts. Large stacks would not even
/// let it start. By hand, `host_memory.py` has every kind of heavy event too: over five minutes.
#[test]
fn a_lambda_function_of_128_mb_works_off_full_batches() {
    println!("{}", script("host_memory.py", &["--only", "many", "--only", "one text"]));
}

#[test]
fn no_payload_crashes_a_function_or_loses_a_message() {
    script("host_fuzz.py", &[]);
}

/// A store that takes 0.9 s a call, and a function that has 3 s: each message is settled by itself, so batches of any size get on, and no
/// message comes near the deliveries after which the queue sets it aside.
#[test]
fn a_lambda_function_of_3_s_gets_on_with_a_slow_store() {
    println!("{}", script("host_slow.py", &[]));
}

/// A figure for the log, as machines differ; the goal is 100 ms on two idle cores.
#[test]
fn functions_start_and_answer() {
    println!("{}", script("host_start.py", &["--runs", "5"]));
}
