//! What functions make of a delivery: within a budget of time, and by their hosts' ways of settling.

use std::{fmt, sync::Arc, time::Duration};

use bridge_adapters::layer::{Fault, FaultPlan, FaultQueue, Operation, Rule};
use bridge_core::{
    circuit::CircuitState,
    event::Key,
    failure::{FailureKind, PortError},
    invocation::{
        Ended, Halted,
        partial::{self, Budget as PartialBudget},
        whole::{self, Budget as WholeBudget, Failed},
    },
    pipeline::Verdict,
    port::{Clock, Delivery, PutOutcome, Queue, Reschedule, Store},
    record::Record,
    settlement::Settlement,
};

use crate::world::{Site, World, event, policy};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";
const EMPTY: Duration = Duration::ZERO;
const PARTIAL: PartialBudget =
    PartialBudget { work: Duration::from_secs(28), give_back: Duration::from_secs(1), portion: 32 };
const WHOLE: WholeBudget =
    WholeBudget { attempt: Duration::from_secs(45), hold: Duration::from_secs(10), halt: Duration::from_secs(120) };

fn world(bodies: &[String]) -> World {
    let world = World::by_hand(7, &[HERE, THERE], &policy());
    world.send(HERE, bodies);
    world
}

fn orders(count: u32) -> Vec<String> {
    (1..=count).map(|n| event(n.into(), HERE, "upsert", &format!("order-{n}"), 0).to_string()).collect()
}

fn received(world: &World) -> Vec<Delivery> {
    let site = world.site(HERE);
    let mut batch = world.clock.drive(site.queue.receive(100, EMPTY)).unwrap();
    batch.sort_by(|one, other| one.body.cmp(&other.body));
    batch
}

fn partial(world: &World, budget: PartialBudget) -> (Vec<Delivery>, Result<Vec<Ended>, Halted>) {
    let (worker, Site { queue, letters, .. }) = (world.worker(HERE), world.site(HERE));
    let batch = received(world);
    let ended = world.clock.drive(partial::work_off(worker, &**queue, &**letters, &batch, budget));
    (batch, ended)
}

fn whole(world: &World, budget: WholeBudget) -> Result<Vec<(Delivery, Verdict)>, Failed> {
    let (worker, Site { queue, letters, .. }) = (world.worker(HERE), world.site(HERE));
    let batch = received(world);
    world.clock.drive(whole::work_off(worker, &**queue, &**queue, &**letters, batch, budget))
}

fn settled(ended: &[Ended]) -> Vec<bool> {
    ended.iter().map(Ended::is_settled).collect()
}

fn hidden_seconds(world: &World) -> i64 {
    let site = world.site(HERE);
    let before = world.clock.now();
    let again = world.clock.drive(site.queue.receive(1, Duration::from_hours(1))).unwrap();
    assert_eq!(again.len(), 1, "the message comes again");
    (world.clock.now() - before).num_seconds()
}

#[test]
fn of_a_batch_only_what_must_come_again_is_reported() {
    let mut bodies = orders(3);
    bodies.push("no event".to_owned());
    let world = world(&bodies);
    world.site(HERE).writes.add(Rule::once(Operation::PutIfNewer, Fault::Before(FailureKind::Unavailable)));
    let (batch, ended) = partial(&world, PARTIAL);
    let ended = ended.unwrap();
    assert_eq!(settled(&ended).iter().filter(|settled| **settled).count(), 3, "{ended:?}");
    let letter = batch.iter().position(|delivery| &delivery.body[..] == b"no event").unwrap();
    assert!(ended[letter].is_settled(), "set aside, and so not reported");
    assert_eq!(world.site(HERE).letters.len(), 1);
    assert_eq!(world.site(THERE).queue.len(), 3, "the forwarding does not wait for the store");
    // What telemetry is told.
    assert!(ended[letter].verdict().is_some_and(|verdict| matches!(verdict.settlement, Settlement::DeadLetter(_))));
    let again = ended.iter().find(|ended| !ended.is_settled()).unwrap();
    assert!(again.verdict().is_some_and(|verdict| matches!(verdict.settlement, Settlement::Retry { .. })), "{again:?}");
}

/// A letter is acknowledged once it lies in the dead-letter queue, and no earlier.
#[test]
fn a_letter_that_cannot_be_sent_comes_again_and_a_queue_of_letters_that_nobody_may_use_halts() {
    let with_letters = |failure| {
        let world = world(&["no event".to_owned()]);
        let (worker, Site { queue, letters, .. }) = (world.worker(HERE), world.site(HERE));
        let plan = FaultPlan::new(1, vec![Rule::always(Fault::Before(failure))]);
        let letters = FaultQueue::new(Arc::clone(letters) as Arc<dyn Queue>, Arc::new(plan), world.clock.clone());
        let batch = received(&world);
        world.clock.drive(partial::work_off(worker, &**queue, &letters, &batch, PARTIAL))
    };
    let ended = with_letters(FailureKind::Unavailable).unwrap();
    assert!(
        matches!(&ended[..], [Ended::Again { verdict: Some(_), after }] if *after == policy().retry.base),
        "{ended:?}"
    );
    let halted = with_letters(FailureKind::Unauthorized).unwrap_err();
    assert!(halted.detail.contains("access denied"), "{halted:?}");
}

