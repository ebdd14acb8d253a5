//! The drills: the compute of a cloud gone while its queue can be read, and a whole cloud dark for a while.

use std::time::{Duration, Instant};

use super::sites::{HERE, Site, THERE, body, fill, look, outcome, replay};
use crate::program::{Clouds, Running, bridge, day, must};

/// That both stores hold the same of every key, within a while.
fn assert_equal(one: &Site, other: &Site, keys: impl Iterator<Item = String>) {
    let deadline = Instant::now() + Duration::from_secs(90);
    for key in keys {
        loop {
            if let (Some(one), Some(other)) = (one.get(&key), other.get(&key))
                && one.agrees_with(&other)
            {
                break;
            }
            assert!(Instant::now() < deadline, "{key}: {:?} and {:?}", one.get(&key), other.get(&key));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The compute of `gone` is gone, its queue can be read: what waits there is brought into the store of `alive`.
fn compute_gone(gone: &'static str, alive: &'static str) {
    let clouds = Clouds::start(&["--without-workers"]);
    let (lost, left) = (Site::of(&clouds, gone), Site::of(&clouds, alive));
    let key = |n: u64| format!("order-{}", n % 60);
    let waiting: Vec<_> = (0..240).map(|n| bridge_tests::message(body(n, gone, &key(n), n))).collect();
    fill(&*lost.queue, &waiting);
    // The other cloud goes on being written: some of its writes are later than what waits, some earlier.
    let here: Vec<_> = (0..60).map(|n| bridge_tests::message(body(500 + n, alive, &key(n), 5 * n))).collect();
    fill(&*left.queue, &here);
    // Without heartbeats, as every message is counted. One says the state of the worker.
    let count = waiting.len() + here.len() + 1;
    let _alive = clouds.worker_with(alive, &[("BRIDGE_WORKER_HEARTBEAT_SECONDS", "0")]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while look(&*lost.queue).len() < count {
        assert!(Instant::now() < deadline, "the site that is alive forwards what it writes");
        std::thread::sleep(Duration::from_millis(100));
    }

    let (from, to) = (format!("{gone}/queue"), format!("{alive}/store"));
    let (code, said) = outcome(&mut replay(&clouds, &["--from", &from, "--to", &to, "--yes"]));
    assert_eq!(code, Some(0), "{said:#}");
    assert_eq!((&said["all"]["planned"], &said["all"]["kept"]), (&count.into(), &count.into()), "{said:#}");
    for n in 180..240 {
        let record = left.get(&key(n)).unwrap();
        assert!(record.timestamp >= format!("{}T01:{:02}:{:02}Z", day(), n / 60, n % 60), "{record:?}");
    }
    // Nothing was taken from the site itself, whose own store has not got it; its compute comes back.
    assert_eq!(look(&*lost.queue).len(), count);
    let _gone = clouds.worker(gone);
    assert_equal(&lost, &left, (0..60).map(key));
}

#[test]
fn the_backlog_of_aws_is_brought_into_cosmos_without_any_compute_of_aws() {
    compute_gone(HERE, THERE);
}

#[test]
fn the_backlog_of_azure_is_brought_into_dynamodb_without_any_compute_of_azure() {
    compute_gone(THERE, HERE);
}

/// `cloud` is dark for a while under writes in the other one; then it is back, and what it is owed is brought.
fn site_dark(cloud: &str, dark: &'static str, alive: &'static str) {
    let seconds: u64 = std::env::var("BRIDGE_DRILL_SECONDS").map_or(10, |text| text.parse().unwrap());
    let clouds = Clouds::start(&["--without-workers"]);
    let (lost, left) = (Site::of(&clouds, dark), Site::of(&clouds, alive));
    // The operator brings it, so that the command is what is tested.
    let off = [("BRIDGE_WORKER_AUTO_REPLAY", "off")];
    let _workers: Vec<Running> = [dark, alive].map(|site| clouds.worker_with(site, &off)).into();
    let key = |n: u64| format!("order-{}", n % 50);
    let write = |numbers: std::ops::Range<u64>| {
        let lines: Vec<String> = numbers.map(|n| body(n, alive, &key(n), n)).collect();
        let file = clouds.file("events.jsonl");
        std::fs::write(&file, lines.join("\n")).unwrap();
        must(bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&file));
    };
    write(0..50);
    assert_equal(&lost, &left, (0..50).map(key));

    clouds.fault(&format!("{cloud}:*:dark"));
    let start = Instant::now();
    let mut written = 50;
    while start.elapsed() < Duration::from_secs(seconds) {
        write(written..written + 50);
        written += 50;
        std::thread::sleep(Duration::from_millis(500));
    }
    // The site that is alive has it all, at once; what the other is owed lies in the dead letters, or is on its way there.
    let deadline = Instant::now() + Duration::from_secs(60);
    let arrived =
        |n: u64| left.get(&key(n)).is_some_and(|record| record.payload.unwrap().get("number") == Some(&n.to_string()));
    while !(written - 50..written).all(arrived) || look(&*left.letters).len() as u64 != written - 50 {
        assert!(Instant::now() < deadline, "{} of {} letters", look(&*left.letters).len(), written - 50);
        std::thread::sleep(Duration::from_millis(200));
    }
    let from = format!("{alive}/dlq");
    let (code, said) = outcome(&mut replay(&clouds, &["--from", &from, "--to", "owed", "--yes"]));
    assert_eq!((code, &said["end"]), (Some(1), &"target_unavailable".into()), "still dark: {said:#}");
    assert_eq!(said["messages_per_second"], 0.0, "nothing was brought: {said:#}");
    assert_eq!(
        (&said["all"]["unseen"], &said["all"]["unremoved"]),
        (&0.into(), &0.into()),
        "nobody took any: {said:#}"
    );
    assert_eq!(look(&*left.letters).len() as u64, written - 50, "and nothing is lost by trying");

    clouds.clear_faults();
    let (code, said) = outcome(&mut replay(&clouds, &["--from", &from, "--to", "owed", "--yes"]));
    assert_eq!(code, Some(0), "{said:#}");
    assert_eq!(said["all"]["removed"], written - 50, "{said:#}");
    assert!(look(&*left.letters).is_empty());
    assert_equal(&lost, &left, (0..50).map(key));
    eprintln!(
        "{dark} was dark for {seconds} s: {} events were owed to it, brought in {} s",
        written - 50,
        said["seconds"]
    );
}

#[test]
fn what_aws_is_owed_after_an_outage_is_brought_with_one_command() {
    site_dark("aws", HERE, THERE);
}

#[test]
fn what_azure_is_owed_after_an_outage_is_brought_with_one_command() {
    site_dark("azure", THERE, HERE);
}
