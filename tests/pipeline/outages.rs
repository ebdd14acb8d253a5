//! The site's own store is away: no message is to blame, none loses an attempt, and all is applied soon after the store is back.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bridge_adapters::{
    layer::{Fault, Rule},
    memory::{MemoryQueue, MemoryQueueOptions},
};
use bridge_core::{
    carry_out::Carried,
    circuit::CircuitPolicy,
    event::Key,
    failure::{FailureKind, PortError},
    halt::{Halt, Spot},
    invocation::{partial, whole},
    limits,
    port::{Clock, Delivery, Queue, Store, Write},
    probe,
    receive::{Listen, Pace, receive},
    record::Record,
    retry::Backoff,
    worker::{Policy, Verdict},
};
use bridge_simulation::books::{Actor, Kind};
use chrono::TimeDelta;

use crate::world::{PARTIAL, Picky, Site, WHOLE, World, event, message, policy, taken};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

const PACE: Pace = Pace {
    batch_messages_max: 32,
    probe: Backoff { base: Duration::from_millis(250), max: Duration::from_millis(1_500) },
    ..crate::world::PACE
};

/// What the loop told, and when.
#[derive(Debug, Default)]
struct Told {
    lines: Mutex<Vec<String>>,
    looks: AtomicU64,
    batches: Mutex<Vec<usize>>,
}

#[async_trait]
impl Listen for Told {
    async fn worked_off(&self, batch: &[Delivery], _: &[Verdict], carried: &Carried) {
        assert!(carried.books.balance() && carried.books.delivered == batch.len() as u64, "{carried:?}");
        self.batches.lock().unwrap().push(batch.len());
    }

    fn not_received(&self, error: &PortError) {
        self.lines.lock().unwrap().push(format!("not received: {error}"));
    }

    fn received(&self) {}

    fn halted(&self, halt: &Halt, _: Duration) {
        self.lines.lock().unwrap().push(format!("halted at {:?}", halt.at));
    }

    fn still_halted(&self, _: &Halt, _: &PortError, _: Duration) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    async fn examine(&self) -> Result<(), PortError> {
        self.lines.lock().unwrap().push("examined".to_owned());
        Ok(())
    }

    fn mended(&self, halt: &Halt) {
        self.lines.lock().unwrap().push(format!("over at {:?}", halt.at));
    }
}

fn world(count: u32) -> World {
    let world = World::by_hand(7, &[HERE, THERE], &policy());
    world.send(HERE, &orders(1..=count));
    world
}

fn orders(numbers: impl Iterator<Item = u32>) -> Vec<String> {
    numbers.map(|n| event(n.into(), HERE, "upsert", &format!("order-{n}"), 0).to_string()).collect()
}

fn away(kind: FailureKind) -> Rule {
    Rule::always(Fault::Before(kind))
}

/// Works the first site in a container while its store is away for so long, and these orders come, and afterwards until all is applied; answers what was told, the
/// deliveries of the outage, and how long the rest took.
fn outage(world: &World, orders: &[String], kind: FailureKind, lasts: Duration) -> (Told, u64, TimeDelta) {
    let site = world.site(HERE);
    let told = Told::default();
    let (mut deliveries, mut took) = (0, TimeDelta::zero());
    let end = async {
        world.clock.sleep(Duration::from_secs(1)).await;
        site.writes.add(away(kind));
        let messages: Vec<_> = (1..).zip(orders).map(|(number, body)| message(number, body)).collect();
        site.queue.send(&messages).await;
        world.clock.sleep(lasts).await;
        deliveries = taken(world, HERE, Kind::Queue);
        site.writes.clear();
        let back = world.clock.now();
        for _ in 0..3_600 {
            if site.queue.is_empty() {
                break;
            }
            world.clock.sleep(Duration::from_millis(100)).await;
        }
        took = world.clock.now() - back;
    };
    let queues = [Kind::Queue, Kind::Letters].map(|kind| world.queue(site, kind, Actor::Worker(site.number), "outage"));
    let [queue, letters] = &queues;
    world.clock.drive(receive(world.worker(HERE), &**queue, &**letters, PACE, &told, end));
    (told, deliveries, took)
}