#[test]
fn a_batch_that_outlasts_its_budget_gives_back_the_rest_at_once() {
    let world = world(&orders(6));
    // Two portions of two pass; the store sleeps over the third.
    world.site(HERE).writes.add(Rule::always(Fault::Late(Duration::from_secs(10))));
    let (_, ended) = partial(&world, PartialBudget { portion: 2, ..PARTIAL });
    let ended = ended.unwrap();
    assert_eq!(settled(&ended), [true, true, true, true, false, false]);
    assert_eq!(ended[4], Ended::Again { verdict: None, after: EMPTY });
    assert_eq!(hidden_seconds(&world), 0, "another invocation can have it now");
}

#[test]
fn a_message_that_must_wait_is_hidden_for_as_long() {
    let world = world(&orders(1));
    let hint = Some(Duration::from_secs(50));
    world
        .site(HERE)
        .writes
        .add(Rule::once(Operation::PutIfNewer, Fault::Before(FailureKind::Throttled { retry_after: hint })));
    let (_, ended) = partial(&world, PARTIAL);
    assert_eq!(settled(&ended.unwrap()), [false]);
    assert_eq!(hidden_seconds(&world), 50, "the store's own wish, which is longer than any lease");
}

/// A peer that keeps silent, as one behind a network that drops packets: its events are owed to it while there is time to say so, and
/// after some of that nobody waits for it any more.
#[test]
fn a_silent_peer_is_owed_its_events_within_the_time_of_a_function() {
    let world = world(&[]);
    world.site(THERE).inbound.add(Rule::always(Fault::Lost));
    let mut took = Vec::new();
    for number in 0..4 {
        world.send(HERE, &[event(number, HERE, "upsert", &format!("order-{number}"), 0).to_string()]);
        let start = world.clock.elapsed();
        let (_, ended) = partial(&world, PARTIAL);
        assert_eq!(settled(&ended.unwrap()), [true], "set aside");
        took.push(world.clock.elapsed().saturating_sub(start).as_secs());
    }
    assert_eq!(took, [10, 10, 0, 0], "two failures open the circuit of these tests");
    let letters = world.site(HERE).letters.snapshot();
    assert!(letters.iter().all(|(_, properties)| properties["bridge_owed"] == THERE), "{letters:?}");
    assert!(letters[0].1["bridge_detail"].contains("no answer within 10 s"), "{letters:?}");
    assert_eq!(world.site(HERE).store.snapshot().len(), 4, "written here all the same");
}

/// The function's time ends while a probe is out: nobody learns how that went, and the next pause ends with another one.
#[test]
fn a_probe_that_is_dropped_leaves_the_circuit_open_for_a_pause_and_no_longer() {
    let world = world(&[]);
    let inbound = &world.site(THERE).inbound;
    let peer = &world.worker(HERE).peers[0];
    let deliver = |number: u128, budget| {
        world.send(HERE, &[event(number, HERE, "upsert", &format!("order-{number}"), 0).to_string()]);
        settled(&partial(&world, budget).1.unwrap())
    };
    inbound.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    assert_eq!((deliver(1, PARTIAL), deliver(2, PARTIAL)), (vec![true], vec![true]));
    assert_eq!(peer.circuit(), CircuitState::Open);
    inbound.clear();
    inbound.add(Rule::always(Fault::Lost));
    world.clock.advance(policy().circuit.pause);
    assert_eq!(deliver(3, PartialBudget { work: Duration::from_secs(5), ..PARTIAL }), [false], "dropped");
    assert_eq!(peer.circuit(), CircuitState::Open, "and not half open for ever");
    inbound.clear();
    world.clock.advance(policy().circuit.pause);
    assert_eq!(deliver(4, PARTIAL), [true, true], "with the one that came again");
    assert_eq!((peer.circuit(), world.site(THERE).queue.len()), (CircuitState::Closed, 2));
}

#[test]
fn lost_permissions_fail_the_whole_batch() {
    let world = world(&orders(3));
    world.site(HERE).writes.add(Rule::always(Fault::Before(FailureKind::Unauthorized)));
    let (_, ended) = partial(&world, PARTIAL);
    assert!(ended.unwrap_err().detail.contains("access denied"));
    assert_eq!(world.site(HERE).queue.len(), 3);
}

#[test]
fn a_short_trouble_is_waited_out() {
    let world = world(&orders(2));
    world.site(HERE).writes.add(Rule::once(Operation::PutIfNewer, Fault::Before(FailureKind::Unavailable)));
    let settled = whole(&world, WHOLE).unwrap();
    assert!(settled.iter().all(|(_, verdict)| verdict.settlement == Settlement::Ack), "{settled:?}");
    assert_eq!(world.site(HERE).store.snapshot().len(), 2);
    assert_eq!(world.site(HERE).queue.len(), 2, "the host removes both; no copy was made");
}

