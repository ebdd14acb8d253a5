//! What the workers themselves say, as `bridge lag` finds it: the cause first, within seconds, and never all is well while writes are missing.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bridge_tests::cloud::runtime;
use serde_json::Value;

use crate::program::{Clouds, Running, bridge, day, loopback, must, python};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

/// What a loaded machine may add to the seconds that the documents promise.
const PATIENCE: Duration = Duration::from_secs(30);

fn findings(clouds: &Clouds) -> Vec<Value> {
    let output = must(bridge().args(["lag", "--json", "--config"]).arg(clouds.config()));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["findings"].as_array().unwrap().clone()
}

/// Looks until the first finding is of this kind; the finding, and how long that took.
#[allow(clippy::print_stdout, reason = "how long it took, for whoever reads the test's output")]
fn first(clouds: &Clouds, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let found = findings(clouds);
        if let Some(one) = found.first().filter(|one| is_so(one)) {
            println!("{what}: first found after {:?}", start.elapsed());
            return one.clone();
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {found:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn says(one: &Value, words: &str) -> bool {
    one["text"].as_str().unwrap().contains(words)
}

fn calm(clouds: &Clouds) {
    let start = Instant::now();
    loop {
        let found = findings(clouds);
        if found.is_empty() {
            return;
        }
        assert!(start.elapsed() < PATIENCE * 3, "{found:#?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Events of a site, straight into its queue.
fn publish(clouds: &Clouds, site: &str, count: u32) {
    publish_from(clouds, site, 0, count);
}

/// The same, with keys from this number on.
fn publish_from(clouds: &Clouds, site: &str, from: u32, count: u32) {
    let event = |number: u32| {
        let id = uuid::Uuid::new_v4();
        let day = day();
        format!(
            r#"{{"event_id":"{id}","source_region":"{site}","op_type":"upsert","payload":{{"id":"order-{number}"}},"timestamp":"{day}T01:00:00Z"}}"#
        )
    };
    let file = clouds.file("events.jsonl");
    std::fs::write(&file, (from..from + count).map(event).collect::<Vec<_>>().join("\n")).unwrap();
    must(bridge().arg("publish").arg(file).arg("--config").arg(clouds.config()));
}

/// With the fault in its own store, only its peer's can say so.
#[test]
fn a_halted_worker_says_so_itself_and_why() {
    let clouds = Clouds::start(&[]);
    calm(&clouds);
    clouds.fault("dynamodb:PutItem:denied");
    publish(&clouds, HERE, 3);
    let one = first(&clouds, "halted", |one| says(one, "has been halted for"));
    assert_eq!((&one["site"], &one["level"], &one["runbook"]), (&HERE.into(), &"bad".into(), &"halted".into()));
    assert!(one["detail"].as_str().unwrap().contains("dynamodb"), "{one:#}");
    assert!(one["since"].is_string());
    let strict = bridge().args(["lag", "--strict", "--config"]).arg(clouds.config()).output().unwrap();
    assert_eq!(strict.status.code(), Some(2));
    clouds.clear_faults();
    calm(&clouds);
}

/// Nothing is lost and nothing needs an operator; and still not all is well until the last message is applied.
#[test]
fn a_store_that_is_away_is_told_by_its_worker_and_what_backs_off_below_it() {
    let clouds = Clouds::start(&[]);
    calm(&clouds);
    clouds.fault("dynamodb:PutItem:error");
    publish(&clouds, HERE, 30);
    let one = first(&clouds, "store away", |one| says(one, "has not answered its worker for"));
    assert_eq!((&one["site"], &one["level"], &one["runbook"]), (&HERE.into(), &"bad".into(), &"store-away".into()));
    assert!(one["detail"].as_str().unwrap().contains("dynamodb"), "{one:#}");
    clouds.clear_faults();
    // Calm is shown only once both stores have all.
    calm(&clouds);
    let output = must(bridge().args(["verify", "--settle", "0", "--json", "--config"]).arg(clouds.config()));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["drift"], &report["waiting"]), (&0.into(), &0.into()), "{report:#}");
    assert_eq!(report["sites"][HERE]["records"], 30);
}

#[test]
fn a_worker_that_was_killed_is_found_by_its_silence_and_one_that_was_stopped_by_its_last_word() {
    let clouds = Clouds::start(&["--without-workers"]);
    let mut workers: [Running; 2] = [HERE, THERE].map(|site| clouds.worker(site));
    calm(&clouds);
    workers[1].signal("KILL");
    let one = first(&clouds, "killed", |one| says(one, "has said nothing for"));
    assert_eq!(one["site"], THERE);
    workers[0].signal("TERM");
    workers[0].end(PATIENCE);
    let found = findings(&clouds);
    assert!(found.iter().any(|one| one["site"] == HERE && says(one, "was stopped")), "{found:#?}");
    workers = [HERE, THERE].map(|site| clouds.worker(site));
    calm(&clouds);
    drop(workers);
}

/// A worker of a site as a process of its own, whose lines go into a file; where it is scraped.
fn logging(clouds: &Clouds, site: &str, variables: &[(&str, &str)]) -> (Running, String) {
    let listen = format!("{}:18422", loopback());
    let mut command = bridge();
    command.args(["run", "--site", site, "--log", "info", "--config"]).arg(clouds.config());
    command.env("BRIDGE_WORKER_METRICS_LISTEN", &listen).envs(variables.iter().copied());
    let log = std::fs::File::create(clouds.file("worker.log")).unwrap();
    (Running::start(command.stderr(Stdio::from(log))), format!("http://{listen}/metrics"))
}

fn scraped(address: &str, sample: &str) -> Option<f64> {
    let text = runtime().block_on(async { reqwest::get(address).await.ok()?.text().await.ok() })?;
    text.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
}

/// Without an event nobody writes but the worker itself: state, log and metric say the same, at once.
#[test]
fn an_idle_worker_whose_store_is_away_says_so_everywhere() {
    let clouds = Clouds::start(&["--without-workers"]);
    let _there = clouds.worker(THERE);
    let (_here, metrics) = logging(&clouds, HERE, &[]);
    calm(&clouds);
    let away = || scraped(&metrics, &format!("bridge_store_away{{site=\"{HERE}\"}}"));
    let log = || std::fs::read_to_string(clouds.file("worker.log")).unwrap();
    for fault in ["dynamodb:PutItem:error", "dynamodb:PutItem:latency,fixed=5m"] {
        assert_eq!(away(), Some(0.0));
        clouds.fault(fault);
        let one = first(&clouds, fault, |one| says(one, "has not answered its worker for"));
        assert_eq!(one["runbook"], "store-away");
        let start = Instant::now();
        while away() != Some(1.0) {
            assert!(start.elapsed() < Duration::from_secs(1), "the metric says nothing of it");
        }
        // One that comes again within a minute is the same one to the log.
        assert!(log().contains("the store is away"), "{}", log());
        clouds.clear_faults();
        let back = Instant::now();
        while away() != Some(0.0) {
            assert!(back.elapsed() < PATIENCE, "{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("{fault}: back after {:?}", back.elapsed());
        calm(&clouds);
    }
    assert!(log().contains("the store is back"), "{}", log());
}

/// Heartbeats come once in two minutes here, so only those that a return brings about can tell of it.
#[test]
fn what_is_over_is_told_so_within_five_seconds() {
    let slow = [("BRIDGE_WORKER_HEARTBEAT_SECONDS", "120")];
    let over = |clouds: &Clouds, what: &str| {
        clouds.clear_faults();
        let start = Instant::now();
        loop {
            let found = findings(clouds);
            if found.is_empty() {
                break;
            }
            // What the documents promise, and as much again for a loaded machine and the look itself.
            assert!(start.elapsed() < Duration::from_secs(12), "{what}: {found:#?}");
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("{what}: all is well {:?} after its return", start.elapsed());
    };
    let clouds = Clouds::start(&["--without-workers"]);
    clouds.fault("dynamodb:PutItem:error");
    let _workers = [HERE, THERE].map(|site| clouds.worker_with(site, &slow));
    publish(&clouds, HERE, 20);
    std::thread::sleep(Duration::from_secs(15));
    assert!(!findings(&clouds).is_empty());
    over(&clouds, "store");

    clouds.fault("service-bus:rest-send:error");
    for _ in 0..4 {
        publish(&clouds, HERE, 3);
        std::thread::sleep(Duration::from_secs(4));
    }
    let found = findings(&clouds);
    assert!(found.iter().any(|one| says(one, "cannot reach")), "{found:#?}");
    over(&clouds, "peer");
}

/// The scan by the clouds' own clients: it knows nothing of what the bridge says.
struct Outside(Child);

type Scan = BTreeMap<String, BTreeMap<String, u64>>;

impl Outside {
    fn start(clouds: &Clouds) -> Self {
        let mut command: Command = python("scan.py");
        Self(command.arg(clouds.ready_file()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn scan(&mut self) -> Scan {
        writeln!(self.0.stdin.as_mut().unwrap()).unwrap();
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A report of a moment at which nothing moves, as the scans before and after it agree.
fn still(clouds: &Clouds, outside: &mut Outside) -> (Scan, Value) {
    let start = Instant::now();
    loop {
        let before = outside.scan();
        let output = must(bridge().args(["lag", "--json", "--config"]).arg(clouds.config()));
        if outside.scan() == before {
            return (before, serde_json::from_slice(&output.stdout).unwrap());
        }
        assert!(start.elapsed() < PATIENCE, "it never stood still: {before:?}");
    }
}

/// Each figure is what the clouds' own clients count; and whenever a store lacks a write, something is found.
#[test]
#[allow(clippy::print_stdout, reason = "the ten moments, for whoever reads the test's output")]
fn at_ten_moments_of_an_outage_every_figure_is_what_an_outside_scan_counts() {
    let clouds = Clouds::start(&["--without-workers"]);
    // Without heartbeats, as every message is counted. Then no way was ever heard of, which is grey.
    let _workers = [HERE, THERE].map(|site| clouds.worker_with(site, &[("BRIDGE_WORKER_HEARTBEAT_SECONDS", "0")]));
    let mut outside = Outside::start(&clouds);
    let (mut number, mut moments, mut lacking) = (0, 0, 0);
    let mut look = |what: &str| {
        let (scan, report) = still(&clouds, &mut outside);
        println!("{what}: {scan:?}");
        moments += 1;
        for site in report["sites"].as_array().unwrap() {
            let of = &scan[site["site"].as_str().unwrap()];
            let states = ["backlog_messages", "in_flight_messages", "backing_off_messages", "delayed_messages"];
            let queue: u64 = states.iter().filter_map(|state| site[state].as_u64()).sum();
            assert_eq!(
                (queue, &site["dead_letters"]["messages"]),
                (of["queue"], &of["letters"].into()),
                "{what}: {site:#}"
            );
            assert_eq!(site["recovery_point"]["events"], of["queue"] + of["letters"], "{what}: {site:#}");
        }
        let sum = |of: &str| scan.values().map(|site| site[of]).sum::<u64>();
        assert_eq!(report["owed"]["messages"], sum("queue") + sum("letters"), "{what}: {:#}", report["owed"]);
        let green = report["findings"].as_array().unwrap().iter().all(|one| one["level"] == "unknown");
        assert!(!green || sum("missing") == 0, "{what}: green while writes are missing: {report:#}");
        lacking += u32::from(sum("missing") > 0);
        (sum("missing"), report)
    };
    let mut send = |site: &str, count: u32| {
        publish_from(&clouds, site, number, count);
        number += count;
        std::thread::sleep(Duration::from_secs(2));
    };
    send(HERE, 10);
    assert_eq!(look("calm").0, 0);
    clouds.fault("dynamodb:PutItem:error");
    std::thread::sleep(Duration::from_secs(6));
    look("a store is away, and nothing was written");
    for round in 0..3 {
        send([HERE, THERE, THERE][round], 7);
        look("a store is away, and more is written");
    }
    clouds.clear_faults();
    clouds.fault("service-bus:rest-send:error");
    send(HERE, 9);
    std::thread::sleep(Duration::from_secs(10));
    look("the peer takes nothing");
    send(HERE, 5);
    look("the peer takes nothing, and more is written");
    send(HERE, 4);
    look("the peer takes nothing still");
    clouds.clear_faults();
    look("the peer is back");
    std::thread::sleep(Duration::from_secs(8));
    let (missing, report) = look("all is over");
    assert_eq!(missing, 0, "{report:#}");
    assert!(moments == 10 && lacking >= 5, "{lacking} of {moments} moments with something missing");
}

/// What waits in the queue of the site that lacks it is no drift, and is none once it is applied.
#[test]
fn verify_calls_waiting_what_waits() {
    let clouds = Clouds::start(&["--without-workers"]);
    let verify = || {
        let output = bridge().args(["verify", "--settle", "1", "--config"]).arg(clouds.config()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut here = clouds.worker_with(HERE, &[("BRIDGE_WORKER_HEARTBEAT_SECONDS", "0")]);
    publish(&clouds, HERE, 12);
    let start = Instant::now();
    let (code, said) = loop {
        let (code, said) = verify();
        if said.contains("12 keys differ") || start.elapsed() > PATIENCE {
            break (code, said);
        }
    };
    assert!(said.contains("12 keys differ, and WAIT for messages that may mend them"), "{said}");
    assert!(!said.contains("DRIFTED") && !said.contains("backfill") && !said.contains("--repair"), "{said}");
    assert_eq!(code, Some(2), "the stores do not agree yet");
    let _there = clouds.worker(THERE);
    let start = Instant::now();
    while verify().0 != Some(0) {
        assert!(start.elapsed() < PATIENCE, "{}", verify().1);
    }
    here.signal("TERM");
    here.end(PATIENCE);
}
