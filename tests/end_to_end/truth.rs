//! What the workers themselves say, as `bridge lag` finds it: the cause first, within seconds, and never all is well while writes are missing.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Clouds, Running, bridge, day, must};

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
    let event = |number: u32| {
        let id = uuid::Uuid::new_v4();
        let day = day();
        format!(
            r#"{{"event_id":"{id}","source_region":"{site}","op_type":"upsert","payload":{{"id":"order-{number}"}},"timestamp":"{day}T01:00:00Z"}}"#
        )
    };
    let file = clouds.file("events.jsonl");
    std::fs::write(&file, (0..count).map(event).collect::<Vec<_>>().join("\n")).unwrap();
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
