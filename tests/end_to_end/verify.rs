//! `bridge backfill` and `bridge verify` against both clouds: what an independent client planted is found, exactly.
//!
//! `./just verify-bulk` runs the same with 200,000 keys (`BRIDGE_VERIFY_KEYS`), and prints time and memory.

use std::{
    collections::BTreeMap,
    fs::File,
    process::Command,
    time::{Duration, Instant},
};

use bridge_adapters::clock::SystemClock;
use bridge_core::port::Clock;
use serde_json::Value;

use crate::program::{Clouds, Running, bridge, must};

const AWS: &str = "aws:us-east-1";
const AZURE: &str = "azure:westeurope";

/// Keys in each store, unless told otherwise.
const KEYS: u64 = 10_000;

/// Memory with all keys, as a multiple of that with few. A run of few seconds has not filled its buffers yet, and looking at keys and
/// repairing them takes a few MB besides. When the records of this test were kept, to try it, that was 1.7 times as much.
const GROWTH_MAX: f64 = 1.2;

/// The allocator of this build gives back at once what is freed: it would keep it for up to ten seconds else, and a run that lasts
/// longer would seem to hold more.
const ALLOCATOR: (&str, &str) = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0,tcache:false");

/// How many keys memory is measured at first: a tenth of all, and enough for portions that are full.
fn few(keys: u64) -> u64 {
    (keys / 10).max(2_000)
}

fn keys() -> u64 {
    std::env::var("BRIDGE_VERIFY_KEYS").map_or(KEYS, |keys| keys.parse().unwrap())
}

/// What a run printed, how it ended, how long it took, and the most memory it held in MB.
struct Ran {
    code: i32,
    report: Value,
    said: String,
    took: Duration,
    memory_mb: f64,
}

fn run(clouds: &Clouds, arguments: &[&str]) -> Ran {
    let (out, err) = (clouds.file("out.json"), clouds.file("err.txt"));
    let mut command = bridge();
    command.args(arguments).arg("--config").arg(clouds.config()).env(ALLOCATOR.0, ALLOCATOR.1);
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let (start, mut memory_mb) = (Instant::now(), 0.0_f64);
    let mut program = Running::start(&mut command);
    let status = loop {
        memory_mb = memory_mb.max(program.memory_now_mb().unwrap_or_default());
        if let Some(status) = program.has_ended() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(1_800), "{arguments:?} did not end");
        std::thread::sleep(Duration::from_millis(10));
    };
    let said = std::fs::read_to_string(&err).unwrap();
    let report = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap_or(Value::Null);
    Ran { code: status.code().unwrap(), report, said, took: start.elapsed(), memory_mb }
}

fn found(report: &Value) -> BTreeMap<String, String> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|one| (one["key"].as_str().unwrap().to_owned(), one["kind"].as_str().unwrap().to_owned())).collect()
}

fn told<T: serde::de::DeserializeOwned>(clouds: &Clouds, arguments: &[&str]) -> T {
    serde_json::from_slice(&clouds.script("drift.py", arguments).stdout).unwrap()
}

