//! Chaos from end to end: the built binary on both clouds, two workers a site, a steady load under conflict, and everything that can
//! go wrong at moments that a seed decides (`schedule.rs`). Then the faults end, the operator brings what is owed, and all must be at
//! rest, equal and accounted for; what must be is computed by `tests/clients/chaos.py`, which knows nothing of our code.
//!
//! `BRIDGE_CHAOS_SEED` repeats a schedule, `BRIDGE_CHAOS_SECONDS` makes it longer: `./just chaos SECONDS SEED`.

mod conductor;
mod schedule;
mod traffic;
mod workers;

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bridge_adapters::aws::SqsDepth;
use bridge_core::port::Depth as _;
use bridge_tests::cloud::runtime;
use conductor::{Conductor, wait};
use schedule::{KINDS, ROUND, schedule};
use serde_json::{Value, json};
use traffic::{Sent, Signals, write};

use crate::{
    program::{Clouds, bridge, must},
    replay::sites::{Site, aws_clients, outcome, replay},
};

const AWS: &str = "aws:us-east-1";
const AZURE: &str = "azure:westeurope";

/// Lease of both queues: so short that a worker that is frozen for longer wakes up without its leases.
const LEASE_SECONDS: u64 = 3;

/// How long after the last fault the queues may take to become empty. Most of it is waiting: for leases of killed workers, for
/// a halted one's next look (5 to 10 s), and for other tests on the same cores.
const REST_MAX: Duration = Duration::from_secs(60);

/// How long letters of SQS can be hidden by a replay that faults ended while it looked at them: `docs/replay.md`.
const HIDDEN_MAX: Duration = Duration::from_secs(130);

fn figure(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn what_is_written_under_chaos_ends_equal_and_accounted_for() {
    let seed = figure("BRIDGE_CHAOS_SEED", 1);
    let seconds = figure("BRIDGE_CHAOS_SECONDS", ROUND.as_secs());
    let rounds = u32::try_from(seconds.div_ceil(ROUND.as_secs())).unwrap();
    eprintln!("BRIDGE_CHAOS_SEED={seed}, {rounds} rounds of {ROUND:?}");
    let clouds = Clouds::start(&[
        "--without-workers",
        "--lease-seconds",
        &LEASE_SECONDS.to_string(),
        "--seed",
        &seed.to_string(),
    ]);
    let sites = [Site::of(&clouds, AWS), Site::of(&clouds, AZURE)];
    let [queue, letters] = ["queue_url", "dead_letter_queue_url"].map(|queue| depth_of_aws(&clouds, queue));
    let signals = Signals::default();
    let begin = Instant::now();

    let mut conductor = Conductor::new(&clouds, &queue);
    let sent: Vec<Sent> = std::thread::scope(|scope| {
        let writers = [0, 1].map(|home| {
            scope.spawn({
                let (sites, signals) = (&sites, &signals);
                move || write(sites, home, seed, signals)
            })
        });
        // Should a step panic, the writers must end too.
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut told = Instant::now();
            conductor.play(schedule(seed, rounds), |conductor| {
                if told.elapsed() > Duration::from_secs(5) {
                    told = Instant::now();
                    tell(&clouds, &signals, begin, &conductor.last);
                }
            });
        }));
        signals.over.store(true, Ordering::Relaxed);
        conductor.calm();
        let sent = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        if let Err(panic) = played {
            std::panic::resume_unwind(panic);
        }
        sent
    });
    let worst = Instant::now();

    // Everybody ends in an orderly way, and one successor a site brings all to rest, without heartbeats to disturb it.
    conductor.workers.stop_all();
    for place in [0, 2] {
        conductor.workers.start(place, &[("BRIDGE_WORKER_HEARTBEAT_SECONDS", "0")]);
    }
    wait(REST_MAX, "the queues are not empty", || at_rest(&clouds));
    wait(HIDDEN_MAX, "letters are hidden", || none_hidden(&letters));
    conductor.kill_one_replay();
    bring_what_is_owed(&clouds, &mut conductor);
    wait(REST_MAX, "the queues are not empty after the replay", || at_rest(&clouds));
    wait(HIDDEN_MAX, "letters are hidden", || none_hidden(&letters));
    let rested = worst.elapsed();

    let requests: Value = serde_json::from_str(&clouds.admin("GET", "/requests", "")).unwrap();
    let state = clouds.file("state.json");
    std::fs::write(&state, json!({ "sent": sent }).to_string()).unwrap();
    let found = clouds.script("chaos.py", &["--state", state.to_str().unwrap()]).stdout;
    let verified: Value = serde_json::from_slice(
        &must(bridge().args(["verify", "--json", "--settle", "1", "--config"]).arg(clouds.config())).stdout,
    )
    .unwrap();
    assert_eq!(verified["drift"], 0, "{verified:#}");
    conductor.workers.stop_all();

    conductor.hits.add("dark: connections refused", count(&requests, "connect", "dropped"));
    let told = count(&requests, "settle", "lock-lost") + count(&requests, "renew", "410");
    conductor.hits.add("leases lost: told by Service Bus", told);
    let lost = conductor.workers.books.iter().filter_map(|books| books["leases_lost"].as_u64()).sum();
    conductor.hits.add("leases lost: in the books of those who woke up", lost);
    eprintln!("{}", String::from_utf8_lossy(&found));
    table(&conductor, seed, &signals, (worst - begin, rested));
    assert_it_was_chaos(&conductor);
}