#[test]
fn however_long_the_store_is_away_no_message_is_lost_set_aside_or_taken_in_vain() {
    let kinds = [FailureKind::Unavailable, FailureKind::TimedOut, FailureKind::Throttled { retry_after: None }];
    for (kind, hours) in kinds.into_iter().zip([1, 3, 72]) {
        let world = world(0);
        let (told, deliveries, took) = outage(&world, &orders(1..=200), kind.clone(), Duration::from_hours(hours));
        let Site { queue, letters, store, .. } = world.site(HERE);
        assert_eq!(*told.lines.lock().unwrap(), ["halted at Away", "over at Away"], "{kind:?}");
        assert!(deliveries <= 64, "{deliveries} deliveries: the two batches that were at hand");
        assert_eq!((queue.len(), letters.len()), (0, 0), "{kind:?}");
        let applied = store.snapshot().keys().filter(|key| !key.as_str().starts_with("_bridge/")).count();
        assert_eq!(applied, 200);
        assert!(took <= TimeDelta::seconds(2), "{kind:?}: the last one was applied {took} after the store was back");
        let looks = told.looks.load(Ordering::Relaxed);
        assert!((hours * 2_400..hours * 4_900).contains(&looks), "{looks} looks in {hours} hours");
    }
}

/// A worker without events says its state, and so finds that its store is away. It finds the store's return too, though the store never answers a
/// question of the outage, and though it answers slowly afterwards.
#[test]
fn an_idle_worker_finds_its_store_gone_and_back() {
    let limit = Duration::from_millis(1_250);
    let late = Fault::Late(Duration::from_secs(3));
    for (fault, after, most) in [
        (Fault::Before(FailureKind::Unavailable), None, TimeDelta::seconds(2)),
        (Fault::Lost, None, TimeDelta::seconds(2)),
        (Fault::Lost, Some(late), TimeDelta::seconds(5)),
    ] {
        let world = world(0);
        let (site, worker, told) = (world.site(HERE), world.worker(HERE), Told::default());
        let (mut gone, mut back) = (TimeDelta::zero(), TimeDelta::zero());
        let lines = || told.lines.lock().unwrap().len();
        let pause = || world.clock.sleep(Duration::from_millis(50));
        let end = async {
            world.clock.sleep(Duration::from_secs(10)).await;
            site.writes.add(Rule::always(fault.clone()));
            let (begun, record) = (world.clock.now(), probe::record(&site.id, uuid::Uuid::nil(), world.clock.now()));
            worker.say(&record, limit).await.unwrap_err();
            pause().await;
            assert_eq!(*told.lines.lock().unwrap(), ["halted at Away"], "{fault:?}");
            gone = world.clock.now() - begun;
            world.clock.sleep(Duration::from_mins(10)).await;
            site.writes.clear();
            if let Some(after) = after {
                site.writes.add(Rule::always(after));
            }
            let returned = world.clock.now();
            while lines() < 2 && back < TimeDelta::minutes(1) {
                pause().await;
                back = world.clock.now() - returned;
            }
        };
        world.clock.drive(receive(worker, &*site.queue, &*site.letters, PACE, &told, end));
        assert_eq!(*told.lines.lock().unwrap(), ["halted at Away", "over at Away"], "{fault:?}");
        assert!(gone <= TimeDelta::milliseconds(2_600) && back <= most, "{fault:?}: gone {gone}, back {back}");
    }
}

/// A peer that keeps silent holds up each lane once, for the time of one send. After that its events are owed, and the site's own store goes on.
#[test]
fn a_peer_that_keeps_silent_holds_the_sites_own_writes_up_once() {
    let circuit = CircuitPolicy { failures: 5, ..policy().circuit };
    let world = World::by_hand(7, &[HERE, THERE], &Policy { circuit, ..policy() });
    let (site, told) = (world.site(HERE), Told::default());
    world.site(THERE).inbound.add(Rule::always(Fault::Lost));
    let mut late = Vec::new();
    let end = async {
        for number in 1..=60_u32 {
            world.send(HERE, &orders(number..=number));
            world.clock.sleep(Duration::from_secs(1)).await;
            late.push(site.queue.len());
        }
    };
    let pace = Pace { concurrent_batches: 2, ..PACE };
    world.clock.drive(receive(world.worker(HERE), &*site.queue, &*site.letters, pace, &told, end));
    let busy: Vec<_> = (1..).zip(&late).filter(|(_, waiting)| **waiting > 1).map(|(second, _)| second).collect();
    let time = usize::try_from(policy().peer_time.as_secs()).unwrap();
    assert!(busy.last().is_none_or(|last| *last <= time + 2), "messages waited until second {busy:?}");
    assert!(site.letters.len() > 40, "what the peer is owed");
}