#[test]
fn what_was_planted_is_found_exactly_and_repaired() {
    let clouds = Clouds::start(&["--without-workers"]);
    let keys = keys();
    let backfill = ["backfill", "--from", AWS, "--to", AZURE, "--json"];
    let verify = ["verify", "--json", "--settle", "1"];

    // Few keys, for the memory.
    let few = few(keys);
    let _: Value = told(&clouds, &["fill", &few.to_string()]);
    let brought_few = run(&clouds, &[&backfill[..], &["--yes"]].concat());
    let equal_few = run(&clouds, &verify);
    println!("backfill of {few} keys: {:.1} s, {:.1} MB", brought_few.took.as_secs_f64(), brought_few.memory_mb);
    println!("verify of {few} equal keys: {:.1} s, {:.1} MB", equal_few.took.as_secs_f64(), equal_few.memory_mb);
    assert_eq!((equal_few.code, &equal_few.report["sites"][AWS]["records"]), (0, &few.into()), "{}", equal_few.said);

    // All of them, the first ones written anew. The other store is filled from the first.
    let start = Instant::now();
    let filled: Value = told(&clouds, &["fill", &keys.to_string()]);
    println!("the test wrote {keys} keys in {:.1} s", start.elapsed().as_secs_f64());
    let dry = run(&clouds, &[&backfill[..], &["--dry-run"]].concat());
    assert_eq!((dry.code, &dry.report["written"]), (0, &keys.into()), "{}", dry.said);
    let brought = run(&clouds, &[&backfill[..], &["--yes"]].concat());
    assert_eq!((brought.code, &brought.report["written"], &brought.report["kept"]), (0, &keys.into(), &0.into()));
    println!("backfill of {keys} keys: {:.1} s, {:.1} MB", brought.took.as_secs_f64(), brought.memory_mb);
    assert_eq!(told::<Vec<String>>(&clouds, &["compare"]), Vec::<String>::new(), "an independent client agrees");

    // Equal stores.
    let equal = run(&clouds, &verify);
    println!("verify of {keys} equal keys: {:.1} s, {:.1} MB", equal.took.as_secs_f64(), equal.memory_mb);
    assert_eq!((equal.code, &equal.report["drift"]), (0, &0.into()), "{} {:#}", equal.said, equal.report);
    for site in [AWS, AZURE] {
        let counted = &equal.report["sites"][site];
        assert_eq!((&counted["records"], &counted["tombstones"]), (&keys.into(), &filled["tombstones"]));
    }

    // Drift of every kind.
    let expected: BTreeMap<String, String> = told(&clouds, &["plant"]);
    assert_eq!(expected.len(), 37);
    let drifted = run(&clouds, &verify);
    println!("verify with 37 differences: {:.1} s, {:.1} MB", drifted.took.as_secs_f64(), drifted.memory_mb);
    assert_eq!(found(&drifted.report), expected, "{}", drifted.said);
    assert_eq!((drifted.code, &drifted.report["left"]), (2, &37.into()));
    let older = drifted.report["findings"].as_array().unwrap().iter().find(|one| one["key"] == "older/0").unwrap();
    let version = |site: &str| older["sites"][site]["version"].as_str().unwrap().to_owned();
    assert!(version(AWS) > version(AZURE), "both versions are told: {older:#}");

    // Repair of what can be.
    let repaired = run(&clouds, &["verify", "--json", "--settle", "1", "--repair"]);
    println!("verify --repair: {:.1} s, {:.1} MB", repaired.took.as_secs_f64(), repaired.memory_mb);
    assert_eq!(found(&repaired.report), expected);
    let left: BTreeMap<_, _> =
        expected.iter().filter(|(_, kind)| !matches!(kind.as_str(), "missing" | "older")).collect();
    assert_eq!((repaired.code, &repaired.report["left"]), (2, &left.len().into()), "{}", repaired.said);
    let differ: Vec<String> = told(&clouds, &["compare"]);
    assert_eq!(differ.iter().collect::<Vec<_>>(), left.keys().copied().collect::<Vec<_>>());

    // Once what is wrong has been deleted by hand, repair brings the good record back.
    let wrong: Vec<&str> = left.keys().map(|key| key.as_str()).collect();
    clouds.script("drift.py", &[&["mend"], &wrong[..]].concat());
    let mended = run(&clouds, &["verify", "--json", "--settle", "1", "--repair"]);
    assert_eq!((mended.code, &mended.report["left"]), (0, &0.into()), "{:#}", mended.report);
    assert_eq!(told::<Vec<String>>(&clouds, &["compare"]), Vec::<String>::new());
    assert_eq!(run(&clouds, &verify).report["drift"], 0);

    // Digests and portions are all that is held, however many keys there are.
    for (more, few) in [(&brought, &brought_few), (&equal, &equal_few), (&drifted, &equal_few), (&repaired, &equal_few)]
    {
        assert!(more.memory_mb < few.memory_mb * GROWTH_MAX, "{} MB, and {} MB", more.memory_mb, few.memory_mb);
    }
}

/// Workers write all the time; what is on its way is told apart from what was planted.
#[test]
fn traffic_is_no_drift() {
    let clouds = Clouds::start(&[]);
    let expected: BTreeMap<String, String> = told(&clouds, &["plant"]);
    let file = clouds.file("events.jsonl");
    let publish = |round: u32| {
        let now = SystemClock.now();
        let lines: Vec<String> = (0..40_u32)
            .map(|n| {
                let (origin, key) = ([AWS, AZURE][n as usize % 2], n % 20);
                let timestamp = now.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
                let id = uuid::Uuid::new_v4();
                format!(
                    r#"{{"event_id":"{id}","source_region":"{origin}","op_type":"upsert","payload":{{"id":"busy-{key}","round":{round}}},"timestamp":"{timestamp}"}}"#
                )
            })
            .collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        must(bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&file));
    };
    publish(0);
    let looks: Vec<Ran> = std::thread::scope(|scope| {
        let verifying = scope.spawn(|| (0..3).map(|_| run(&clouds, &["verify", "--json", "--settle", "10"])).collect());
        let mut round = 1;
        while !verifying.is_finished() && round < 1_000 {
            publish(round);
            round += 1;
            // The lag must stay below the pause, on a busy machine too.
            std::thread::sleep(Duration::from_millis(300));
        }
        verifying.join().unwrap()
    });
    for look in looks {
        println!("in flight: {}, looked at: {}", look.report["in_flight"], look.report["keys_looked_at"]);
        assert_eq!(found(&look.report), expected, "{}", look.said);
    }
}

