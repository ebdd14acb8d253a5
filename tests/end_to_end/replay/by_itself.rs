//! What a peer is owed comes over by itself when it answers again. `BRIDGE_OWED_EVENTS` and `BRIDGE_OWED_KILLS` make it as large as one likes.

use std::time::{Duration, Instant};

use bridge_core::port::{Place, Queue};
use bridge_tests::cloud::runtime;

use super::sites::{HERE, Site, THERE, body, fill, letter, look};
use crate::program::{Clouds, Running};

fn figure(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Whether nothing lies there. One message is looked at: to look at all of them takes longer than what is measured.
fn is_empty(queue: &dyn Queue) -> bool {
    runtime().block_on(async {
        let shown = queue.browse(&mut Place::default(), 1).await.unwrap();
        queue.release(&shown.iter().map(|one| one.receipt.clone()).collect::<Vec<_>>()).await;
        shown.is_empty()
    })
}

/// Letters of `alive` owe events to `dark`, which is dark until its worker and the other have looked; then nobody does anything. Workers of
/// `alive` are killed in the middle.
fn by_itself(cloud: &str, dark: &'static str, alive: &'static str) {
    let (count, kills) = (figure("BRIDGE_OWED_EVENTS", 2_000), figure("BRIDGE_OWED_KILLS", 3));
    let clouds = Clouds::start(&["--without-workers"]);
    let (lost, left) = (Site::of(&clouds, dark), Site::of(&clouds, alive));
    let key = |n: u64| format!("order-{n}");
    let letters: Vec<_> = (0..count)
        .map(|n| letter(body(n, alive, &key(n), 1), "peer_unavailable", dark))
        .chain([letter("no event", "not_json", "")])
        .collect();
    fill(&*left.letters, &letters);
    clouds.fault(&format!("{cloud}:*:dark"));
    // Without heartbeats, as every message is counted.
    let quiet = [("BRIDGE_WORKER_HEARTBEAT_SECONDS", "0")];
    let start = |site| clouds.worker_with(site, &quiet);
    let mut bringing = start(alive);
    std::thread::sleep(Duration::from_secs(8));

    clouds.clear_faults();
    let back = Instant::now();
    let deadline = back + Duration::from_secs(120 + 30 * kills + count / 100);
    let arrived = || lost.get(&key(0)).is_some() || !is_empty(&*lost.queue);
    while !arrived() {
        assert!(Instant::now() < deadline, "nothing came");
        std::thread::sleep(Duration::from_millis(50));
    }
    eprintln!("{dark}: the first of {count} owed events came {:.1} s after its return", back.elapsed().as_secs_f64());
    let _applying: Running = start(dark);
    for _ in 0..kills {
        bringing.signal("KILL");
        bringing = start(alive);
        std::thread::sleep(Duration::from_millis(3_500));
    }
    for n in 0..count {
        while lost.get(&key(n)).is_none() {
            assert!(Instant::now() < deadline, "{} never came", key(n));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    eprintln!("{dark}: all of {count} are there {:.1} s after its return, {kills} kills", back.elapsed().as_secs_f64());
    // The letters that killed workers had in hand come back when their leases end, and go.
    let rest =
        || look(&*left.letters).into_iter().map(|one| one.properties["bridge_reason"].clone()).collect::<Vec<_>>();
    while rest() != ["not_json"] {
        assert!(Instant::now() < deadline, "{:?}", rest());
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn what_aws_is_owed_comes_over_by_itself_however_often_workers_are_killed() {
    by_itself("aws", HERE, THERE);
}

#[test]
fn what_azure_is_owed_comes_over_by_itself_however_often_workers_are_killed() {
    by_itself("azure", THERE, HERE);
}
