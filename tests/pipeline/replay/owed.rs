//! What a worker brings by itself: what is owed to a peer that answers again, and nothing that a person has to decide.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bridge_adapters::memory::MemoryQueue;
use bridge_core::{failure::PortError, port::Depth, property::Properties, reason::Reason, worker::Worker};
use bridge_ops::replay::{
    auto::{Auto, Known, Tell},
    owed::{Passed, goes_by_itself},
    subject::Holds,
};
use bridge_simulation::books::Kind;
use uuid::Uuid;

use super::*;
use crate::world::taken;

const THIRD: &str = "azure:northeurope";

/// Counts what it is told.
#[derive(Default)]
struct Counted {
    begun: AtomicUsize,
    ended: Mutex<Vec<(u64, u64)>>,
}

impl Tell for Counted {
    fn begins(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn progresses(&self, _: usize) {}

    fn ends(&self, passed: Option<&Passed>) {
        let passed = passed.expect("no pass is cut off");
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push((passed.brought, passed.left));
    }

    fn no_lease(&self, error: &PortError) {
        panic!("{error}");
    }
}

/// What brings the letters of HERE.
struct Bringing<'a> {
    worker: &'a Worker,
    letters: &'a MemoryQueue,
    setting: Setting<'static>,
    told: Counted,
}

impl<'a> Bringing<'a> {
    fn of(world: &'a World) -> Self {
        Self {
            worker: world.worker(HERE),
            letters: &world.site(HERE).letters,
            setting: setting(world, "aws:us-east-1/dlq", "owed"),
            told: Counted::default(),
        }
    }

    fn auto(&self, holder: u128) -> Auto<'_> {
        let depth: Option<&dyn Depth> = Some(self.letters);
        let (worker, setting) = (self.worker, &self.setting);
        Auto { worker, setting, depth, holder: Uuid::from_u128(holder), rate: 1_000.0, tell: &self.told }
    }
}