/// An item that no read of its key meets is shown under each of its names, and a record that somebody else has changed is not shown as good.
#[test]
fn get_shows_what_somebody_else_did_to_a_key() {
    let clouds = Clouds::start(&["--without-workers"]);
    let _: Value = told(&clouds, &["plant"]);
    for key in ["beside/0", "beside"] {
        let ran = run(&clouds, &["get", key, "--json"]);
        assert_eq!((ran.code, &ran.report["agree"]), (2, &false.into()), "{key}: {:#}", ran.report);
        let beside = ran.report["sites"][AZURE]["beside"].as_array().unwrap();
        let is_told = |one: &Value| one.as_str().unwrap().contains(r#"id "beside" is not that of pk "beside/0""#);
        assert!(beside.len() == 1 && is_told(&beside[0]), "{key}: {:#}", ran.report);
        assert!(ran.report["sites"][AWS]["beside"].is_null(), "{key}: {:#}", ran.report);
        let shown = bridge().args(["get", key, "--config"]).arg(clouds.config()).output().unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("something else than the bridge wrote this key at azure:westeurope"), "{shown}");
    }
    let ran = run(&clouds, &["get", "mortal/0", "--json"]);
    let misfit = ran.report["sites"][AZURE]["record"]["misfit"].as_str().unwrap();
    assert!(ran.code == 2 && misfit.contains("its store deletes it"), "{:#}", ran.report);
    assert_eq!(run(&clouds, &["get", "nothing", "--json"]).code, 0);
}

/// A store that cannot be read is named, and the exit code is that of a failure, not of drift.
#[test]
fn a_store_that_cannot_be_read_is_named() {
    let clouds = Clouds::start(&["--without-workers"]);
    clouds.fault("cosmos:*:denied");
    let ran = run(&clouds, &["verify", "--settle", "0"]);
    assert_eq!(ran.code, 1, "{}", ran.said);
    assert!(ran.said.contains("azure:westeurope cannot be read") && ran.said.contains("bridge doctor"), "{}", ran.said);
}

/// Who runs it is told within seconds which store does not answer, whether it refuses connections or keeps silent.
#[test]
fn a_dark_store_is_told_of_at_once_and_given_up_in_the_end() {
    let clouds = Clouds::start(&["--without-workers"]);
    clouds.fault("cosmos:*:dark");
    let commands = [&["verify", "--json"][..], &["backfill", "--from", AZURE, "--to", AWS, "--yes", "--json"]];
    std::thread::scope(|scope| {
        for command in commands {
            scope.spawn(|| waits_for_azure_in_vain(&clouds, command));
        }
    });
    clouds.clear_faults();

    // What is silent for a while is read all the same, and nothing but the report is printed.
    clouds.fault("cosmos:*:latency,fixed=5s,count=1");
    let ran = run(&clouds, &["verify", "--json", "--settle", "0"]);
    assert!(ran.said.contains("azure:westeurope has not answered for 2 s, attempt 1 of 7"), "{}", ran.said);
    assert_eq!((ran.code, &ran.report["drift"]), (0, &0.into()), "{}", ran.said);
}

