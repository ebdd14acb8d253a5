//! A replay on memory queues and stores: what it brings, what it leaves, and that it may die anywhere.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bridge_adapters::layer::{Fault, FaultPlan, Faults, LayeredQueue, Meter, Observation, Operation, Rule};
use bridge_core::{
    event::{Key, SiteId},
    failure::FailureKind,
    incident::Untold,
    port::{Clock, Delivery, Depth, Message, Queue},
    property,
};
use bridge_ops::replay::{
    effect::Effect, journal::Outcome, ledger::Tally, pace::Pace, plan::Entry, run::End, setting::Setting,
};
use bridge_simulation::{
    executor::Mortal,
    operator::{self, Kept},
};

use futures_util::future;

use crate::world::{World, event, message, policy};

mod all_or_none;
mod arriving;
mod changed;
mod dropped;
mod edits;
mod in_hand;
mod owed;
mod removal;

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

fn world() -> World {
    World::by_hand(5, &[HERE, THERE], &policy())
}

fn setting(world: &World, from: &str, to: &str) -> Setting<'static> {
    operator::setting(world, from.parse().unwrap(), to.parse().unwrap(), "by hand")
}

async fn plan(setting: &Setting<'_>) -> Vec<Entry> {
    operator::plan(setting).await.unwrap()
}

async fn run(setting: &Setting<'_>, entries: &[Entry], journal: &Kept) -> (End, BTreeMap<String, Tally>) {
    operator::run(setting, entries, journal, Pace::new(None)).await
}

/// A letter as a worker writes it.
fn letter(number: u32, body: &str, reason: &str, owed: &str) -> Message {
    let mut letter = message(number, body);
    letter.properties.insert(property::REASON.to_owned(), reason.to_owned());
    if !owed.is_empty() {
        letter.properties.insert(property::OWED.to_owned(), owed.to_owned());
    }
    letter
}

fn body(id: u128, origin: &str, key: &str, second: i64) -> String {
    event(id, origin, "upsert", key, second).to_string()
}

/// Thirty letters: ten owed to the peer, five to the site itself, five stale, five malformed, five duplicates.
fn fill(world: &World) {
    let letters = |number: u32, make: &dyn Fn(u32) -> Message| (0..number).map(make).collect::<Vec<_>>();
    let peer = letters(10, &|n| letter(n, &body(n.into(), HERE, &format!("p{n}"), 1), "peer_unavailable", THERE));
    let own =
        letters(5, &|n| letter(n, &body(100 + u128::from(n), HERE, &format!("o{n}"), 1), "retries_exhausted", HERE));
    let stale =
        letters(5, &|n| letter(n, &body(200 + u128::from(n), HERE, &format!("s{n}"), 1), "retries_exhausted", HERE));
    let bad = letters(5, &|n| letter(n, &format!("no event {n}"), "not_json", ""));
    let again =
        letters(5, &|n| letter(n, &body(300 + u128::from(n), HERE, &format!("d{n}"), 1), "store_rejected", HERE));
    let site = world.site(HERE);
    for group in [peer, own, stale, bad, again] {
        assert!(world.clock.drive(site.letters.send(&group)).iter().all(Result::is_ok));
    }
    for n in 0..5_u32 {
        // What the site holds already: a later write of some, the very same of others.
        world.send(HERE, &[body(400 + u128::from(n), HERE, &format!("s{n}"), 2)]);
        world.send(HERE, &[body(300 + u128::from(n), HERE, &format!("d{n}"), 1)]);
    }
    world.drain(10);
}

fn version(world: &World, site: &str, key: &str) -> Option<String> {
    let key: Key = key.parse().unwrap();
    let record = world.clock.drive(world.site(site).store.get(&key)).unwrap();
    record.map(|record| record.version.to_string())
}

