//! Dead letters in bulk. `BRIDGE_REPLAY_LETTERS` and `BRIDGE_REPLAY_KILLS` make it as large as one likes: `just replay-bulk`.

use std::time::{Duration, Instant};

use serde_json::json;

use super::sites::{HERE, Site, THERE, body, fill, letter, look, outcome, replay};
use crate::program::{Clouds, Running};

fn figure(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Half the letters are owed to the peer, a quarter is malformed, a quarter is stale at the peer.
fn prepare(clouds: &Clouds, from: &'static str, to: &'static str, count: u64) -> (Site, Site) {
    let (source, target) = (Site::of(clouds, from), Site::of(clouds, to));
    let key = |n: u64| format!("order-{n}");
    let letters: Vec<_> = (0..count)
        .map(|n| match n % 4 {
            0 => letter(format!("no event, number {n}"), "not_json", ""),
            1 => letter(body(n, from, &format!("stale-{}", n % 100), 1), "peer_unavailable", to),
            _ => letter(body(n, from, &key(n), 1), "peer_unavailable", to),
        })
        .collect();
    for n in (1..100).step_by(4) {
        target.put(&body(999_000 + n, to, &format!("stale-{n}"), 2));
    }
    fill(&*source.letters, &letters);
    (source, target)
}

fn bulk(from: &'static str, to: &'static str) {
    let (count, kills) = (figure("BRIDGE_REPLAY_LETTERS", 2_000), figure("BRIDGE_REPLAY_KILLS", 3));
    let clouds = Clouds::start(&["--without-workers"]);
    let (source, target) = prepare(&clouds, from, to, count);
    let letters = format!("{from}/dlq");
    let route = ["--from", &letters, "--to", "owed"];
    let (half, quarter) = (count / 2, count / 4);

    // The dry run tells each effect, and changes nothing.
    let planning = Instant::now();
    let (code, said) = outcome(replay(&clouds, &route).arg("--dry-run"));
    eprintln!("{from}: planned {count} letters in {:.1} s", planning.elapsed().as_secs_f64());
    assert_eq!(code, Some(0));
    let predicted = |reason: &str, effect: &str| said["plan"]["predicted"][reason][effect].as_u64().unwrap();
    assert_eq!(predicted("peer_unavailable", "apply"), half, "{said:#}");
    assert_eq!(predicted("peer_unavailable", "superseded"), quarter, "{said:#}");
    assert_eq!(predicted("not_json", "invalid"), quarter, "{said:#}");
    assert_eq!(look(&*source.letters).len() as u64, count);

    // Killed again and again, and resumed.
    let plan = clouds.file("plan.jsonl");
    let file = plan.to_str().unwrap();
    let arguments = [&route[..], &["--plan", file, "--resume", "--yes"]].concat();
    let journal = clouds.file("plan.jsonl.journal");
    let bytes = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let mut random = fastrand::Rng::with_seed(count);
    let mut killed = 0;
    while killed < kills {
        let mut run = Running::start(replay(&clouds, &arguments).stdout(std::process::Stdio::null()));
        // Some way into the run: so many more bytes of the journal are there.
        let grown = bytes(&journal) + random.u64(1..120 * count / (kills + 1));
        while bytes(&journal) < grown && run.has_ended().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if run.has_ended().is_some() {
            break;
        }
        run.signal("KILL");
        killed += 1;
    }
    eprintln!("{from}: killed {killed} times");
    assert!(killed > 0);
    let (code, said) = outcome(&mut replay(&clouds, &arguments));
    assert_eq!(code, Some(2), "the malformed are left: {said:#}");
    assert_eq!(said["end"], "finished");
    let expected = json!({
        "planned": count, "sent": half + quarter, "applied": 0, "superseded": 0, "duplicate": 0,
        "removed": half + quarter, "kept": 0, "left": quarter, "unseen": 0, "unremoved": 0, "untried": 0,
    });
    assert_eq!(said["all"], expected, "{said:#}");

    // What is left is just what no site takes, byte for byte; what was owed arrives.
    let left = look(&*source.letters);
    assert_eq!(left.len() as u64, quarter);
    assert!(
        left.iter()
            .all(|one| one.properties["bridge_reason"] == "not_json" && one.body.starts_with(b"no event, number"))
    );
    let _worker = clouds.worker(to);
    let deadline = Instant::now() + Duration::from_secs(60 + count / 100);
    for n in (0..count).filter(|n| n % 4 > 1) {
        while target.get(&format!("order-{n}")).is_none() {
            assert!(Instant::now() < deadline, "order-{n} never came");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    for n in (1..100).step_by(4) {
        let held = target.get(&format!("stale-{n}")).unwrap();
        assert_eq!(held.source_region.as_str(), to, "the later write stands");
    }
}

#[test]
fn letters_in_sqs_are_brought_as_predicted_however_often_the_run_is_killed() {
    bulk(HERE, THERE);
}

#[test]
fn letters_in_service_bus_are_brought_as_predicted_however_often_the_run_is_killed() {
    bulk(THERE, HERE);
}

/// Faster than the console's own move of messages, which has 500 a second, and in little memory.
fn quick(from: &'static str, to: &'static str) {
    let count = figure("BRIDGE_REPLAY_LETTERS", 2_000);
    let clouds = Clouds::start(&["--without-workers"]);
    let (_source, _target) = prepare(&clouds, from, to, count);
    let plan = clouds.file("plan.jsonl");
    let letters = format!("{from}/dlq");
    let route = ["--from", &letters, "--to", "owed", "--plan", plan.to_str().unwrap(), "--yes", "--json"];
    let output = clouds.file("output.json");
    let mut run = Running::start(replay(&clouds, &route).stdout(std::fs::File::create(&output).unwrap()));
    let mut peak = 0.0;
    while run.has_ended().is_none() {
        peak = f64::max(peak, run.memory_now_mb().unwrap_or_default());
        std::thread::sleep(Duration::from_millis(10));
    }
    let said: serde_json::Value = serde_json::from_slice(&std::fs::read(&output).unwrap()).unwrap();
    assert_eq!(said["all"]["removed"], count / 2 + count / 4, "{said:#}");
    let rate = said["messages_per_second"].as_f64().unwrap();
    eprintln!("{from}: {count} letters, {rate:.0} a second, {peak:.1} MB at the peak");
    assert!(peak > 0.0 && peak < 60.0, "{peak:.1} MB");
    assert!(rate > 500.0, "the console does 500 a second, this {rate:.0}");
}

#[test]
fn letters_in_sqs_are_brought_quickly_and_in_little_memory() {
    quick(HERE, THERE);
}

#[test]
fn letters_in_service_bus_are_brought_quickly_and_in_little_memory() {
    quick(THERE, HERE);
}

/// Within 5 %, although a quarter of what lies there is in the way.
#[test]
fn the_rate_is_kept() {
    let clouds = Clouds::start(&["--without-workers"]);
    let (_source, _target) = prepare(&clouds, HERE, THERE, 2_000);
    let letters = format!("{HERE}/dlq");
    let (_, said) = outcome(&mut replay(&clouds, &["--from", &letters, "--to", "owed", "--yes", "--rate", "300"]));
    let kept = said["messages_per_second"].as_f64().unwrap();
    eprintln!("asked for 300 a second: {kept:.1}");
    assert!((285.0..=315.0).contains(&kept), "{said:#}");
}

/// Ctrl-C ends a run at once: what it held is given back, not left to its leases, and the next run goes on.
#[test]
fn an_interrupted_run_gives_everything_back() {
    let clouds = Clouds::start(&["--without-workers"]);
    let (source, _target) = prepare(&clouds, THERE, HERE, 400);
    let plan = clouds.file("plan.jsonl");
    let letters = format!("{THERE}/dlq");
    let route = ["--from", &letters, "--to", "owed", "--plan", plan.to_str().unwrap(), "--resume", "--yes"];
    let mut run = Running::start(&mut replay(&clouds, &[&route[..], &["--rate", "50"]].concat()));
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::fs::metadata(clouds.file("plan.jsonl.journal")).map_or(0, |file| file.len()) < 5_000 {
        assert!(Instant::now() < deadline, "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    run.signal("INT");
    assert_eq!(run.end(Duration::from_secs(10)).code(), Some(130));
    // What it did is told of the plan; the rest is to do.
    let (code, said) = outcome(&mut replay(&clouds, &["--plan", plan.to_str().unwrap(), "--dry-run"]));
    let count = |name: &str| said["plan"][name].as_u64().unwrap();
    assert!(code == Some(0) && count("brought") > 0 && count("brought") + count("open") == 300, "{said:#}");
    let interrupted = Instant::now();
    let (code, said) = outcome(&mut replay(&clouds, &route));
    assert_eq!(code, Some(2), "{said:#}");
    assert_eq!((&said["all"]["removed"], &said["all"]["left"]), (&300.into(), &100.into()), "{said:#}");
    assert!(interrupted.elapsed() < Duration::from_secs(20), "no lease of 30 s had to be waited for");
    assert_eq!(look(&*source.letters).len(), 100);
}
