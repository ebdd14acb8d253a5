//! What functions make of a delivery: within a budget of time, and by their hosts' ways of settling.

use std::{fmt, sync::Arc, time::Duration};

use bridge_adapters::{
    layer::{Fault, FaultPlan, Faults, LayeredQueue, Operation, Rule},
    memory::{MemoryQueue, MemoryQueueOptions},
};
use bridge_core::{
    circuit::CircuitState,
    event::Key,
    failure::{FailureKind, PortError},
    halt::Spot,
    invocation::{
        Ended,
        partial::{self, Budget as PartialBudget, Worked as PartialWorked},
        whole::{self, Budget as WholeBudget, Failed, Worked as WholeWorked},
    },
    port::{Clock, Delivery, Queue, Reschedule, Store, Write},
    record::Record,
    settlement::Settlement,
    worker::{Policy, Verdict},
};

use crate::world::{PARTIAL, Picky, Site, WHOLE, World, event, message, policy};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";
const EMPTY: Duration = Duration::ZERO;

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

fn partial(world: &World, budget: PartialBudget) -> (Vec<Delivery>, PartialWorked) {
    let (worker, Site { queue, letters, .. }) = (world.worker(HERE), world.site(HERE));
    let batch = received(world);
    let outcome = world.clock.drive(partial::work_off(worker, &**queue, &**letters, &batch, budget));
    (batch, outcome)
}