#[test]
fn each_letter_goes_to_just_the_sites_that_it_names() {
    let world = world();
    fill(&world);
    let setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    assert_eq!(world.site(HERE).letters.len(), 30, "a plan takes nothing");
    let count = |effect| entries.iter().filter(|entry| entry.effect() == effect).count();
    assert_eq!(
        [Effect::Apply, Effect::Superseded, Effect::Duplicate, Effect::Invalid].map(count),
        [15, 5, 5, 5],
        "{entries:?}"
    );
    let journal = Kept::default();
    let (end, tallies) = world.clock.drive(run(&setting, &entries, &journal));
    assert!(matches!(end, End::Finished), "{end:?}");
    let of = |reason: &str| &tallies[reason];
    assert_eq!(of("peer_unavailable").done, [(Outcome::Sent, 10)].into());
    assert_eq!(of("retries_exhausted").done, [(Outcome::Applied, 5), (Outcome::Superseded, 5)].into());
    assert_eq!(of("store_rejected").done, [(Outcome::Duplicate, 5)].into());
    assert_eq!((of("not_json").left, of("not_json").removed), (5, 0));
    assert_eq!(world.site(THERE).queue.len(), 10, "only the peer is sent anything, and only what it is owed");
    assert_eq!(world.site(HERE).queue.len(), 0);
    let left = world.site(HERE).letters.snapshot();
    assert!(left.len() == 5 && left.iter().all(|(_, properties)| properties["bridge_reason"] == "not_json"));
    world.drain(10);
    for n in 0..10 {
        assert!(version(&world, THERE, &format!("p{n}")).is_some());
    }
    assert!(world.sites.values().all(|site| site.letters.len() <= 5), "nothing loops");
}

#[test]
fn what_came_after_the_plan_is_untouched_and_what_was_taken_is_not_invented() {
    let world = world();
    fill(&world);
    let setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    let letters = &world.site(HERE).letters;
    let late = letter(99, &body(900, HERE, "late", 1), "peer_unavailable", THERE);
    world.clock.drive(async {
        letters.send(&[late]).await;
        // Another consumer takes three.
        let taken = letters.receive(31, Duration::ZERO).await.unwrap();
        let late = |one: &&Delivery| String::from_utf8_lossy(&one.body).contains("late");
        let owed = taken.iter().filter(|one| one.properties["bridge_reason"] == "peer_unavailable" && !late(one));
        let three: Vec<_> = owed.take(3).map(|one| one.receipt.clone()).collect();
        letters.ack(&three).await;
        let others = taken.iter().map(|one| one.receipt.clone()).filter(|receipt| !three.contains(receipt));
        letters.release(&others.collect::<Vec<_>>()).await;
    });
    let (end, tallies) = world.clock.drive(run(&setting, &entries, &Kept::default()));
    assert!(matches!(end, End::Finished), "{end:?}");
    let tally = &tallies["peer_unavailable"];
    assert_eq!((tally.removed, tally.unseen, tally.left), (7, 3, 0));
    assert_eq!(letters.len(), 6, "five that no site takes, and the late one");
    assert_eq!(version(&world, THERE, "late"), None);
    let back = world.clock.drive(letters.receive(10, Duration::ZERO)).unwrap();
    assert_eq!(back.len(), 6, "given back, not merely left to their leases");
}

/// Killed at every await in turn, and run again with the same journal: it ends as one run does.
#[test]
fn killed_anywhere_and_resumed_it_ends_the_same() {
    let mut awaits = 0;
    loop {
        let world = world();
        fill(&world);
        // Every call takes its time, so that each is an await of its own; and every message goes alone.
        let slow = Rule::always(Fault::Late(Duration::from_millis(10)));
        let calls = Arc::new(FaultPlan::new(1, vec![slow.clone()]));
        world.site(HERE).writes.add(slow.clone());
        world.site(THERE).inbound.add(slow);
        let mut setting = setting(&world, "aws:us-east-1/dlq", "owed");
        let entries = world.clock.drive(plan(&setting));
        let queue = Arc::clone(&setting.sources[0].queue);
        let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
        setting.sources[0].queue = Arc::new(LayeredQueue::new(queue, Faults::new(calls, clock)));
        let journal = Kept::default();
        let one_by_one = Pace::new(Some(10.0));
        let life = operator::run(&setting, &entries, &journal, one_by_one);
        let survived = world.clock.drive(Mortal::new(life, awaits)).is_some();
        world.clock.advance(Duration::from_mins(1));
        let (end, tallies) = world.clock.drive(run(&setting, &entries, &journal));
        assert!(matches!(end, End::Finished), "{end:?} after {awaits}");
        let removed: u64 = tallies.values().map(|tally| tally.removed).sum();
        assert_eq!((removed, world.site(HERE).letters.len()), (25, 5), "after {awaits}: {tallies:?}");
        world.site(HERE).writes.clear();
        world.site(THERE).inbound.clear();
        world.drain(10);
        for n in 0..10 {
            assert!(version(&world, THERE, &format!("p{n}")).is_some(), "p{n} after {awaits}");
        }
        for n in 0..5 {
            assert!(version(&world, HERE, &format!("o{n}")).is_some(), "o{n} after {awaits}");
        }
        if survived {
            break;
        }
        awaits += 1;
    }
    assert!(awaits > 50, "it was killed at {awaits} awaits only");
}