fn depth_of_aws(clouds: &Clouds, queue: &str) -> SqsDepth {
    SqsDepth::new(aws_clients(clouds, AWS), clouds.ready["sites"][AWS][queue].as_str().unwrap().to_owned())
}

/// Whether no letter of SQS is in the hands of a replay that is no more: nobody else can see it until its lease ends.
fn none_hidden(letters: &SqsDepth) -> bool {
    runtime().block_on(letters.depth()).unwrap().in_flight == Some(0)
}

/// Whether both queues are empty, of what is hidden too: by the brokers' own counts, as `bridge lag` tells them.
fn at_rest(clouds: &Clouds) -> bool {
    let output = bridge().args(["lag", "--json", "--config"]).arg(clouds.config()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts = ["backlog_messages", "in_flight_messages", "backing_off_messages", "delayed_messages"];
    let empty = |site: &Value| counts.iter().all(|count| site[count].as_u64().unwrap_or_default() == 0);
    report["sites"].as_array().unwrap().iter().all(empty)
}

/// What an operator does afterwards: goes on with what was killed, and then brings the rest.
fn bring_what_is_owed(clouds: &Clouds, conductor: &mut Conductor) {
    for site in [AWS, AZURE] {
        let from = format!("{site}/dlq");
        let route = vec!["--from", &from, "--to", "owed", "--yes"];
        let plan = conductor.killed.get(site).map(|plan| plan.display().to_string());
        // One that was killed behind its last message has nothing left to go on with, and would be refused.
        let is_open =
            |plan: &String| outcome(&mut replay(clouds, &["--plan", plan, "--dry-run"])).1["plan"]["open"] != 0;
        let plan = plan.filter(is_open);
        let resumed = plan.iter().map(|plan| [&route[..], &["--resume", "--plan", plan]].concat());
        for arguments in resumed.chain([route.clone()]) {
            let (code, said) = outcome(&mut replay(clouds, &arguments));
            // 2: the flawed ones stay.
            assert!(matches!(code, Some(0 | 2)), "{site}: {code:?} {said:#}");
            for (reason, counts) in said["reasons"].as_object().unwrap() {
                let removed = counts["removed"].as_u64().unwrap();
                if removed > 0 {
                    conductor.hits.add(&format!("letters brought: {reason}"), removed);
                }
            }
        }
    }
}

/// How often the services ended an operation in one of these ways.
fn count(requests: &Value, operation: &str, status: &str) -> u64 {
    let found = requests["requests"].as_array().unwrap().iter().filter(|request| {
        request["operation"] == operation && request["status"].as_str().is_some_and(|word| word.contains(status))
    });
    found.filter_map(|request| request["count"].as_u64()).sum()
}

fn tell(clouds: &Clouds, signals: &Signals, begin: Instant, last: &str) {
    let requests: Value = serde_json::from_str(&clouds.admin("GET", "/requests", "")).unwrap();
    let writes = [("PutItem", "200"), ("create-item", "201"), ("replace-item", "200")];
    let written: u64 = writes.iter().map(|(operation, status)| count(&requests, operation, status)).sum();
    let (confirmed, failed) = (signals.confirmed.load(Ordering::Relaxed), signals.failed.load(Ordering::Relaxed));
    let seconds = begin.elapsed().as_secs_f64();
    eprintln!("{seconds:5.0} s  sent {confirmed}, not confirmed {failed}, written {written}; {last}");
}

fn table(conductor: &Conductor, seed: u64, signals: &Signals, (chaos, rest): (Duration, Duration)) {
    eprintln!("seed {seed}: {:.0} s of chaos, at rest {:.0} s after it", chaos.as_secs_f64(), rest.as_secs_f64());
    eprintln!("sends not confirmed at first: {}", signals.failed.load(Ordering::Relaxed));
    for (what, (times, hits)) in &conductor.hits.0 {
        eprintln!("{what:45} {times:6} times {hits:8}");
    }
    let total = |field: &str| conductor.workers.books.iter().filter_map(|books| books[field].as_u64()).sum::<u64>();
    let columns = ["delivered", "acked", "retried", "dead_lettered", "left", "leases_lost"];
    let totals: Vec<String> = columns.iter().map(|column| format!("{column} {}", total(column))).collect();
    eprintln!("books of {} workers that ended by SIGTERM: {}", conductor.workers.books.len(), totals.join(", "));
}

/// A run in which nothing went wrong would show nothing.
fn assert_it_was_chaos(conductor: &Conductor) {
    let hits = &conductor.hits;
    for what in [
        "kill: workers",
        "kill: messages in hands",
        "stop: workers",
        "thaw: workers",
        "cut: connections",
        "replay: killed in mid-run",
        "letters brought: peer_unavailable",
        "leases lost",
        "dark: connections refused",
        "on sqs",
        "on dynamodb",
        "on service-bus",
        "on cosmos",
    ] {
        assert!(hits.of(what) > 0, "{what}: nothing was hit, so nothing is shown: {hits:?}");
    }
    for kind in KINDS {
        let name = format!("fault {}", kind.split(',').next().unwrap());
        assert!(hits.of(&name) > 0, "{name}: nothing was hit, so nothing is shown: {hits:?}");
    }
    assert!(!conductor.workers.books.is_empty());
}