#[test]
fn a_store_that_has_just_come_back_is_not_run_over() {
    let world = world(0);
    let (told, ..) = outage(&world, &orders(1..=200), FailureKind::Unavailable, Duration::from_mins(1));
    let batches = told.batches.lock().unwrap();
    let back = &batches[batches.iter().position(|size| *size == 1).unwrap()..];
    for (number, size) in back.iter().enumerate() {
        assert!(*size <= 1 << number, "each lane at most doubles what it takes: {back:?}");
    }
    assert!(back.len() > 6, "{back:?}");
}

/// Once there is no more than a night left, a letter keeps the event, and names the site itself as one that is owed.
#[test]
fn what_its_queue_would_soon_forget_becomes_a_letter() {
    let world = world(100);
    let waits = policy().store_wait_max;
    world.clock.advance(waits / 2);
    world.send(HERE, &orders(101..=110));
    let site = world.site(HERE);
    site.writes.add(away(FailureKind::Unavailable));
    let (told, mut letters) = (Told::default(), Vec::new());
    let end = async {
        world.clock.sleep(Duration::from_mins(5)).await;
        assert_eq!(taken(&world, HERE, Kind::Queue), 0, "a worker that starts in an outage takes nothing");
        world.clock.sleep(waits / 2 + Duration::from_mins(30)).await;
        letters = site.letters.snapshot();
        site.writes.clear();
        world.clock.sleep(Duration::from_mins(1)).await;
    };
    world.clock.drive(receive(world.worker(HERE), &*site.queue, &*site.letters, PACE, &told, end));
    assert_eq!(letters.len(), 100, "those that have waited out, and no other");
    for (_, properties) in letters {
        assert_eq!((properties["bridge_reason"].as_str(), properties["bridge_owed"].as_str()), ("store_away", HERE));
    }
    let deliveries = taken(&world, HERE, Kind::Queue);
    assert!(deliveries < 400, "{deliveries} deliveries of 110 messages");
    assert!(world.site(HERE).queue.is_empty(), "the others were applied");
}

/// A store that answers somebody is not away: the message, or its key, is what fails.
#[test]
fn a_poisoned_key_is_given_up_and_a_store_that_answers_others_is_not_away() {
    let mut world = world(1);
    Picky::at(&mut world, HERE, FailureKind::Throttled { retry_after: None });
    let told = Told::default();
    let site = world.site(HERE);
    let end = world.clock.sleep(Duration::from_hours(1));
    world.clock.drive(receive(world.worker(HERE), &*site.queue, &*site.letters, PACE, &told, end));
    assert_eq!(*told.lines.lock().unwrap(), [""; 0]);
    let letters = site.letters.snapshot();
    assert_eq!((letters.len(), letters[0].1["bridge_reason"].as_str()), (1, "retries_exhausted"));
}

/// The deliveries of an outage count at the broker, and not against the message: neither in it, nor when the store that is back throttles.
#[test]
fn deliveries_of_an_outage_do_not_count_against_a_message() {
    let mut world = world(1);
    let deliver = |world: &World| {
        let (worker, Site { queue, letters, .. }) = (world.worker(HERE), world.site(HERE));
        let batch = world.clock.drive(queue.receive(10, Duration::from_hours(1))).unwrap();
        let outcome = world.clock.drive(partial::work_off(worker, &**queue, &**letters, &batch, PARTIAL));
        (batch[0].attempt, outcome)
    };
    world.site(HERE).writes.add(away(FailureKind::Unavailable));
    for _ in 0..2 * policy().attempts_max {
        assert_eq!(deliver(&world).1.halt.unwrap().at, Spot::Away);
    }
    world.site(HERE).writes.clear();
    world.clock.drive(world.worker(HERE).probe_store()).unwrap();
    Picky::at(&mut world, HERE, FailureKind::Throttled { retry_after: None });
    let (attempt, worked) = deliver(&world);
    assert!(attempt > policy().attempts_max && !worked.ended[0].is_settled(), "{worked:?}");
    assert!(worked.halt.is_none() && world.site(HERE).letters.is_empty(), "{worked:?}");
    world.clock.advance(Duration::from_mins(31));
    deliver(&world);
    assert_eq!(world.site(HERE).letters.len(), 1, "a while later they count");
}

/// Counts the writes that reach a store, in vain or not.
#[derive(Debug)]
struct Counted {
    store: Arc<dyn Store>,
    writes: Arc<AtomicU64>,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl Store for Counted {
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.put_if_newer(record).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.store.get(key).await
    }
}