#[test]
fn a_dark_target_ends_the_run_and_everything_stays() {
    let world = world();
    fill(&world);
    world.site(THERE).inbound.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    let setting = setting(&world, "aws:us-east-1/dlq", "azure:westeurope/queue");
    let entries = world.clock.drive(plan(&setting));
    let (end, tallies) = world.clock.drive(run(&setting, &entries, &Kept::default()));
    assert!(matches!(&end, End::Dark(places) if places.len() == 1), "{end:?}");
    assert_eq!(tallies.values().map(|tally| tally.removed).sum::<u64>(), 0);
    assert_eq!(world.site(HERE).letters.len(), 30);
    assert_eq!(world.clock.drive(world.site(HERE).letters.receive(30, Duration::ZERO)).unwrap().len(), 30);
}

/// A site of three is dark: the others are paid, its letters stay, and the next run sends to it alone.
#[test]
fn a_letter_stays_until_the_last_site_has_confirmed() {
    let world = World::by_hand(5, &[HERE, THERE, "azure:northeurope"], &policy());
    let owed = "azure:northeurope,azure:westeurope";
    let letters: Vec<_> =
        (0..5).map(|n| letter(n, &body(n.into(), HERE, &format!("p{n}"), 1), "peer_unavailable", owed)).collect();
    world.clock.drive(world.site(HERE).letters.send(&letters));
    world.site(THERE).inbound.add(Rule::always(Fault::Before(FailureKind::Missing)));
    let setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    let journal = Kept::default();
    let (_, tallies) = world.clock.drive(run(&setting, &entries, &journal));
    assert_eq!((tallies["peer_unavailable"].left, world.site(HERE).letters.len()), (5, 5));
    assert_eq!(world.site("azure:northeurope").queue.len(), 5);
    world.site(THERE).inbound.clear();
    let (end, tallies) = world.clock.drive(run(&setting, &entries, &journal));
    assert!(matches!(end, End::Finished), "{end:?}");
    assert_eq!((tallies["peer_unavailable"].removed, world.site(HERE).letters.len()), (5, 0));
    assert_eq!(world.site("azure:northeurope").queue.len(), 5, "it had confirmed");
    assert_eq!(world.site(THERE).queue.len(), 5);
}

/// The compute of a site is gone and its queue is readable: the peer gets what waits there, and it stays for the site
/// itself, whose store has not got it.
#[test]
fn what_waits_for_a_site_stays_until_the_site_has_it() {
    let world = world();
    let bodies: Vec<String> = (0..20).map(|n| body(n, HERE, &format!("k{}", n % 7), n.try_into().unwrap())).collect();
    world.send(HERE, &bodies);
    let setting = setting(&world, "aws:us-east-1/queue", "azure:westeurope/store");
    let entries = world.clock.drive(plan(&setting));
    let (end, tallies) = world.clock.drive(run(&setting, &entries, &Kept::default()));
    assert!(matches!(end, End::Finished), "{end:?}");
    assert_eq!((tallies["waiting"].kept, tallies["waiting"].removed, tallies["waiting"].left), (20, 0, 0));
    assert_eq!(world.site(HERE).queue.len(), 20);
    let site: SiteId = THERE.parse().unwrap();
    let record = world.clock.drive(world.site(THERE).store.get(&"k5".parse().unwrap())).unwrap().unwrap();
    assert_eq!(record.applied_by, site);
    // The site comes back.
    world.drain(10);
    for n in 0..7 {
        let key = format!("k{n}");
        assert_eq!(version(&world, HERE, &key), version(&world, THERE, &key));
    }
}

/// A source whose answers get lost does not make a message vanish or go twice.
#[test]
fn faults_everywhere_change_nothing_in_the_end() {
    for seed in 0..20 {
        let world = World::by_hand(seed, &[HERE, THERE], &policy());
        fill(&world);
        let setting = setting(&world, "aws:us-east-1/dlq", "owed");
        let entries = world.clock.drive(plan(&setting));
        let some = Fault::Items { share: 0.3, kind: FailureKind::TimedOut, after: true };
        let rule = Rule { operation: None, fault: some, probability: 0.5, count: Some(6) };
        world.site(HERE).writes.add(rule.clone());
        world.site(THERE).inbound.add(rule);
        let journal = Kept::default();
        for _ in 0..5 {
            world.clock.drive(run(&setting, &entries, &journal));
        }
        assert_eq!(world.site(HERE).letters.len(), 5, "seed {seed}");
        world.drain(10);
        assert!((0..10).all(|n| version(&world, THERE, &format!("p{n}")).is_some()), "seed {seed}");
    }
}

