//! A halted worker: it gives back what it holds, takes nothing more, and finds the mend by asking what failed.

use std::{
    future,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use bridge_adapters::layer::{Fault, FaultPlan, Operation, Rule};
use bridge_core::{
    carry_out::Carried,
    failure::{FailureKind, PortError},
    halt::Halt,
    port::{Clock, Delivery},
    receive::{Listen, Pace, receive},
    retry::Backoff,
    worker::Verdict,
};
use bridge_simulation::books::{Actor, Kind};

use crate::world::{PACE, Site, World, event, policy, taken};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";
const HALTED: Duration = Duration::from_hours(24);

/// What the loop told, and how its batches were ended.
#[derive(Debug, Default)]
struct Told {
    lines: Mutex<Vec<String>>,
    /// Looks for the end that were in vain.
    looks: AtomicU32,
    /// How often the site is found wrong once what failed works again.
    objections: AtomicU32,
}

impl Told {
    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

#[async_trait]
impl Listen for Told {
    async fn worked_off(&self, batch: &[Delivery], _: &[Verdict], carried: &Carried) {
        assert!(carried.books.balance() && carried.books.delivered == batch.len() as u64, "{carried:?}");
    }

    fn not_received(&self, error: &PortError) {
        self.note(format!("not received: {}", error.kind));
    }

    fn received(&self) {}

    fn halted(&self, halt: &Halt, _: Duration) {
        self.note(format!("halted at {:?}", halt.at));
    }

    fn still_halted(&self, _: &Halt, _: &PortError, _: Duration) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    async fn examine(&self) -> Result<(), PortError> {
        match self.objections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => {
                self.note("objects".to_owned());
                Err(PortError::new("a site", "examine", FailureKind::Misshapen { detail: "for a test".to_owned() }))
            }
            Err(_) => Ok(()),
        }
    }

    fn mended(&self, _: &Halt) {
        self.note("mended".to_owned());
    }
}

/// Works the first site for a day with this failure, and for an hour without; answers what was told, and how many messages were handed out while
/// it lasted.
fn outage(world: &World, plan: &FaultPlan, operation: Option<Operation>, kind: FailureKind) -> (Vec<String>, u64) {
    let site = world.site(HERE);
    let actor = Actor::Worker(site.number);
    let [queue, letters] = [Kind::Queue, Kind::Letters].map(|kind| world.queue(site, kind, actor, "halts"));
    let told = Told::default();
    let rule = Rule { operation, fault: Fault::Before(kind), probability: 1.0, count: None };
    plan.add(rule);
    let mut while_halted = 0;
    let end = async {
        world.clock.sleep(HALTED).await;
        while_halted = taken(world, HERE, Kind::Queue);
        plan.clear();
        world.clock.sleep(Duration::from_hours(1)).await;
    };
    world.clock.drive(receive(world.worker(HERE), &*queue, &*letters, PACE, &told, end));
    (told.lines(), while_halted)
}

fn world(count: u32) -> World {
    let world = World::by_hand(7, &[HERE, THERE], &policy());
    world.send(
        HERE,
        &(1..=count).map(|n| event(n.into(), HERE, "upsert", &n.to_string(), 0).to_string()).collect::<Vec<_>>(),
    );
    world
}

#[test]
fn a_store_that_may_not_be_used_is_asked_and_messages_are_left_alone() {
    for kind in [FailureKind::Unauthorized, FailureKind::Missing] {
        let world = world(100);
        let (told, taken) = outage(&world, &world.site(HERE).writes, None, kind);
        assert_eq!(told, ["halted at Store", "mended"]);
        assert!(taken <= 20, "{taken} deliveries: no more than the two batches that were at hand");
        let Site { queue, letters, store, .. } = world.site(HERE);
        assert_eq!((queue.len(), letters.len()), (0, 0));
        let sent = world.site(THERE).queue.len();
        assert!((100..=110).contains(&sent), "{sent} sends: each event once, and what was at hand once more");
        let own = |key: &&bridge_core::event::Key| key.as_str().starts_with("_bridge/");
        assert_eq!(store.snapshot().keys().filter(|key| !own(key)).count(), 100);
        assert_eq!(store.snapshot().keys().filter(own).count(), 1, "the record that is written to ask");
    }
}

#[test]
fn a_dead_letter_queue_that_may_not_be_used_is_asked() {
    let world = world(100);
    world.send(HERE, &["no event".to_owned()]);
    let (told, taken) = outage(&world, &world.site(HERE).asides, None, FailureKind::Unauthorized);
    assert_eq!(told, ["halted at DeadLetters", "mended"]);
    assert!(taken <= 101 + 10, "{taken} deliveries");
    assert_eq!((world.site(HERE).queue.len(), world.site(HERE).letters.len()), (0, 1));
}

/// What was done must not come again and again: neither to the store, nor to the peers.
#[test]
fn a_queue_that_takes_no_settlement_is_asked() {
    let world = world(100);
    let reads = &world.site(HERE).reads;
    reads.add(Rule { operation: Some(Operation::Probe), ..Rule::always(Fault::Before(FailureKind::Unauthorized)) });
    let (told, taken) = outage(&world, reads, Some(Operation::Ack), FailureKind::Unauthorized);
    assert_eq!(told, ["halted at Settling", "mended"]);
    assert!(taken <= 20, "{taken} deliveries");
    assert!(world.site(HERE).queue.is_empty());
}

#[test]
fn a_queue_that_gives_no_messages_is_asked_for_some() {
    let world = world(100);
    let (told, taken) = outage(&world, &world.site(HERE).reads, Some(Operation::Receive), FailureKind::Missing);
    assert_eq!((told.as_slice(), taken), (["halted at Receiving".to_owned(), "mended".to_owned()].as_slice(), 0));
    assert!(world.site(HERE).queue.is_empty());
}

/// What failed works again, and is another thing than before.
#[test]
fn a_site_that_would_break_a_promise_stays_halted_and_its_messages_stay_in_their_queue() {
    for (operation, halted) in [(Operation::PutIfNewer, "halted at Store"), (Operation::Receive, "halted at Receiving")]
    {
        let world = world(20);
        let site = world.site(HERE);
        let plan = if operation == Operation::Receive { &site.reads } else { &site.writes };
        plan.add(Rule { operation: Some(operation), ..Rule::always(Fault::Before(FailureKind::Missing)) });
        let told = Told { objections: AtomicU32::new(u32::MAX), ..Told::default() };
        let actor = Actor::Worker(site.number);
        let [queue, letters] = [Kind::Queue, Kind::Letters].map(|kind| world.queue(site, kind, actor, "halts"));
        let written = || site.store.snapshot().keys().filter(|key| !key.as_str().starts_with("_bridge/")).count();
        let end = async {
            world.clock.sleep(Duration::from_hours(1)).await;
            plan.clear();
            world.clock.sleep(Duration::from_hours(1)).await;
            assert_eq!((written(), site.queue.len()), (0, 20), "{:?}", told.lines());
            told.objections.store(0, Ordering::Relaxed);
            world.clock.sleep(Duration::from_hours(1)).await;
        };
        world.clock.drive(receive(world.worker(HERE), &*queue, &*letters, PACE, &told, end));
        let lines = told.lines();
        let mut distinct = lines.clone();
        distinct.dedup();
        assert_eq!(distinct, [halted, "objects", "mended"], "{lines:?}");
        assert_eq!((written(), site.queue.len(), site.letters.len()), (20, 0, 0));
    }
}

/// Trouble that passes by itself is no halt.
#[test]
fn a_queue_that_is_away_is_tried_again_and_not_told_as_a_halt() {
    let world = world(10);
    let (told, _) = outage(&world, &world.site(HERE).reads, Some(Operation::Receive), FailureKind::Unavailable);
    assert!(told.iter().all(|line| line == "not received: unavailable"), "{told:?}");
    let looks = HALTED.as_secs() / 3;
    assert!((looks..4 * looks).contains(&(told.len() as u64)), "{} looks by two lanes", told.len());
    assert!(world.site(HERE).queue.is_empty());
}

/// Messages that come while another lane looks for the mend go back unseen.
#[test]
fn what_comes_while_halted_goes_back_and_is_not_worked_on() {
    let world = world(0);
    let site = world.site(HERE);
    let late = async {
        for number in 1..=2 {
            world.clock.sleep(Duration::from_secs(5)).await;
            site.writes.add(Rule::always(Fault::Before(FailureKind::Unauthorized)));
            let body = event(number.into(), HERE, "upsert", &number.to_string(), 0).to_string();
            bridge_core::port::Queue::send(&*site.queue, &[crate::world::message(number, &body)]).await;
        }
    };
    let told = Told::default();
    let pace = Pace { rest: Backoff { base: Duration::from_mins(5), max: Duration::from_mins(5) }, ..PACE };
    // Sooner than any lease ends.
    let end = async {
        late.await;
        world.clock.sleep(Duration::from_secs(5)).await;
    };
    world.clock.drive(receive(world.worker(HERE), &*site.queue, &*site.letters, pace, &told, end));
    assert_eq!(told.lines(), ["halted at Store"]);
    assert_eq!(world.site(THERE).queue.len(), 1, "the second was not tried, and so not forwarded");
    let waiting = world.clock.drive(bridge_core::port::Depth::depth(&*site.queue)).unwrap();
    assert_eq!((waiting.waiting, waiting.in_flight), (2, Some(0)), "both can be had at once");
}

/// Whoever listens asks the loop to stop, at the moment at which it finds the fault mended.
#[derive(Debug, Default)]
struct StopsIt {
    told: Told,
    stop: AtomicBool,
}

#[async_trait]
impl Listen for StopsIt {
    async fn worked_off(&self, batch: &[Delivery], verdicts: &[Verdict], carried: &Carried) {
        self.told.worked_off(batch, verdicts, carried).await;
    }

    fn not_received(&self, error: &PortError) {
        self.told.not_received(error);
    }

    fn received(&self) {}

    fn halted(&self, halt: &Halt, rest: Duration) {
        self.told.halted(halt, rest);
    }

    fn still_halted(&self, halt: &Halt, error: &PortError, rest: Duration) {
        self.told.still_halted(halt, error, rest);
    }

    async fn examine(&self) -> Result<(), PortError> {
        self.told.examine().await
    }

    fn mended(&self, halt: &Halt) {
        self.told.mended(halt);
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A look that takes messages holds some when it has seen the mend.
#[test]
fn what_a_look_took_goes_back_where_the_loop_has_to_stop() {
    let world = world(10);
    let site = world.site(HERE);
    let [queue, letters] = [Kind::Queue, Kind::Letters].map(|kind| world.queue(site, kind, Actor::Worker(0), "stops"));
    let denied = Rule::always(Fault::Before(FailureKind::Unauthorized));
    site.reads.add(Rule { operation: Some(Operation::Receive), count: Some(2), ..denied });
    let listen = StopsIt::default();
    let stop = future::poll_fn(|_| {
        let asked = listen.stop.load(Ordering::Relaxed);
        if asked { Poll::Ready(()) } else { Poll::Pending }
    });
    world.clock.drive(receive(world.worker(HERE), &*queue, &*letters, PACE, &listen, stop));
    assert_eq!(listen.told.lines(), ["halted at Receiving", "mended"]);
    let waiting = world.clock.drive(bridge_core::port::Depth::depth(&*site.queue)).unwrap();
    assert_eq!((waiting.waiting, waiting.in_flight), (10, Some(0)), "all can be had at once");
    assert_eq!(world.books.open().delivered.values().sum::<u64>(), 10, "the look took them");
}
