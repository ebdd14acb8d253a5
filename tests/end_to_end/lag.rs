//! What `bridge lag` says while something is wrong: the figures are right, and what is not known is not zero.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Clouds, Running, bridge, day, must};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

fn look(clouds: &Clouds) -> Value {
    let output = must(bridge().args(["lag", "--json", "--conflicts", "--config"]).arg(clouds.config()));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn lag<'a>(report: &'a Value, from: &str, to: &str) -> &'a Value {
    report["lag"].as_array().unwrap().iter().find(|lag| lag["from"] == from && lag["to"] == to).unwrap()
}

fn site<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["sites"].as_array().unwrap().iter().find(|site| site["site"] == name).unwrap()
}

/// Looks until it is as it should be; the report, and how long that took.
fn until(clouds: &Clouds, limit: Duration, is_so: impl Fn(&Value) -> bool) -> (Value, Duration) {
    let start = Instant::now();
    loop {
        let report = look(clouds);
        if is_so(&report) {
            return (report, start.elapsed());
        }
        assert!(start.elapsed() < limit, "not so within {limit:?}: {report:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn near(value: &Value, expected: f64, slack: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() <= slack)
}

/// Seconds that every send to the other cloud takes.
const DELAY: f64 = 3.0;

/// Workers whose clocks are half a minute fast and a third of a minute slow change nothing but the skew that is told.
#[test]
fn the_lag_is_the_delay_that_was_injected_whatever_the_workers_clocks_say() {
    let clouds = Clouds::start(&["--without-workers"]);
    clouds.fault("service-bus:rest-send:latency,fixed=3s");
    let clocked = |site, offset_ms| clouds.worker_with(site, &[("BRIDGE_WORKER_CLOCK_OFFSET_MS", offset_ms)]);
    let _workers = [clocked(HERE, "30000"), clocked(THERE, "-20000")];
    let slack = DELAY * 0.1;
    let (report, _) = until(&clouds, Duration::from_secs(60), |report| {
        let skew = |name: &str| &site(report, name)["worker"]["clock_skew_seconds"];
        let lag = lag(report, HERE, THERE);
        near(skew(HERE), 30.0, 0.15)
            && near(skew(THERE), -20.0, 0.15)
            && lag["state"] == "heard"
            && self::lag(report, THERE, HERE)["state"] == "heard"
            && near(&lag["seconds"], DELAY, slack)
    });
    assert!(lag(&report, THERE, HERE)["seconds"].as_f64().unwrap() >= 0.0);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(2));
        let report = look(&clouds);
        assert!(near(&lag(&report, HERE, THERE)["seconds"], DELAY, slack), "{report:#}");
    }
}

/// A site that is gone shows at once as not known, and its silence at the others as silence, never as zero.
#[test]
fn a_dark_site_is_shown_within_five_seconds() {
    let clouds = Clouds::start(&[]);
    let heard = |report: &Value| {
        [(HERE, THERE), (THERE, HERE)].iter().all(|(from, to)| lag(report, from, to)["state"] == "heard")
    };
    let (report, _) = until(&clouds, Duration::from_secs(30), heard);
    assert!(site(&report, THERE)["recovery_point"]["seconds"].as_f64().unwrap() < 2.0, "{report:#}");
    assert_eq!(site(&report, HERE)["worker"]["circuits"][THERE], "closed");

    clouds.fault("azure:*:dark");
    let gone = |report: &Value| {
        let dark = site(report, THERE);
        let unknown = ["backlog_messages", "dead_letters"].iter().all(|field| dark[field].is_null());
        dark["unreachable"] == true && unknown && lag(report, HERE, THERE)["state"] == "unknown"
    };
    let (report, took) = until(&clouds, Duration::from_secs(5), gone);
    println!("shown after {took:?}");
    assert!(lag(&report, HERE, THERE)["seconds"].is_null());
    assert!(!site(&report, THERE)["trouble"].as_array().unwrap().is_empty(), "and why");
    let (report, _) = until(&clouds, Duration::from_secs(30), |report| lag(report, THERE, HERE)["state"] == "silent");
    assert!(lag(&report, THERE, HERE)["seconds"].is_null());
    assert!(lag(&report, THERE, HERE)["age_seconds"].as_f64() > Some(5.0));
    let (_, _) =
        until(&clouds, Duration::from_secs(60), |report| site(report, HERE)["worker"]["circuits"][THERE] == "open");

    clouds.clear_faults();
    let (report, _) = until(&clouds, Duration::from_secs(60), heard);
    assert_eq!(site(&report, HERE)["dead_letters"]["by_reason"].get("retries_exhausted"), None);
}