fn whole(world: &World, budget: WholeBudget) -> WholeWorked {
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
    let (batch, PartialWorked { ended, .. }) = partial(&world, PARTIAL);
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

/// A letter is acknowledged, and told as one, once it lies in the dead-letter queue, and no earlier.
#[test]
fn a_letter_that_cannot_be_sent_comes_again_and_a_queue_of_letters_that_nobody_may_use_halts() {
    let with_letters = |failure| {
        let world = world(&["no event".to_owned()]);
        let (worker, Site { queue, letters, .. }) = (world.worker(HERE), world.site(HERE));
        let plan = FaultPlan::new(1, vec![Rule::always(Fault::Before(failure))]);
        let letters =
            LayeredQueue::new(Arc::clone(letters) as Arc<dyn Queue>, Faults::new(Arc::new(plan), world.clock.clone()));
        let batch = received(&world);
        world.clock.drive(partial::work_off(worker, &**queue, &letters, &batch, PARTIAL))
    };
    let PartialWorked { ended, halt, .. } = with_letters(FailureKind::Unavailable);
    let [Ended::Again { verdict: Some(Verdict { settlement, .. }), after }] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((settlement, &halt), (&Settlement::Retry { after: *after }, &None), "not told as a dead letter");
    assert!(*after <= policy().retry.base);
    let PartialWorked { ended, halt, .. } = with_letters(FailureKind::Unauthorized);
    let halt = halt.unwrap();
    assert!(halt.at == Spot::DeadLetters && halt.detail.contains("access denied"), "{halt:?}");
    let halted =
        |ended: &Ended| matches!(ended.verdict().map(|verdict| &verdict.settlement), Some(Settlement::Halt { .. }));
    assert!(ended.iter().all(halted), "{ended:?}");
}

/// What cannot end in time is not begun: its peer would have it, and its store be asked, for nothing.
#[test]
fn a_batch_that_outlasts_its_budget_leaves_the_rest_untouched_until_its_turn() {
    let world = world(&orders(12));
    // Two and two pass within the time; a third two would not.
    world.site(HERE).writes.add(Rule::always(Fault::Late(Duration::from_secs(10))));
    let (_, outcome) = partial(&world, PartialBudget { portion: 2, ..PARTIAL });
    assert_eq!((settled(&outcome.ended), outcome.unfinished), ([vec![true; 4], vec![false; 8]].concat(), 8));
    let after: Vec<u64> = outcome.ended.iter().filter_map(again_seconds).collect();
    assert_eq!(after, [0, 0, 0, 0, 20, 20, 20, 20], "four now, and four when those are likely to be done");
    assert_eq!(world.site(THERE).queue.len(), 4);
    assert_eq!(hidden_seconds(&world), 0, "another invocation can have it now");
}

fn again_seconds(ended: &Ended) -> Option<u64> {
    match ended {
        Ended::Again { after, .. } => Some(after.as_secs()),
        Ended::Settled(_) => None,
    }
}

/// One write that hangs until the function's time ends: all others are done, told, and go.
#[test]
fn what_is_done_when_time_runs_out_is_reported_as_done() {
    let mut bodies = orders(40);
    bodies.extend(["no event".to_owned(), "none either".to_owned()]);
    let world = world(&bodies);
    world.site(HERE).writes.add(Rule::once(Operation::PutIfNewer, Fault::Late(Duration::from_hours(1))));
    let (batch, outcome) = partial(&world, PARTIAL);
    let left: Vec<_> = batch.iter().zip(&outcome.ended).filter(|(_, ended)| !ended.is_settled()).collect();
    assert_eq!((left.len(), outcome.unfinished), (1, 1), "{left:?}");
    assert_eq!(world.site(HERE).letters.len(), 2);
    assert_eq!(world.site(THERE).queue.len(), 40);
}

/// Letters that were concluded when time ran out are sent in the time that is left, or their messages come again.
#[test]
fn a_letter_whose_group_was_cut_off_is_sent_nevertheless() {
    let world = world(&[orders(1)[0].clone(), "no event".to_owned()]);
    world.site(HERE).writes.add(Rule::always(Fault::Late(Duration::from_hours(1))));
    let (_, outcome) = partial(&world, PartialBudget { portion: 8, ..PARTIAL });
    assert_eq!(settled(&outcome.ended), [true, false], "the letter's body comes first");
    assert_eq!(world.site(HERE).letters.len(), 1);
}

/// A function of three seconds with a store that takes 0.9 s a call: two rounds of writes for each invocation, however large its batch.
#[test]
fn a_short_function_with_a_slow_store_gets_through_and_uses_up_few_deliveries() {
    for (count, size) in [(600, 100), (1_000, 1_000)] {
        let world = World::by_hand(7, &[HERE, THERE], &Policy { attempts_max: 20, concurrent_writes: 16, ..policy() });
        world.send(HERE, &orders(count));
        world.site(HERE).writes.add(Rule::always(Fault::Late(Duration::from_millis(900))));
        let (worker, Site { queue, letters, store, .. }) = (world.worker(HERE), world.site(HERE));
        let budget = PartialBudget { work: Duration::from_secs(2), give_back: Duration::from_millis(500), portion: 32 };
        let (mut most, mut invocations) = (0, 0);
        while !queue.is_empty() && invocations < 1_000 {
            let batch = world.clock.drive(queue.receive(size, Duration::from_mins(20))).unwrap();
            most = batch.iter().map(|delivery| delivery.attempt).max().unwrap_or_default().max(most);
            let outcome = world.clock.drive(partial::work_off(worker, &**queue, &**letters, &batch, budget));
            let done = batch.iter().zip(&outcome.ended).filter(|(_, ended)| ended.is_settled());
            world.clock.drive(queue.ack(&done.map(|(delivery, _)| delivery.receipt.clone()).collect::<Vec<_>>()));
            invocations += 1;
        }
        let stored = store.snapshot().len();
        println!("{count} messages in batches of {size}: {invocations} invocations, {most} deliveries of one at most");
        assert!(queue.is_empty() && letters.is_empty() && stored == count as usize, "{stored} of {count} stored");
        assert!(most <= 10, "{most} deliveries of one message");
        assert_eq!(world.site(THERE).queue.len(), stored, "each is forwarded once");
    }
}

#[test]
fn a_message_that_must_wait_is_hidden_for_as_long() {
    let world = world(&orders(1));
    let hint = Some(Duration::from_secs(50));
    world
        .site(HERE)
        .writes
        .add(Rule::once(Operation::PutIfNewer, Fault::Before(FailureKind::Throttled { retry_after: hint })));
    let (_, outcome) = partial(&world, PARTIAL);
    assert_eq!(settled(&outcome.ended), [false]);
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
        let (_, outcome) = partial(&world, PARTIAL);
        assert_eq!(settled(&outcome.ended), [true], "set aside");
        took.push(world.clock.elapsed().saturating_sub(start).as_secs());
    }
    assert_eq!(took, [10, 0, 0, 0], "silence opens the circuit at once");
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
        settled(&partial(&world, budget).1.ended)
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
fn lost_permissions_settle_nothing_and_hide_all() {
    let world = world(&orders(3));
    world.site(HERE).writes.add(Rule::always(Fault::Before(FailureKind::Unauthorized)));
    let (_, outcome) = partial(&world, PARTIAL);
    assert!(outcome.halt.unwrap().detail.contains("access denied"));
    assert_eq!((settled(&outcome.ended), world.site(HERE).queue.len()), (vec![false; 3], 3));
    assert_eq!(hidden_seconds(&world), 30);
}

/// A broker that sets a message aside after 40 deliveries must not do so for days; and each peer gets each event once.
#[test]
fn a_halted_lambda_uses_up_few_deliveries_and_sends_each_event_once() {
    let world = world(&orders(20));
    world.site(HERE).writes.add(Rule::always(Fault::Before(FailureKind::Unauthorized)));
    let (worker, Site { queue, letters, .. }) = (world.worker(HERE), world.site(HERE));
    let mut most = 0;
    while world.clock.elapsed() < Duration::from_hours(24) {
        let batch = world.clock.drive(queue.receive(100, Duration::from_mins(10))).unwrap();
        most = batch.iter().map(|delivery| delivery.attempt).max().unwrap_or(most);
        world.clock.drive(partial::work_off(worker, &**queue, &**letters, &batch, PARTIAL));
    }
    assert!((15..=21).contains(&most), "{most} deliveries in a day");
    assert_eq!((queue.len(), letters.len()), (20, 0));
    assert_eq!(world.site(THERE).queue.len(), 16, "once those that were tried before the halt was seen");
}

#[test]
fn a_short_trouble_is_waited_out() {
    let world = world(&orders(2));
    world.site(HERE).writes.add(Rule::once(Operation::PutIfNewer, Fault::Before(FailureKind::Unavailable)));
    let settled = whole(&world, WHOLE).concluded;
    assert!(settled.iter().all(|(_, verdict)| verdict.settlement == Settlement::Ack), "{settled:?}");
    let applied = world.site(HERE).store.snapshot().keys().filter(|key| key.as_str().starts_with("order-")).count();
    assert_eq!((applied, world.site(HERE).queue.len()), (2, 2), "the host removes both; no copy was made");
}

#[test]
fn a_longer_trouble_goes_into_a_copy_that_counts_on() {
    let mut world = world(&orders(1));
    Picky::at(&mut world, HERE, FailureKind::Unavailable);
    let start = world.clock.now();
    let settled = whole(&world, WholeBudget { hold: EMPTY, ..WHOLE }).concluded;
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
    assert_eq!(whole(&world, WHOLE).failed, None);
    assert_eq!(world.clock.now() - start, chrono::TimeDelta::seconds(45));
    assert_eq!(world.site(HERE).queue.len(), 2, "the message and its copy");
}

#[test]
fn troubles_without_end_become_a_letter_whoever_counts() {
    let mut world = world(&orders(1));
    Picky::at(&mut world, HERE, FailureKind::Unavailable);
    let budget = WholeBudget { hold: Duration::from_hours(1), ..WHOLE };
    let settled = whole(&world, budget).concluded;
    assert_eq!(settled[0].0.attempt, policy().attempts_max);
    let letters = world.site(HERE).letters.snapshot();
    assert_eq!(
        (letters[0].1["bridge_reason"].as_str(), letters[0].1["bridge_attempt"].as_str()),
        ("retries_exhausted", "5")
    );
}

/// A failed invocation would count at the broker, which sets a message aside after ten.
#[test]
fn a_halted_function_waits_for_its_operator_and_then_puts_a_copy_in_the_place_of_the_message() {
    let world = World::by_hand(7, &[HERE, THERE], &Policy { attempts_max: 20, ..policy() });
    world.site(HERE).writes.add(Rule::always(Fault::Before(FailureKind::Unauthorized)));
    let (worker, Site { letters, .. }) = (world.worker(HERE), world.site(HERE));
    let start = world.clock.now();
    // The host renews the lock.
    let options = MemoryQueueOptions { lease: Duration::from_hours(1), ..MemoryQueueOptions::default() };
    let queue = Arc::new(MemoryQueue::new(options, world.clock.clone()));
    world.clock.drive(queue.send(&[message(1, &orders(1)[0])]));
    let mut deliveries = world.clock.drive(queue.receive(1, EMPTY)).unwrap();
    for attempt in 3..20 {
        let (begun, receipt) = (world.clock.now(), deliveries[0].receipt.clone());
        let outcome = world.clock.drive(whole::work_off(worker, &*queue, &*queue, &**letters, deliveries, WHOLE));
        assert!(outcome.halt.is_some() && outcome.failed.is_none(), "{outcome:?}");
        assert_eq!(world.clock.now() - begun, chrono::TimeDelta::seconds(120));
        assert!(matches!(outcome.concluded[0].1.settlement, Settlement::Halt { .. }), "{outcome:?}");
        world.clock.drive(queue.ack(&[receipt]));
        deliveries = world.clock.drive(queue.receive(10, Duration::from_hours(12))).unwrap();
        assert_eq!(deliveries.len(), 1, "the copy");
        let copy = (deliveries[0].attempt, deliveries[0].first_seen);
        assert_eq!(copy, (attempt.min(11), Some(start)), "half of its tries are left");
    }
    let hours = (world.clock.now() - start).num_hours();
    assert!((40..60).contains(&hours), "{hours} hours in 17 copies, and no delivery was used up");
    assert_eq!(world.site(THERE).queue.len(), 1, "its peer has it once, and not with every look");
}

#[test]
fn a_copy_that_cannot_be_sent_is_the_hosts_to_bring_back() {
    let world = world(&orders(1));
    world.site(HERE).writes.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    let (worker, Site { queue, letters, .. }) = (world.worker(HERE), world.site(HERE));
    let batch = received(&world);
    let budget = WholeBudget { hold: EMPTY, ..WHOLE };
    let outcome = world.clock.drive(whole::work_off(worker, &**queue, &NoCopies, &**letters, batch, budget));
    assert!(matches!(outcome.failed, Some(Failed::NotRescheduled { .. })), "{outcome:?}");
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
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
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
    let (_, outcome) = partial(&world, PARTIAL);
    assert_eq!(settled(&outcome.ended), [true, false, true]);
    assert_eq!(world.site(HERE).store.snapshot().len(), 2);
}

#[test]
fn a_record_that_panics_for_ever_is_set_aside_and_its_batch_is_done() {
    let world = panicking_world();
    let settled = whole(&world, WholeBudget { hold: Duration::from_hours(1), ..WHOLE }).concluded;
    let acked = settled.iter().filter(|(_, verdict)| verdict.settlement == Settlement::Ack).count();
    assert_eq!((settled.len(), acked), (3, 2));
    let letters = world.site(HERE).letters.snapshot();
    assert_eq!((letters[0].1["bridge_reason"].as_str(), letters[0].1["bridge_owed"].as_str()), ("panicked", HERE));
}