/// A function's host, in a world whose store is away for so long: `invoke` works off a batch. Answers the writes that reached the store, the most
/// deliveries of one message, and how long after the store's return the last event was applied.
fn function(
    policy: &Policy,
    count: u32,
    lasts: Duration,
    invoke: &dyn Fn(&World, &MemoryQueue, &[Delivery]),
) -> (World, u64, u32, Duration) {
    let mut world = World::by_hand(7, &[HERE, THERE], policy);
    let writes = Arc::new(AtomicU64::default());
    let worker = world.workers.get_mut(&HERE.parse().unwrap()).unwrap();
    worker.store = Arc::new(Counted { store: Arc::clone(&worker.store), writes: Arc::clone(&writes) });
    let queue = MemoryQueue::new(MemoryQueueOptions::default(), world.clock.clone());
    let bodies = orders(1..=count);
    let messages: Vec<_> = (1..).zip(&bodies).map(|(number, body)| message(number, body)).collect();
    world.clock.drive(queue.send(&messages));
    world.site(HERE).writes.add(away(FailureKind::Unavailable));
    let mut most = 0;
    while !queue.is_empty() {
        if world.clock.elapsed() >= lasts {
            world.site(HERE).writes.clear();
        }
        let batch = world.clock.drive(queue.receive(10, Duration::from_secs(1))).unwrap();
        most = batch.iter().map(|delivery| delivery.attempt).max().unwrap_or_default().max(most);
        if !batch.is_empty() {
            invoke(&world, &queue, &batch);
        }
        assert!(world.clock.elapsed() < 2 * lasts + Duration::from_hours(1), "{} are left", queue.len());
    }
    let took = world.clock.elapsed().saturating_sub(lasts);
    (world, writes.load(Ordering::Relaxed), most, took)
}

fn lambda(world: &World, queue: &MemoryQueue, batch: &[Delivery]) {
    let (worker, Site { letters, .. }) = (world.worker(HERE), world.site(HERE));
    let outcome = world.clock.drive(partial::work_off(worker, queue, &**letters, batch, PARTIAL));
    let settled = batch.iter().zip(&outcome.ended).filter(|(_, ended)| ended.is_settled());
    let receipts: Vec<_> = settled.map(|(delivery, _)| delivery.receipt.clone()).collect();
    world.clock.drive(queue.ack(&receipts));
}

fn azure_function(world: &World, queue: &MemoryQueue, batch: &[Delivery]) {
    let (worker, Site { letters, .. }) = (world.worker(HERE), world.site(HERE));
    for delivery in batch {
        let receipt = delivery.receipt.clone();
        let (begun, one) = (world.clock.now(), vec![delivery.clone()]);
        let outcome = world.clock.drive(whole::work_off(worker, queue, queue, &**letters, one, WHOLE));
        assert!(outcome.failed.is_none(), "{outcome:?}");
        assert!(outcome.halt.is_none() || world.clock.now() == begun, "an outage keeps no call busy");
        world.clock.drive(queue.ack(&[receipt]));
    }
}

#[test]
fn functions_come_back_within_a_fifth_of_the_outage_and_ask_the_store_once_a_second() {
    for host in [lambda, azure_function] {
        for minutes in [1, 10, 180] {
            let lasts = Duration::from_mins(minutes);
            let (world, writes, most, took) = function(&policy(), 50, lasts, &host);
            assert!(world.site(HERE).letters.is_empty() && world.site(HERE).store.snapshot().len() >= 50);
            let bound = (lasts / 5).min(Duration::from_mins(5)) + Duration::from_secs(10);
            assert!(took <= bound, "{minutes} minutes: the last event was applied {took:?} after the store was back");
            assert!(writes <= 150 + 2 * 60 * minutes, "{minutes} minutes: {writes} writes");
            assert!(most <= 80, "{minutes} minutes: {most} deliveries");
        }
    }
}

#[test]
fn two_weeks_without_a_store_use_up_fewer_deliveries_than_doctor_asks_for() {
    let patient = Policy { store_wait_max: Duration::MAX, ..policy() };
    let (world, _, most, took) = function(&patient, 1, limits::RETENTION_MAX, &lambda);
    assert!((400..limits::DELIVERIES_MIN).contains(&most), "{most} deliveries");
    assert!(world.site(HERE).letters.is_empty());
    assert!(took < Duration::from_hours(4), "a hundredth of the outage, {took:?}");
}