/// What a consumer that died had in its hands comes back when its leases end; the run waits for it.
#[test]
fn what_a_dead_consumer_held_is_waited_for() {
    let world = world();
    fill(&world);
    let setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    let letters = &world.site(HERE).letters;
    assert_eq!(world.clock.drive(letters.receive(12, Duration::ZERO)).unwrap().len(), 12);
    let (end, tallies) = world.clock.drive(run(&setting, &entries, &Kept::default()));
    assert!(matches!(end, End::Finished), "{end:?}");
    assert_eq!(tallies.values().map(|tally| tally.unseen).sum::<u64>(), 0);
    assert_eq!(letters.len(), 5);
}

/// Messages go as fast as is asked for, one portion after the other; a site that could not be used is not asked again by the
/// next portion, and the others go on.
#[test]
fn a_pace_is_kept_and_a_dark_site_is_asked_once() {
    let world = World::by_hand(5, &[HERE, THERE, "azure:northeurope"], &policy());
    let owed = "azure:northeurope,azure:westeurope";
    let letters: Vec<_> =
        (0..5).map(|n| letter(n, &body(n.into(), HERE, &format!("p{n}"), 1), "peer_unavailable", owed)).collect();
    world.clock.drive(world.site(HERE).letters.send(&letters));
    world.site(THERE).inbound.add(Rule::once(Operation::Send, Fault::Before(FailureKind::Missing)));
    let setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    let start = world.clock.elapsed();
    world.clock.drive(operator::run(&setting, &entries, &Kept::default(), Pace::new(Some(1.0))));
    assert!(world.clock.elapsed() >= start + Duration::from_secs(4), "one a second");
    assert_eq!((world.site(THERE).queue.len(), world.site("azure:northeurope").queue.len()), (0, 5));
}

/// A source that cannot be read for a moment is read again; one that stays so, or that nobody may read, ends the run.
#[test]
fn a_source_that_cannot_be_read_is_asked_within_bounds() {
    let ended = |failure: FailureKind, count| {
        let world = world();
        fill(&world);
        let mut setting = setting(&world, "aws:us-east-1/dlq", "owed");
        let entries = world.clock.drive(plan(&setting));
        let fault = Fault::Before(failure);
        let unread = Rule { operation: Some(Operation::Receive), fault, probability: 1.0, count };
        let queue = Arc::clone(&setting.sources[0].queue);
        let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
        setting.sources[0].queue =
            Arc::new(LayeredQueue::new(queue, Faults::new(Arc::new(FaultPlan::new(1, vec![unread])), clock)));
        let start = world.clock.now();
        let (end, _) = world.clock.drive(run(&setting, &entries, &Kept::default()));
        (end, world.site(HERE).letters.len(), (world.clock.now() - start).to_std().unwrap())
    };
    let (end, left, took) = ended(FailureKind::Unavailable, Some(3));
    assert!(matches!((&end, left), (End::Finished, 5)), "{end:?}, {left} are left");
    assert!(took < Duration::from_secs(5), "all was there, and nothing is waited for: {took:?}");
    let (end, left, took) = ended(FailureKind::Unavailable, None);
    assert!(matches!((&end, left), (End::Source(_), 30)), "{end:?}, {left} are left");
    assert!(took > Duration::ZERO && took < Duration::from_secs(10), "{took:?}");
    let (end, left, took) = ended(FailureKind::Unauthorized, None);
    assert!(matches!((&end, left), (End::Source(_), 30)), "{end:?}, {left} are left");
    assert_eq!(took, Duration::ZERO, "no second try changes that");
}

/// Every reading gets as many tries as an errand, and no more.
#[test]
fn a_source_is_read_as_often_as_is_configured() {
    let world = world();
    fill(&world);
    let mut setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    let dark = FaultPlan::new(1, vec![Rule::always(Fault::Before(FailureKind::Unavailable))]);
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let queue = Arc::new(LayeredQueue::new(Arc::clone(&setting.sources[0].queue), Faults::new(Arc::new(dark), clock)));
    let calls = Arc::new(AtomicU32::new(0));
    let count = {
        let calls = Arc::clone(&calls);
        move |observed: &Observation<'_>| {
            calls.fetch_add(u32::from(observed.operation == Operation::Receive), Ordering::Relaxed);
        }
    };
    setting.sources[0].queue = Arc::new(LayeredQueue::new(queue, Meter::new(Arc::new(count))));
    // Without a pause the first of the four who take batches does all of its tries at once, and ends the run.
    setting.backoff.base = Duration::ZERO;
    setting.attempts_max = 6;
    let (end, _) = world.clock.drive(run(&setting, &entries, &Kept::default()));
    assert!(matches!(end, End::Source(_)), "{end:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 6);
}

