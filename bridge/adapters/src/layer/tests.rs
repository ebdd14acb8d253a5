//! What the layers do when it is their turn; that they do nothing otherwise is the contract's.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bridge_core::{
    failure::{FailureKind, PortError, Recovery},
    port::{Clock, Message, Properties, Queue, Store, Write},
    record::Record,
};
use chrono::TimeDelta;

use super::*;
use crate::{
    memory::{ManualClock, MemoryQueue, MemoryQueueOptions, MemoryStore, Order},
    stored::strategies::any_record,
};

/// What is kept of an observation: the method, what came of it, and of how many items how many failed.
type Seen = (Operation, Outcome, usize, usize);

/// A queue and a store behind the faults of one plan.
struct World {
    manual: Arc<ManualClock>,
    clock: Arc<dyn Clock>,
    plan: Arc<FaultPlan>,
    backend: Arc<MemoryQueue>,
    queue: Arc<dyn Queue>,
    store: Arc<dyn Store>,
}

fn world(seed: u64, rules: Vec<Rule>) -> World {
    let manual = ManualClock::new("2026-11-21T01:02:03Z".parse().unwrap());
    let clock: Arc<dyn Clock> = Arc::clone(&manual) as Arc<dyn Clock>;
    let plan = Arc::new(FaultPlan::new(seed, rules));
    let options = MemoryQueueOptions { order: Order::Arrival, ..Default::default() };
    let backend = Arc::new(MemoryQueue::new(options, Arc::clone(&clock)));
    let queue = Arc::new(LayeredQueue::new(
        Arc::clone(&backend) as Arc<dyn Queue>,
        Faults::new(Arc::clone(&plan), Arc::clone(&clock)),
    ));
    let store = Arc::new(MemoryStore::new("store", Arc::clone(&clock)));
    let store = Arc::new(LayeredStore::new(store, Faults::new(Arc::clone(&plan), Arc::clone(&clock))));
    World { manual, clock, plan, backend, queue, store }
}

fn messages(count: usize) -> Vec<Message> {
    let message = |n: usize| Message { id: n.to_string(), body: vec![b'x'].into(), properties: Properties::new() };
    (0..count).map(message).collect()
}

fn live() -> Record {
    any_record(|record| !record.deleted())
}

fn kind<T>(result: Result<T, PortError>) -> Option<FailureKind> {
    result.err().map(|error| error.kind)
}

#[test]
fn a_failure_before_the_effect_leaves_nothing_and_one_after_it_leaves_everything() {
    let world = world(1, Vec::new());
    world.manual.drive(async {
        let record = live();
        world.plan.add(Rule::once(Operation::PutIfNewer, Fault::Before(FailureKind::Unavailable)));
        assert_eq!(kind(world.store.put_if_newer(&record).await), Some(FailureKind::Unavailable));
        assert!(world.store.get(&record.key).await.unwrap().is_none());
        world.plan.add(Rule::once(Operation::PutIfNewer, Fault::After(FailureKind::TimedOut)));
        assert_eq!(kind(world.store.put_if_newer(&record).await), Some(FailureKind::TimedOut));
        let again = world.store.put_if_newer(&record).await.unwrap();
        assert_eq!(again, Write::Duplicate, "the answer was lost, not the write");
    });
}

#[test]
fn a_rule_strikes_its_own_operation_as_often_as_it_says() {
    let twice = Rule { count: Some(2), ..Rule::once(Operation::Send, Fault::Before(FailureKind::Unavailable)) };
    let world = world(1, vec![twice]);
    world.manual.drive(async {
        assert!(world.queue.receive(1, Duration::ZERO).await.is_ok());
        for expected in [false, false, true] {
            assert_eq!(world.queue.send(&messages(1)).await[0].is_ok(), expected);
        }
        assert_eq!(world.backend.len(), 1);
    });
}

#[test]
fn a_dark_place_comes_back_when_its_rules_are_taken_away() {
    let world = world(1, vec![Rule::always(Fault::Before(FailureKind::Unavailable))]);
    world.manual.drive(async {
        assert!(world.queue.send(&messages(2)).await.iter().all(Result::is_err));
        assert!(world.store.get(&live().key).await.is_err());
        world.plan.clear();
        assert!(world.queue.send(&messages(2)).await.iter().all(Result::is_ok));
    });
}

#[test]
fn items_fail_one_by_one_and_by_the_seed() {
    for after in [false, true] {
        let failed = |seed| {
            let items = Fault::Items { share: 0.5, kind: FailureKind::Unavailable, after };
            let world = world(seed, vec![Rule::once(Operation::Send, items)]);
            let results = world.manual.drive(world.queue.send(&messages(20)));
            let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
            let effects = if after { 20 } else { failed.iter().filter(|failed| !**failed).count() };
            assert_eq!(world.backend.len(), effects);
            failed
        };
        assert_eq!(failed(1), failed(1));
        assert_ne!(failed(1), failed(2));
        assert!(failed(1).contains(&true) && failed(1).contains(&false));
    }
}