#[test]
fn a_longer_trouble_goes_into_a_copy_that_counts_on() {
    let world = world(&orders(1));
    world.site(HERE).writes.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    let start = world.clock.now();
    let settled = whole(&world, WholeBudget { hold: EMPTY, ..WHOLE }).unwrap();
    assert!(matches!(settled[..], [(_, Verdict { settlement: Settlement::Retry { .. }, .. })]), "{settled:?}");
    assert_eq!((world.clock.now(), settled[0].0.attempt), (start, 1), "no time to hold it");
    world.clock.drive(world.site(HERE).queue.ack(&[settled[0].0.receipt.clone()]));
    assert_eq!(world.site(HERE).queue.len(), 1, "the copy");
    let copy = world.clock.drive(world.site(HERE).queue.receive(1, Duration::from_hours(1))).unwrap();
    assert_eq!((copy[0].attempt, copy[0].first_seen), (2, Some(start)));
}

#[test]
fn a_try_that_hangs_is_not_held() {
    let world = world(&orders(1));
    world.site(HERE).writes.add(Rule::always(Fault::Late(Duration::from_hours(1))));
    let start = world.clock.now();
    whole(&world, WHOLE).unwrap();
    assert_eq!(world.clock.now() - start, chrono::TimeDelta::seconds(45));
    assert_eq!(world.site(HERE).queue.len(), 2, "the message and its copy");
}

#[test]
fn troubles_without_end_become_a_letter_whoever_counts() {
    let world = world(&orders(1));
    world.site(HERE).writes.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    let budget = WholeBudget { hold: Duration::from_hours(1), ..WHOLE };
    let settled = whole(&world, budget).unwrap();
    assert_eq!(settled[0].0.attempt, policy().attempts_max);
    let letters = world.site(HERE).letters.snapshot();
    assert_eq!(
        (letters[0].1["bridge_reason"].as_str(), letters[0].1["bridge_attempt"].as_str()),
        ("retries_exhausted", "5")
    );
}

#[test]
fn a_halted_function_waits_for_its_operator_and_then_says_so() {
    let world = world(&orders(1));
    world.site(HERE).writes.add(Rule::always(Fault::Before(FailureKind::Unauthorized)));
    let start = world.clock.now();
    let failed = whole(&world, WHOLE).unwrap_err();
    assert!(matches!(failed, Failed::Halted(_)), "{failed:?}");
    assert_eq!(world.clock.now() - start, chrono::TimeDelta::seconds(120));
    assert_eq!(world.site(HERE).queue.len(), 1, "no copy: the host brings it back");
    assert_eq!(world.site(THERE).queue.len(), 1, "its peer has it once, and not with every look");
}

#[test]
fn a_copy_that_cannot_be_sent_is_the_hosts_to_bring_back() {
    let world = world(&orders(1));
    world.site(HERE).writes.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    let (worker, Site { queue, letters, .. }) = (world.worker(HERE), world.site(HERE));
    let batch = received(&world);
    let budget = WholeBudget { hold: EMPTY, ..WHOLE };
    let failed =
        world.clock.drive(whole::work_off(worker, &**queue, &NoCopies, &**letters, batch, budget)).unwrap_err();
    assert!(matches!(failed, Failed::NotRescheduled { .. }), "{failed:?}");
}

#[derive(Debug)]
struct NoCopies;

#[async_trait::async_trait]
impl Reschedule for NoCopies {
    async fn reschedule(&self, _: &Delivery, _: Duration) -> Result<(), PortError> {
        Err(PortError::new("no copies", "reschedule", FailureKind::Unavailable))
    }
}

/// The worker's own bug, for one key.
#[derive(Debug)]
struct Panicking(Arc<dyn Store>);

impl fmt::Display for Panicking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait::async_trait]
impl Store for Panicking {
    async fn put_if_newer(&self, record: &Record) -> Result<PutOutcome, PortError> {
        assert_ne!(record.key.as_str(), "order-2", "a bug of the worker's own, for the test");
        self.0.put_if_newer(record).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.0.get(key).await
    }
}

fn panicking_world() -> World {
    let mut world = world(&orders(3));
    let worker = world.workers.get_mut(&HERE.parse().unwrap()).unwrap();
    worker.store = Arc::new(Panicking(Arc::clone(&worker.store)));
    world
}

#[test]
fn a_panic_over_one_record_spares_its_batch() {
    let world = panicking_world();
    let (_, ended) = partial(&world, PARTIAL);
    assert_eq!(settled(&ended.unwrap()), [true, false, true]);
    assert_eq!(world.site(HERE).store.snapshot().len(), 2);
}

#[test]
fn a_record_that_panics_for_ever_is_set_aside_and_its_batch_is_done() {
    let world = panicking_world();
    let settled = whole(&world, WholeBudget { hold: Duration::from_hours(1), ..WHOLE }).unwrap();
    let acked = settled.iter().filter(|(_, verdict)| verdict.settlement == Settlement::Ack).count();
    assert_eq!((settled.len(), acked), (3, 2));
    let letters = world.site(HERE).letters.snapshot();
    assert_eq!((letters[0].1["bridge_reason"].as_str(), letters[0].1["bridge_owed"].as_str()), ("panicked", HERE));
}