fn put(world: &World, letters: &[Message]) {
    assert!(world.clock.drive(world.site(HERE).letters.send(letters)).iter().all(Result::is_ok));
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn away(world: &World, site: &str) {
    let fault = Fault::Before(FailureKind::Unavailable);
    world.site(site).inbound.add(Rule { operation: None, fault, probability: 1.0, count: None });
}

#[test]
fn only_letters_with_nothing_to_decide_go_by_themselves() {
    for reason in Reason::ALL {
        let letter = |more: &[(&str, &str)]| -> Properties {
            let reason = (property::REASON, reason.as_str());
            let all = [reason].into_iter().chain(more.iter().copied());
            all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let owed = (property::OWED, THERE);
        let goes = matches!(reason, Reason::PeerUnavailable | Reason::RetriesExhausted | Reason::StoreAway);
        assert_eq!(goes_by_itself(&letter(&[owed]), Holds::Letters), goes, "{reason}");
        assert!(!goes_by_itself(&letter(&[]), Holds::Letters), "{reason}, and it names nobody");
        for garbled in ["foo bar", "AZURE:WESTEUROPE", "17", "aws:us-east-1,"] {
            assert!(!goes_by_itself(&letter(&[(property::OWED, garbled)]), Holds::Letters), "{reason}: {garbled}");
        }
        assert!(!goes_by_itself(&letter(&[owed, (property::BODY_SHA256, "x")]), Holds::Letters), "an excerpt");
        assert!(!goes_by_itself(&letter(&[owed, (property::MOVED_BY_BROKER, "x")]), Holds::Letters), "a producer's");
    }
}

#[test]
fn a_worker_that_begins_brings_what_is_owed_and_leaves_the_rest() {
    let world = world();
    fill(&world);
    let bringing = Bringing::of(&world);
    world.clock.drive(bringing.auto(1).watch(world.clock.sleep(seconds(20))));
    assert_eq!(world.site(THERE).queue.len(), 10, "what the peer is owed, once");
    let left = world.site(HERE).letters.snapshot();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, properties) in &left {
        *reasons.entry(&properties["bridge_reason"]).or_default() += 1;
    }
    assert_eq!(reasons, [("not_json", 5), ("store_rejected", 5)].into(), "they are for a person");
    assert_eq!(
        (bringing.told.begun.load(Ordering::Relaxed), &*bringing.told.ended.lock().unwrap()),
        (1, &vec![(20, 10)])
    );
    let back = world.clock.drive(world.site(HERE).letters.receive(100, Duration::ZERO)).unwrap();
    assert_eq!(back.len(), 10, "given back, not merely left to their leases");
    for n in 0..5 {
        assert!(version(&world, HERE, &format!("o{n}")).is_some(), "its own store's failure is made up for");
    }
}

#[test]
fn a_peer_that_is_away_costs_no_letter_a_look_and_gets_the_first_within_five_seconds_of_its_return() {
    let world = world();
    put(&world, &[letter(1, &body(1, HERE, "k", 1), "peer_unavailable", THERE)]);
    away(&world, THERE);
    let bringing = Bringing::of(&world);
    let came = Cell::new(Duration::ZERO);
    let story = async {
        world.clock.sleep(seconds(60)).await;
        assert_eq!(taken(&world, HERE, Kind::Letters), 0, "nobody can be brought anything");
        world.site(THERE).inbound.clear();
        while world.site(THERE).queue.is_empty() {
            world.clock.sleep(Duration::from_millis(100)).await;
            assert!(world.clock.elapsed() < seconds(120), "it never came");
        }
        came.set(world.clock.elapsed().saturating_sub(seconds(60)));
    };
    world.clock.drive(bringing.auto(1).watch(story));
    assert!(came.get() < seconds(5), "{:?}", came.get());
    world.clock.drive(bringing.auto(1).watch(world.clock.sleep(seconds(600))));
    assert!(world.site(HERE).letters.is_empty());
    assert!(taken(&world, HERE, Kind::Letters) < 5, "{} looks at one letter", taken(&world, HERE, Kind::Letters));
}

/// What this worker could not send is brought though nobody counts the letters yet.
#[test]
fn what_the_worker_itself_missed_is_brought_when_the_peer_is_back() {
    let world = world();
    let bringing = Bringing::of(&world);
    let sent = Cell::new(false);
    let story = async {
        world.clock.sleep(seconds(40)).await;
        away(&world, THERE);
        world.site(HERE).queue.send(&[message(1, &body(1, HERE, "k", 1))]).await;
        let batch = world.site(HERE).queue.receive(10, Duration::ZERO).await.unwrap();
        let site = world.site(HERE);
        bridge_core::carry_out::work_off(world.worker(HERE), &*site.queue, &*site.letters, &batch).await;
        assert_eq!(site.letters.len(), 1);
        world.clock.sleep(seconds(20)).await;
        assert_eq!(taken(&world, HERE, Kind::Letters), 0);
        world.site(THERE).inbound.clear();
        world.clock.sleep(seconds(5)).await;
        sent.set(world.site(THERE).queue.len() == 1 && site.letters.is_empty());
    };
    world.clock.drive(bringing.auto(1).watch(story));
    assert!(sent.get());
}

/// Of two sites one answers: it is brought the event, and the letter stays for the other.
#[test]
fn a_letter_stays_until_the_last_site_has_its_event() {
    let world = World::by_hand(5, &[HERE, THERE, THIRD], &policy());
    put(&world, &[letter(1, &body(1, HERE, "k", 1), "peer_unavailable", &format!("{THERE},{THIRD}"))]);
    put(&world, &[letter(2, &body(2, HERE, "l", 1), "peer_unavailable", THIRD)]);
    away(&world, THIRD);
    let bringing = Bringing::of(&world);
    let story = async {
        world.clock.sleep(seconds(300)).await;
        assert_eq!((world.site(THERE).queue.len(), world.site(HERE).letters.len()), (1, 2), "once, and in no circle");
        world.site(THIRD).inbound.clear();
        world.clock.sleep(seconds(10)).await;
    };
    world.clock.drive(bringing.auto(1).watch(story));
    assert_eq!((world.site(THIRD).queue.len(), world.site(HERE).letters.len()), (2, 0));
}

#[test]
fn one_worker_of_a_site_brings_and_another_goes_on_when_it_was_killed() {
    let world = world();
    fill(&world);
    let (first, second) = (Bringing::of(&world), Bringing::of(&world));
    // Killed while it waits for more, with the lease and ten letters in hand.
    let killed = world.clock.drive(Mortal::new(first.auto(1).once(&mut Known::default(), seconds(20)), 1));
    assert!(killed.is_none() && taken(&world, HERE, Kind::Letters) == 30);
    put(&world, &[letter(99, &body(99, HERE, "late", 1), "peer_unavailable", THERE)]);
    let before = taken(&world, HERE, Kind::Letters);
    let mut known = Known::default();
    world.clock.drive(second.auto(2).once(&mut known, seconds(5)));
    assert_eq!(taken(&world, HERE, Kind::Letters), before, "the lease is another's");
    world.clock.drive(second.auto(2).watch(world.clock.sleep(seconds(60))));
    assert_eq!(world.site(HERE).letters.len(), 10, "all that goes by itself");
    world.drain(10);
    for n in 0..10 {
        assert!(version(&world, THERE, &format!("p{n}")).is_some());
    }
    assert!(version(&world, THERE, "late").is_some());
}

/// A function's heartbeat: nothing is taken where nothing lies there, or what lies there is for a person and nothing came.
#[test]
fn a_function_looks_once_and_not_again_without_a_reason() {
    let world = world();
    let bringing = Bringing::of(&world);
    let mut known = Known::default();
    let beat = |known: &mut Known| world.clock.drive(bringing.auto(1).once(known, seconds(20)));
    beat(&mut known);
    assert_eq!(bringing.told.begun.load(Ordering::Relaxed), 0);
    fill(&world);
    beat(&mut known);
    assert_eq!(world.site(HERE).letters.len(), 10);
    let before = taken(&world, HERE, Kind::Letters);
    (0..10).for_each(|_| beat(&mut known));
    assert_eq!(taken(&world, HERE, Kind::Letters), before);
    put(&world, &[letter(99, &body(99, HERE, "late", 1), "peer_unavailable", THERE)]);
    beat(&mut known);
    assert_eq!((world.site(HERE).letters.len(), world.site(THERE).queue.len()), (10, 11));
}