#[test]
fn what_never_answers_times_out_within_the_bound() {
    let bound = Duration::from_secs(5);
    for (fault, effects) in [(Fault::Lost, 0), (Fault::Unanswered, 2)] {
        let world = world(1, vec![Rule::always(fault)]);
        let queue = LayeredQueue::new(Arc::clone(&world.queue), Timeout::new(Arc::clone(&world.clock), bound));
        let store = LayeredStore::new(Arc::clone(&world.store), Timeout::new(Arc::clone(&world.clock), bound));
        world.manual.drive(async {
            let results = queue.send(&messages(2)).await;
            assert_eq!(results.len(), 2);
            assert!(results.into_iter().all(|result| kind(result) == Some(FailureKind::TimedOut)));
            assert_eq!(world.manual.elapsed(), bound);
            assert_eq!(world.backend.len(), effects);
            let wait = Duration::from_secs(20);
            assert_eq!(kind(queue.receive(1, wait).await), Some(FailureKind::TimedOut));
            assert_eq!(world.manual.elapsed(), bound + wait + bound, "a receive may wait as long as it was asked to");
            assert_eq!(kind(store.put_if_newer(&live()).await), Some(FailureKind::TimedOut));
        });
    }
}

#[test]
fn a_late_answer_is_late() {
    let world = world(1, vec![Rule::once(Operation::Get, Fault::Late(Duration::from_secs(2)))]);
    let start = world.clock.now();
    world.manual.drive(world.store.get(&live().key)).unwrap();
    assert_eq!(world.clock.now() - start, TimeDelta::seconds(2));
}

#[test]
fn every_call_is_observed_with_what_came_of_it() {
    let world = world(1, Vec::new());
    let seen = Arc::<Mutex<Vec<Seen>>>::default();
    let observe: Observe = {
        let seen = Arc::clone(&seen);
        Arc::new(move |o| seen.lock().unwrap().push((o.operation, o.outcome, o.items, o.failed)))
    };
    let queue = LayeredQueue::new(Arc::clone(&world.queue), Meter::new(Arc::clone(&observe)));
    let store = LayeredStore::new(Arc::clone(&world.store), Meter::new(observe));
    world.manual.drive(async {
        let _ = queue.send(&messages(3)).await;
        let held = queue.receive(2, Duration::ZERO).await.unwrap();
        queue.retry(&[(&held[0], Duration::ZERO)]).await.remove(0).unwrap();
        let receipts = [held[0].receipt.clone(), held[1].receipt.clone()];
        let _ = queue.extend(&receipts).await;
        world.plan.add(Rule::once(Operation::Ack, Fault::Before(FailureKind::Unavailable)));
        let _ = queue.ack(&receipts).await;
        let _ = store.put_if_newer(&live()).await;
        let _ = store.put_if_newer(&live()).await;
        let _ = store.get(&live().key).await;
        queue.close().await;
    });
    let expected = [
        (Operation::Send, Outcome::Ok, 3, 0),
        (Operation::Receive, Outcome::Ok, 2, 0),
        (Operation::Retry, Outcome::Ok, 1, 0),
        (Operation::Extend, Outcome::LeaseLost, 2, 1),
        (Operation::Ack, Outcome::Unavailable, 2, 2),
        (Operation::PutIfNewer, Outcome::Ok, 1, 0),
        (Operation::PutIfNewer, Outcome::Ok, 1, 0),
        (Operation::Get, Outcome::Ok, 1, 0),
        (Operation::Close, Outcome::Ok, 1, 0),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_dropped_call_is_observed_as_cancelled() {
    let world = world(1, Vec::new());
    let seen: Arc<Mutex<Vec<Outcome>>> = Arc::default();
    let observe: Observe = {
        let seen = Arc::clone(&seen);
        Arc::new(move |o| seen.lock().unwrap().push(o.outcome))
    };
    let queue = Arc::new(LayeredQueue::new(Arc::clone(&world.queue), Meter::new(observe)));
    let bounded = LayeredQueue::new(queue, Timeout::new(Arc::clone(&world.clock), Duration::from_secs(1)));
    world.plan.add(Rule::once(Operation::Send, Fault::Lost));
    let results = world.manual.drive(bounded.send(&messages(1)));
    assert_eq!(kind(results.into_iter().next().unwrap()), Some(FailureKind::TimedOut));
    assert_eq!(*seen.lock().unwrap(), [Outcome::Cancelled]);
}

/// Stands for an SDK that panics at a setting, at whatever it is asked.
struct Panics;

impl Layer for Panics {
    async fn one<T: Send>(
        &self,
        _: Call<'_>,
        _: impl Future<Output = Result<T, PortError>> + Send,
        _: impl Fn(&T) -> usize + Send,
    ) -> Result<T, PortError> {
        panic!("bad {}", "header")
    }

    async fn many<P: ?Sized + Sync, I: Clone + Send + Sync, A: Send>(
        &self,
        _: Call<'_>,
        _: &P,
        _: &[I],
        _: OnMany<P, I, A>,
    ) -> Answers<A> {
        panic!("bad header")
    }
}

#[test]
fn a_panic_below_a_port_halts_with_its_cause() {
    let world = world(1, Vec::new());
    let queue = LayeredQueue::new(Arc::new(LayeredQueue::new(Arc::clone(&world.queue), Panics)), Guard);
    let store = LayeredStore::new(Arc::new(LayeredStore::new(Arc::clone(&world.store), Panics)), Guard);
    world.manual.drive(async {
        let panicked = FailureKind::Panicked { detail: "bad header".to_owned() };
        assert_eq!(panicked.recovery(), Recovery::Halt);
        assert_eq!(kind(queue.receive(1, Duration::ZERO).await).as_ref(), Some(&panicked));
        assert_eq!(kind(store.get(&live().key).await).as_ref(), Some(&panicked));
        let answers = queue.send(&messages(2)).await;
        assert_eq!(answers.len(), 2);
        for answer in answers {
            assert_eq!(kind(answer).as_ref(), Some(&panicked));
        }
    });
}