/// A message that comes is a sign of life: from then on the others have a whole lease again to come back.
#[test]
fn patience_begins_anew_with_every_message_of_the_plan() {
    let world = world();
    let letters = &world.site(HERE).letters;
    let two: Vec<_> =
        (1..3).map(|n| letter(n, &body(n.into(), HERE, &format!("p{n}"), 1), "peer_unavailable", THERE)).collect();
    world.clock.drive(letters.send(&two));
    let mut setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    // Somebody holds both; one comes back after a lease of 30 s, the other is held on to for 20 s more before that one dies too.
    setting.sources[0].hides = Some(Arc::clone(letters) as Arc<dyn Depth>);
    assert_eq!(world.clock.drive(setting.sources[0].hidden(&Untold)), 0);
    let held = world.clock.drive(letters.receive(2, Duration::ZERO)).unwrap();
    assert_eq!(world.clock.drive(setting.sources[0].hidden(&Untold)), 2);
    world.clock.drive(letters.send(&[message(3, "another's")]));
    let keeps = async {
        world.clock.sleep(Duration::from_secs(20)).await;
        letters.extend(&[held[1].receipt.clone()]).await
    };
    let journal = Kept::default();
    let ((end, _), _) = world.clock.drive(future::join(run(&setting, &entries, &journal), keeps));
    assert!(matches!(end, End::Finished), "{end:?}");
    let left = world.clock.drive(letters.receive(10, Duration::ZERO)).unwrap();
    assert_eq!((left.len(), left[0].attempt), (1, 2), "another's was kept in hand all the time, and given back");
}

/// SQS hides only so many messages at once: a run that would have to hold more of others' ends, and gives all back.
#[test]
fn a_run_does_not_drown_in_messages_of_others() {
    let world = world();
    let letters = &world.site(HERE).letters;
    let ours = letter(1, &body(1, HERE, "p1", 1), "peer_unavailable", THERE);
    let gone = letter(2, &body(2, HERE, "p2", 1), "peer_unavailable", THERE);
    world.clock.drive(letters.send(&[ours, gone]));
    let setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    let taken = world.clock.drive(letters.receive(2, Duration::ZERO)).unwrap();
    let (gone, back): (Vec<_>, Vec<_>) = taken.into_iter().partition(|delivery| delivery.message_id.ends_with('2'));
    world.clock.drive(letters.ack(&[gone[0].receipt.clone()]));
    world.clock.drive(letters.release(&[back[0].receipt.clone()]));
    let others: Vec<_> = (0..100_150).map(|n| message(n, "another's")).collect();
    world.clock.drive(letters.send(&others));
    let (end, _) = world.clock.drive(run(&setting, &entries, &Kept::default()));
    assert!(matches!(end, End::Crowded(100_001..=100_150)), "{end:?}");
    let depth = world.clock.drive(letters.depth()).unwrap();
    assert_eq!((depth.waiting, depth.in_flight), (100_150, Some(0)), "ours went, the others are nobody's again");
}

/// What is brought goes on with the trace that its letter came with.
#[test]
fn the_trace_of_a_letter_goes_along() {
    let world = world();
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-01";
    let mut letter = letter(1, &body(1, HERE, "k", 1), "peer_unavailable", THERE);
    letter.properties.insert(property::TRACEPARENT.to_owned(), traceparent.to_owned());
    world.clock.drive(world.site(HERE).letters.send(&[letter]));
    let setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    world.clock.drive(run(&setting, &entries, &Kept::default()));
    let (_, properties) = world.site(THERE).queue.snapshot().remove(0);
    assert_eq!(properties.get(property::TRACEPARENT).map(String::as_str), Some(traceparent));
}

/// A target that asks for patience gets it within the run.
#[test]
fn a_throttled_target_is_tried_again() {
    let world = world();
    fill(&world);
    let busy = || Fault::Before(FailureKind::Throttled { retry_after: Some(Duration::from_secs(7)) });
    let setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    world.site(THERE).inbound.add(Rule { operation: None, fault: busy(), probability: 1.0, count: Some(2) });
    let start = world.clock.elapsed();
    let (end, tallies) = world.clock.drive(run(&setting, &entries, &Kept::default()));
    assert!(matches!(end, End::Finished), "{end:?}");
    assert_eq!((tallies["peer_unavailable"].removed, tallies["peer_unavailable"].left), (10, 0));
    assert!(world.clock.elapsed() >= start + Duration::from_secs(14), "the service's own word is kept");
}