/// What the page finds, the command finds: nothing in calm, and the cloud that is dark first. Only --strict makes an exit code of it.
#[test]
fn findings_are_told_with_their_next_step_and_strict_makes_an_exit_code_of_them() {
    let clouds = Clouds::start(&[]);
    let lag = |flags: &[&str]| {
        let output = bridge().arg("lag").args(flags).arg("--config").arg(clouds.config()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    until(&clouds, Duration::from_secs(30), |report| report["findings"].as_array().unwrap().is_empty());
    let (code, said) = lag(&["--strict"]);
    assert!(code == Some(0) && said.ends_with("\nnothing found\n"), "{code:?}: {said}");

    clouds.fault("azure:*:dark");
    let (report, _) = until(&clouds, Duration::from_secs(30), |report| {
        report["findings"].as_array().unwrap().iter().any(|one| one["place"] == format!("reach/{THERE}"))
    });
    let found = report["findings"].as_array().unwrap();
    let gone = found.iter().find(|one| one["place"] == format!("reach/{THERE}")).unwrap();
    assert_eq!((&gone["level"], &gone["site"], &gone["runbook"]), (&"bad".into(), &THERE.into(), &"azure-down".into()));
    assert_eq!(gone["text"], format!("{THERE} cannot be reached"));
    assert_eq!(gone["next"], format!("bridge doctor --site {THERE}"));
    assert!(gone["detail"].as_str().unwrap().contains("service-bus"), "why: {gone}");
    for one in found {
        let members: Vec<_> = one.as_object().unwrap().keys().collect();
        let expected = ["consequences", "detail", "level", "next", "place", "runbook", "since", "site", "text"];
        assert_eq!(members, expected);
    }
    let (code, said) = lag(&["--strict"]);
    let line = said.find(&format!("\n  bad  {THERE} cannot be reached\n"));
    let next = said.find(&format!("\n       next: bridge doctor --site {THERE}; runbooks/azure-down.md\n"));
    assert!(code == Some(2) && line.is_some() && line < next, "{code:?}: {said}");
    assert_eq!(lag(&["--strict", "--json"]).0, Some(2));
    assert_eq!(lag(&[]).0, Some(0), "as before");
    assert_eq!(lag(&["--strict", "--watch"]).0, Some(64), "a watch does not end by itself");
}

/// Messages that wait for a retry are found though the workers beat and no letter lies anywhere.
#[test]
fn all_is_not_well_while_messages_back_off() {
    // A message that fails comes again after minutes.
    let slow = [("BRIDGE_WORKER_RETRY_DELAY_BASE_MS", "300000"), ("BRIDGE_WORKER_RETRY_DELAY_MAX_MS", "300000")];
    let clouds = Clouds::start_with(&[], &slow);
    until(&clouds, Duration::from_secs(30), |report| report["findings"].as_array().unwrap().is_empty());
    // The SDK tries three times. Then the store answers the worker's own record, so the key is what fails. Now and then another write is hit.
    for id in 1..=8_u8 {
        clouds.fault("dynamodb:PutItem:error,count=3");
        let event = format!(
            r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-0000000000{id:02}","source_region":"{HERE}","op_type":"upsert","payload":{{"id":"slow-{id}"}},"timestamp":"{}T01:02:03Z"}}"#,
            day()
        );
        let file = clouds.file("slow.json");
        std::fs::write(&file, event).unwrap();
        must(bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&file));
        std::thread::sleep(Duration::from_millis(500));
    }
    let place = format!("backing_off/{HERE}");
    let has = |one: &Value| one["place"] == place.as_str() && one["level"] == "warn";
    let (report, _) = until(&clouds, Duration::from_secs(30), |report| {
        let found = report["findings"].as_array().unwrap();
        found.iter().any(|one| has(one) || one["consequences"].as_array().unwrap().iter().any(has))
    });
    assert!(site(&report, HERE)["backing_off_messages"].as_u64() >= Some(1), "{report:#}");
}

/// With nothing to be reached at all the command fails, and says what it tried.
#[test]
fn nothing_reachable_is_a_failure() {
    let clouds = Clouds::start(&["--without-workers"]);
    clouds.fault("*:*:dark");
    let output = bridge().args(["lag", "--config"]).arg(clouds.config()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("UNREACHABLE") && said.contains("not known"), "{said}");
}

/// The same key written at both sites at once: one write loses, is counted, and stands in the ledger.
#[test]
fn a_write_that_lost_to_another_sites_is_listed() {
    let clouds = Clouds::start(&["--without-workers"]);
    let event = |id: u8, origin: &str, second: u8| {
        format!(
            r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-0000000000{id:02}","source_region":"{origin}","op_type":"upsert","payload":{{"id":"disputed"}},"timestamp":"{day}T01:02:{second:02}Z"}}"#,
            day = day()
        )
    };
    let file = clouds.file("events.jsonl");
    std::fs::write(&file, [event(1, HERE, 3), event(2, THERE, 4)].join("\n")).unwrap();
    must(bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&file));
    // The winner's site is done with its own write before the loser comes.
    let there = clouds.worker(THERE);
    std::thread::sleep(Duration::from_secs(2));
    let here = clouds.worker(HERE);
    let (report, _) = until(&clouds, Duration::from_secs(30), |report| {
        !report["conflicts"].as_array().unwrap().is_empty()
            && site(report, THERE)["worker"]["conflicts"].as_u64() >= Some(1)
    });
    // The other site may have seen it too: it depends on what came first there.
    let conflict = report["conflicts"].as_array().unwrap().iter().find(|one| one["site"] == THERE).unwrap();
    assert_eq!(conflict["key"], "disputed");
    assert_eq!((&conflict["lost"]["origin"], &conflict["won"]["origin"]), (&HERE.into(), &THERE.into()));
    drop::<[Running; 2]>([here, there]);
    let listed = must(bridge().args(["lag", "--conflicts", "--config"]).arg(clouds.config()));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(&format!("disputed: {}T01:02:03.000Z of aws:us-east-1 lost to", day())), "{listed}");
}