fn waits_for_azure_in_vain(clouds: &Clouds, arguments: &[&str]) {
    let file = |ending: &str| clouds.file(&format!("{}.{ending}", arguments[0]));
    let said = || std::fs::read_to_string(file("err")).unwrap();
    let mut command = bridge();
    command.args(arguments).arg("--config").arg(clouds.config());
    command.stdout(File::create(file("out")).unwrap()).stderr(File::create(file("err")).unwrap());
    let start = Instant::now();
    let mut program = Running::start(&mut command);
    let told = |said: &str| said.contains("azure:westeurope: ") && said.contains("attempt 2 of 7");
    while !told(&said()) {
        // It is told after 2 s at most; the rest is for a busy machine.
        assert!(start.elapsed() < Duration::from_secs(6), "{}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(program.end(Duration::from_secs(90)).code(), Some(1), "{}", said());
    for part in ["azure:westeurope cannot be read", "bridge doctor", "run this once more when the store answers"] {
        assert!(said().contains(part), "{part} is missing: {}", said());
    }
    assert_eq!(std::fs::read_to_string(file("out")).unwrap(), "");
}

/// Whoever read what is said has gone away, as `head` does: the result is the same.
#[test]
fn a_comparison_goes_on_where_nobody_reads_what_it_says() {
    let clouds = Clouds::start(&["--without-workers"]);
    let expected: BTreeMap<String, String> = told(&clouds, &["plant"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = bridge();
    command.args(["verify", "--json", "--settle", "0", "--config"]).arg(clouds.config()).stderr(writer);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(found(&serde_json::from_slice(&output.stdout).unwrap()), expected);
}

/// Wrong flags are refused before anything is read.
#[test]
fn what_makes_no_sense_is_refused() {
    let clouds = Clouds::start(&["--without-workers"]);
    for (arguments, why) in [
        (&["verify", "--only", "aws:nowhere-1"][..], "the configuration has aws:us-east-1, azure:westeurope"),
        (&["verify", "--only", AWS], "name two sites"),
        (&["verify", "--rate", "0"], "a number over 0"),
        (&["backfill", "--from", AWS, "--to", AWS, "--yes"], "the same site"),
        (&["backfill", "--from", AWS, "--to", AZURE], "add --yes"),
    ] {
        let ran = run(&clouds, arguments);
        assert_eq!(ran.code, 64, "{}", ran.said);
        assert!(ran.said.contains(why), "{}", ran.said);
    }
}

/// Runs a command and stops it once a line of progress counts at least so many of `what`;
/// what it printed, and all that it said.
fn stopped(clouds: &Clouds, arguments: &[&str], at_least: u64, what: &str) -> (Value, String) {
    let (out, err) = (clouds.file("stopped.json"), clouds.file("stopped.txt"));
    let mut command: Command = bridge();
    command.args(arguments).arg("--config").arg(clouds.config());
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let mut program = Running::start(&mut command);
    let (start, said) = (Instant::now(), || std::fs::read_to_string(&err).unwrap());
    let counted = |line: &str| line.strip_suffix(what)?.split_whitespace().last()?.parse::<u64>().ok();
    while !said().lines().filter_map(counted).any(|count| count >= at_least) {
        assert!(start.elapsed() < Duration::from_secs(30), "{}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    program.signal("INT");
    assert_eq!(program.end(Duration::from_secs(10)).code(), Some(130), "{}", said());
    (serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap(), said())
}

/// Stopped in the middle it says so, and nothing is lost by it.
#[test]
fn a_stopped_backfill_is_gone_on_with() {
    let clouds = Clouds::start(&["--without-workers"]);
    let _: Value = told(&clouds, &["fill", "600"]);
    let dry = run(&clouds, &["backfill", "--from", AWS, "--to", AZURE, "--dry-run"]);
    let said = std::fs::read_to_string(clouds.file("out.json")).unwrap();
    assert!(dry.code == 0 && said.contains("to do it: bridge backfill --from aws:us-east-1 --to azure:westeurope\n"));

    // What was done until then is told.
    let done = |report: &Value, name: &str| {
        assert_eq!(report["complete"], false, "{report:#}");
        report[name].as_u64().unwrap()
    };
    let backfill = ["backfill", "--from", AWS, "--to", AZURE, "--yes", "--rate", "100", "--json"];
    let (report, said) = stopped(&clouds, &backfill, 100, " records");
    assert!(said.contains("run it again to go on"), "{said}");
    assert!((100..600).contains(&done(&report, "written")), "{report:#}");
    clouds.fault("cosmos:create-item:latency,fixed=500ms");
    let repair = ["verify", "--repair", "--settle", "0", "--json"];
    let (report, said) = stopped(&clouds, &repair, 1, " keys looked at");
    assert!(said.contains("what was repaired stays so"), "{said}");
    assert!(done(&report, "drift") > done(&report, "left"), "{report:#}");
    clouds.clear_faults();
    let rest = run(&clouds, &["backfill", "--from", AWS, "--to", AZURE, "--yes", "--json"]);
    assert_eq!(rest.code, 0, "{}", rest.said);
    let sum = rest.report["written"].as_u64().unwrap() + rest.report["kept"].as_u64().unwrap();
    assert_eq!(sum, 600, "{:#}", rest.report);
    assert_eq!(told::<Vec<String>>(&clouds, &["compare"]), Vec::<String>::new());
}