/// Backlog and dead letters, by reason, as they lie in both clouds; and what would be missing if a site vanished.
#[test]
fn backlog_and_dead_letters_are_counted_at_both_sites() {
    let clouds = Clouds::start(&["--without-workers"]);
    let lines: Vec<String> = [HERE, THERE].iter().flat_map(|origin| {
        (10..17).map(move |id| {
            format!(
                r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-0000000000{id}","source_region":"{origin}","op_type":"upsert","payload":{{"id":"k{id}"}},"timestamp":"{day}T01:02:03Z"}}"#, day = day()
            )
        })
    }).collect();
    let file = clouds.file("events.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    must(bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&file));
    let report = look(&clouds);
    for name in [HERE, THERE] {
        let site = site(&report, name);
        assert_eq!(site["backlog_messages"], 7, "{report:#}");
        assert_eq!(site["recovery_point"]["events"], 7);
        assert_eq!((&site["worker"], &site["recovery_point"]["seconds"]), (&Value::Null, &Value::Null));
        assert_eq!(lag(&report, HERE, THERE)["state"], "never");
    }
    assert!(site(&report, THERE)["oldest_age_seconds"].as_f64().unwrap() < 60.0, "Service Bus says it");
    assert!(site(&report, HERE)["oldest_age_seconds"].is_null(), "SQS does not");

    // A peer without permission: what this site forwards is owed to it.
    clouds.fault("service-bus:rest-send:denied");
    let _worker = clouds.worker_with(HERE, &[("BRIDGE_WORKER_HEARTBEAT_SECONDS", "0")]);
    let (report, _) = until(&clouds, Duration::from_secs(30), |report| {
        let here = site(report, HERE);
        here["dead_letters"]["by_reason"]["peer_unavailable"] == 7 && here["recovery_point"]["events"] == 7
    });
    let here = site(&report, HERE);
    assert_eq!((&here["dead_letters"]["messages"], &here["dead_letters"]["unread"]), (&7.into(), &0.into()));
}
