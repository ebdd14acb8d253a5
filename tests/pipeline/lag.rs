//! What is looked at for the lag: dead letters by their reasons, and every site within its bound.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bridge_adapters::{
    layer::{Fault, FaultPlan, Faults, LayeredQueue, LayeredStore, Operation, Rule},
    memory::{ManualClock, MemoryQueue, MemoryQueueOptions, MemoryStore},
};
use bridge_core::{
    conflict::{Conflict, ConflictKind},
    event::{Op, SiteId},
    failure::{FailureKind, PortError},
    heartbeat::{self, Status},
    marks::{Marks, Own},
    port::{Clock, Delivery, Message, Place, Queue, Receipt, Store, Write},
    property,
};
use bridge_ops::{
    lag::{
        Letters, Observer, Reasons, Report, Watched,
        report::{DeadLetters, LagState},
    },
    replay::subject::{BROKER_RECEIVES, Holds},
};
use bridge_tests::{
    at, aws, azure, changed, event, message,
    over::{Answers, Change, Over},
    properties,
};
use chrono::TimeDelta;
use futures_util::future;
use uuid::Uuid;

/// A queue that takes what it shows, as SQS does, and counts the looks.
#[derive(Debug)]
struct Taking {
    queue: Arc<dyn Queue>,
    clock: Arc<ManualClock>,
    looks: AtomicU32,
    /// Whether it shows everything twice.
    twice: bool,
    /// How long a look takes after the letters were taken, and how long giving them back does, in milliseconds.
    browse_ms: AtomicU64,
    release_ms: AtomicU64,
}

impl Taking {
    fn new(queue: Arc<dyn Queue>, clock: &Arc<ManualClock>) -> Self {
        let (looks, clock) = (AtomicU32::new(0), clock.clone());
        Self { queue, clock, looks, twice: false, browse_ms: AtomicU64::new(0), release_ms: AtomicU64::new(0) }
    }

    async fn wait(&self, ms: &AtomicU64) {
        self.clock.sleep(Duration::from_millis(ms.load(Ordering::Relaxed))).await;
    }
}

#[async_trait]
impl Change for Taking {
    fn queue(&self) -> &dyn Queue {
        &*self.queue
    }

    async fn browse(&self, _: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let mut shown = self.queue.receive(max, Duration::ZERO).await?;
        self.wait(&self.browse_ms).await;
        if self.twice {
            shown.extend(shown.clone());
        }
        Ok(shown)
    }

    async fn release(&self, receipts: &[Receipt]) -> Answers {
        self.wait(&self.release_ms).await;
        self.queue.release(receipts).await
    }
}

/// A dead-letter queue, and who looks at it.
struct Dead {
    clock: Arc<ManualClock>,
    lies: Arc<MemoryQueue>,
    faults: Arc<FaultPlan>,
    shown: Arc<Over<Taking>>,
    letters: Letters,
}

impl Dead {
    fn new(clock: &Arc<ManualClock>, holds: Holds) -> Self {
        let lies = Arc::new(MemoryQueue::new(MemoryQueueOptions::default(), clock.clone()));
        let faults = Arc::new(FaultPlan::new(1, Vec::new()));
        let queue: Arc<dyn Queue> =
            Arc::new(LayeredQueue::new(lies.clone(), Faults::new(faults.clone(), clock.clone())));
        let shown = Arc::new(Over(Taking::new(queue, clock)));
        let letters = Letters::new(lies.clone(), Reasons::Read { queue: shown.clone(), holds });
        Self { clock: clock.clone(), lies, faults, shown, letters }
    }

    fn add(&self, reason: &str, count: usize) {
        let letter = || Message { properties: properties([("bridge_reason", reason)]), ..message("no event") };
        let letters: Vec<Message> = std::iter::repeat_with(letter).take(count).collect();
        self.clock.drive(self.lies.send(&letters)).into_iter().for_each(Result::unwrap);
    }

    fn take_away(&self, count: usize) {
        let taken = self.clock.drive(self.lies.receive(count, Duration::ZERO)).unwrap();
        let receipts: Vec<Receipt> = taken.into_iter().map(|delivery| delivery.receipt).collect();
        self.clock.drive(self.lies.ack(&receipts)).into_iter().for_each(Result::unwrap);
    }

    fn look(&self) -> (DeadLetters, Option<PortError>) {
        self.clock.drive(self.letters.look(&*self.clock, LIMIT)).unwrap()
    }

    /// How often the letters themselves were looked at so far.
    fn looks(&self) -> u32 {
        self.shown.0.looks.load(Ordering::Relaxed)
    }
}

fn letters<const N: usize>(messages: u64, by_reason: [(&str, u64); N], unread: u64) -> DeadLetters {
    let by_reason = by_reason.map(|(reason, count)| (reason.to_owned(), count)).into();
    DeadLetters { messages, by_reason, unread, ..DeadLetters::default() }
}

#[test]
fn letters_are_counted_by_reason_and_lie_there_as_before() {
    let dead = Dead::new(&ManualClock::new(at(0)), Holds::BrokersLetters);
    assert_eq!(dead.look().0, DeadLetters::default());
    assert_eq!(dead.looks(), 0, "an empty queue is not looked at");
    dead.add("not_json", 300);
    dead.add("clock_skew", 149);
    dead.clock.drive(dead.lies.send(&[message("set aside by the broker")]));
    let (seen, error) = dead.look();
    assert_eq!(seen, letters(450, [("not_json", 300), ("clock_skew", 149), (BROKER_RECEIVES, 1)], 0));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(dead.looks(), 4, "ten first, then by portions of 200, until all have come");
    assert_eq!(dead.clock.drive(dead.lies.receive(1_000, Duration::ZERO)).unwrap().len(), 450, "all given back");
    assert_eq!(dead.clock.drive(dead.letters.count()).unwrap(), 450);
}

#[test]
fn letters_that_are_owed_to_a_site_are_told_from_those_that_are_not() {
    let owed_of = |holds| {
        let dead = Dead::new(&ManualClock::new(at(0)), holds);
        dead.add("clock_skew", 2);
        let mut owed = message("owed");
        owed.properties = properties([(property::REASON, "clock_skew"), (property::OWED, "azure:westeurope")]);
        dead.clock.drive(dead.lies.send(&[owed]));
        let (seen, _) = dead.look();
        assert_eq!(seen.messages, 3);
        seen.owed_by_reason
    };
    assert_eq!(owed_of(Holds::Letters), [("clock_skew".to_owned(), 1)].into());
    assert_eq!(owed_of(Holds::Events), [].into(), "a producer wrote that");
}

#[test]
fn of_many_letters_a_thousand_are_read() {
    let dead = Dead::new(&ManualClock::new(at(0)), Holds::Letters);
    dead.add("not_json", 1_300);
    assert_eq!(dead.look().0, letters(1_300, [("not_json", 1_000)], 300));
}

/// Service Bus shows what it showed before where a letter comes meanwhile; SQS may deliver one twice.
#[test]
fn a_letter_that_is_shown_twice_counts_once() {
    let clock = ManualClock::new(at(0));
    let lies = Arc::new(MemoryQueue::new(MemoryQueueOptions::default(), clock.clone()));
    let shown = Arc::new(Over(Taking { twice: true, ..Taking::new(lies.clone(), &clock) }));
    let dead = Letters::new(lies.clone(), Reasons::Read { queue: shown, holds: Holds::Letters });
    clock.drive(lies.send(&[message("one")]));
    assert_eq!(clock.drive(dead.look(&*clock, LIMIT)).unwrap().0, letters(1, [("waiting", 1)], 0));
}

#[test]
fn letters_are_not_read_again_and_again() {
    let dead = Dead::new(&ManualClock::new(at(0)), Holds::Letters);
    dead.add("not_json", 3);
    dead.look();
    let first = dead.looks();
    dead.clock.advance(Duration::from_hours(1));
    assert_eq!((dead.look().0, dead.looks()), (letters(3, [("not_json", 3)], 0), first), "nothing changed");

    dead.add("clock_skew", 1);
    assert_eq!(dead.look().0, letters(4, [("not_json", 3), ("clock_skew", 1)], 0));
    let second = dead.looks();
    dead.add("clock_skew", 1);
    dead.clock.advance(Duration::from_millis(14_999));
    let known = letters(5, [("not_json", 3), ("clock_skew", 1)], 1);
    assert_eq!((dead.look().0, dead.looks()), (known, second), "changed, and read just before");
    dead.take_away(2);
    assert_eq!((dead.look().0, dead.looks()), (letters(3, [], 3), second), "nobody knows which were taken");
    dead.clock.advance(Duration::from_millis(1));
    let (seen, _) = dead.look();
    assert_eq!((seen.messages, seen.unread), (3, 0));
    assert!(dead.looks() > second);

    // A clock that was set back does not keep anybody from looking.
    dead.add("not_json", 1);
    assert_eq!(dead.clock.drive(dead.letters.count()).unwrap(), 4, "and what was given back can be seen again");
    dead.clock.step(-TimeDelta::hours(1));
    assert_eq!(dead.look().0.unread, 0);
}

#[test]
fn reasons_that_could_not_be_read_are_told_and_read_later() {
    let dead = Dead::new(&ManualClock::new(at(0)), Holds::Letters);
    dead.add("not_json", 2);
    dead.faults.add(Rule::once(Operation::Receive, Fault::Before(FailureKind::Unavailable)));
    let (seen, error) = dead.look();
    assert_eq!(seen, letters(2, [], 2), "they are counted nevertheless");
    assert!(matches!(error.unwrap().kind, FailureKind::Unavailable));
    dead.clock.advance(Duration::from_secs(15));
    assert_eq!(dead.look().0, letters(2, [("not_json", 2)], 0), "though their number has not changed");

    dead.add("not_json", 1);
    dead.clock.advance(Duration::from_secs(15));
    dead.faults.add(Rule::once(Operation::Release, Fault::Before(FailureKind::Throttled { retry_after: None })));
    let (seen, error) = dead.look();
    assert_eq!(seen, letters(3, [("not_json", 3)], 0));
    assert!(error.is_some(), "they stay hidden for a while, and somebody is told");
}

/// Whatever a look takes it gives back, however little time it has; what was counted is told, and the queue has its rest.
#[test]
fn a_look_that_runs_out_of_time_hides_nothing() {
    let slow = |browse_ms: u64, release_ms: u64| {
        let dead = Dead::new(&ManualClock::new(at(0)), Holds::Letters);
        dead.add("not_json", 900);
        dead.shown.0.browse_ms.store(browse_ms, Ordering::Relaxed);
        dead.shown.0.release_ms.store(release_ms, Ordering::Relaxed);
        let (seen, error) = dead.look();
        assert!(dead.clock.elapsed() <= LIMIT * 2, "{:?}", dead.clock.elapsed());
        let looks = dead.looks();
        assert_eq!(dead.look().0, seen, "it is not looked at again at once");
        assert_eq!(dead.looks(), looks);
        let free = dead.clock.drive(dead.lies.receive(1_000, Duration::ZERO)).unwrap().len();
        (seen, error.map(|error| error.kind), free)
    };
    assert_eq!(slow(1_000, 0), (letters(900, [("not_json", 30)], 870), None, 900));
    assert_eq!(slow(1_600, 2_000), (letters(900, [("not_json", 10)], 890), None, 900));
    assert_eq!(slow(150, 1_000), (letters(900, [("not_json", 900)], 0), None, 900), "fast enough for large portions");
    // What an answer that never came has taken nobody knows; what the one before it had is given back.
    assert_eq!(slow(1_600, 4_000).1, Some(FailureKind::TimedOut));
    assert_eq!(slow(60_000, 0), (letters(900, [], 900), Some(FailureKind::TimedOut), 890));
}

/// A look that nobody waits for any more has been one: what it had taken is hidden, and the next would find less still.
#[test]
fn a_look_that_was_dropped_is_not_repeated_at_once() {
    let dead = Dead::new(&ManualClock::new(at(0)), Holds::Letters);
    dead.add("not_json", 3);
    dead.shown.0.browse_ms.store(1_000, Ordering::Relaxed);
    let dropped = dead.clock.sleep(Duration::from_millis(500));
    drop(dead.clock.drive(future::select(Box::pin(dead.letters.look(&*dead.clock, LIMIT)), dropped)));
    let looks = dead.looks();
    assert_eq!((dead.look().0, dead.looks()), (letters(3, [], 3), looks));
    dead.clock.advance(Duration::from_mins(2));
    assert_eq!(dead.look().0, letters(3, [("not_json", 3)], 0));
}

/// Somebody else had some of them in hand: that they were not read is no reason never to read them.
#[test]
fn letters_that_were_hidden_during_a_look_are_read_later() {
    let dead = Dead::new(&ManualClock::new(at(0)), Holds::Letters);
    dead.add("not_json", 6);
    let held = dead.clock.drive(dead.lies.receive(3, Duration::ZERO)).unwrap();
    assert_eq!(dead.look().0, letters(6, [("not_json", 3)], 3));
    let receipts: Vec<Receipt> = held.into_iter().map(|delivery| delivery.receipt).collect();
    dead.clock.drive(dead.lies.release(&receipts)).into_iter().for_each(Result::unwrap);
    assert_eq!(dead.look().0.unread, 3, "but not just after");
    dead.clock.advance(Duration::from_secs(15));
    assert_eq!(dead.look().0, letters(6, [("not_json", 6)], 0));
}

/// Who wants to know how many there are is in nobody's way.
#[test]
fn a_glance_counts_letters_and_takes_none() {
    let sites = sites();
    sites.dead[0].add("not_json", 3);
    let seen = sites.clock.drive(sites.observer.glance());
    assert_eq!(seen.sites[0].dead_letters, Some(letters(3, [], 3)));
    assert_eq!(sites.dead[0].looks(), 0);
    assert_eq!(sites.look(false).sites[0].dead_letters, Some(letters(3, [("not_json", 3)], 0)));
}

#[test]
fn a_queue_whose_letters_all_have_one_reason_is_not_looked_at() {
    let clock = ManualClock::new(at(0));
    let lies = Arc::new(MemoryQueue::new(MemoryQueueOptions::default(), clock.clone()));
    clock.drive(lies.send(&[message("one"), message("two")]));
    let dead = Letters::new(lies, Reasons::Always("broker:too_many_receives"));
    assert_eq!(clock.drive(dead.look(&*clock, LIMIT)).unwrap().0, letters(2, [("broker:too_many_receives", 2)], 0));
}

/// Two sites on memory, whose stores can go wrong.
struct Sites {
    clock: Arc<ManualClock>,
    stores: BTreeMap<SiteId, Arc<MemoryStore>>,
    faults: Arc<FaultPlan>,
    dead: [Dead; 2],
    observer: Observer,
}

const LIMIT: Duration = Duration::from_secs(3);

fn sites() -> Sites {
    let clock = ManualClock::new(at(0));
    let faults = Arc::new(FaultPlan::new(1, Vec::new()));
    let dead = [Dead::new(&clock, Holds::Letters), Dead::new(&clock, Holds::BrokersLetters)];
    let (mut stores, mut sites) = (BTreeMap::new(), BTreeMap::new());
    for site in [aws(), azure()] {
        let queue = Arc::new(MemoryQueue::new(MemoryQueueOptions::default(), clock.clone()));
        let store = Arc::new(MemoryStore::new(site.as_str(), clock.clone() as Arc<dyn Clock>));
        let plan = if site == aws() { faults.clone() } else { Arc::new(FaultPlan::new(1, Vec::new())) };
        let dead_letters = dead.iter().enumerate().filter(|_| site == aws()).map(|(at, dead)| {
            Letters::new(
                dead.lies.clone(),
                Reasons::Read {
                    queue: dead.shown.clone(),
                    holds: if at == 1 { Holds::BrokersLetters } else { Holds::Letters },
                },
            )
        });
        let watched = Watched {
            queue,
            dead_letters: dead_letters.collect(),
            store: Arc::new(LayeredStore::new(store.clone(), Faults::new(plan, clock.clone()))),
        };
        sites.insert(site.clone(), watched);
        stores.insert(site, store);
    }
    let observer = Observer { sites, clock: clock.clone(), limit: LIMIT };
    Sites { clock, stores, faults, dead, observer }
}

impl Sites {
    fn look(&self, conflicts: bool) -> Report {
        self.clock.drive(self.observer.look(conflicts))
    }

    /// A heartbeat of `from` that every site has.
    fn beats(&self, from: &SiteId) {
        let status = Status { every_ms: 30_000, ..Status::default() };
        let body = heartbeat::event(from, Uuid::new_v4(), self.clock.now(), &status);
        let event = bridge_core::envelope::decode_marked(&body, "/id", &Marks::of(Own::Heartbeat)).unwrap();
        for (site, store) in &self.stores {
            let record = bridge_core::record::Record::new(&event, site, self.clock.now(), Duration::ZERO);
            assert!(matches!(self.clock.drive(store.put_if_newer(&record)).unwrap(), Write::Applied { .. }));
        }
    }
}

fn states(report: &Report) -> Vec<(&str, LagState)> {
    report.lag.iter().map(|lag| (lag.to.as_str(), lag.state)).collect()
}

#[test]
fn the_letters_of_a_site_are_those_of_all_its_queues() {
    let sites = sites();
    sites.dead[0].add("not_json", 2);
    sites.dead[1].add("not_json", 1);
    sites.clock.drive(sites.dead[1].lies.send(&[message("by the broker")]));
    let seen = |report: &Report| report.sites[0].dead_letters.clone().unwrap();
    let report = sites.look(false);
    assert_eq!(seen(&report), letters(4, [("not_json", 3), (BROKER_RECEIVES, 1)], 0));
    assert!(report.sites[0].trouble.is_empty(), "{:?}", report.sites[0].trouble);

    // Those of one cannot be read.
    sites.clock.advance(Duration::from_secs(15));
    sites.dead[0].add("not_json", 1);
    sites.dead[0].faults.add(Rule::once(Operation::Receive, Fault::Before(FailureKind::Unavailable)));
    let report = sites.look(false);
    assert_eq!(seen(&report), letters(5, [("not_json", 1), (BROKER_RECEIVES, 1)], 3));
    assert_eq!(report.sites[0].trouble.len(), 1, "and that is told: {:?}", report.sites[0].trouble);
}

#[test]
fn a_site_that_never_answers_costs_no_more_than_the_limit_and_hides_nothing_of_the_others() {
    let sites = sites();
    sites.beats(&aws());
    sites.beats(&azure());
    assert_eq!(states(&sites.look(true)), [("azure:westeurope", LagState::Heard), ("aws:us-east-1", LagState::Heard)]);
    assert_eq!(sites.clock.elapsed(), Duration::ZERO);
    sites.faults.add(Rule::always(Fault::Lost));
    let report = sites.look(true);
    assert_eq!(sites.clock.elapsed(), LIMIT);
    assert_eq!(states(&report), [("azure:westeurope", LagState::Heard), ("aws:us-east-1", LagState::Unknown)]);
    let [here, there] = &report.sites[..] else { panic!("{report:?}") };
    assert!(!here.unreachable && here.backlog_messages == Some(0), "its queue answers");
    assert!(here.trouble.len() == 1 && here.trouble[0].contains("timed out"), "{:?}", here.trouble);
    assert!(there.trouble.is_empty());
}

#[test]
fn conflicts_are_read_where_they_are_asked_for_the_latest_first() {
    let sites = sites();
    for second in [1, 2] {
        let won = event("order-1", at(second + 10));
        let (lost, kind) = match second {
            1 => (changed(&event("order-1", at(1)), |change| change.origin = azure()), ConflictKind::TwoSites),
            _ => (changed(&won, |change| change.op = Op::Delete), ConflictKind::TwoContents),
        };
        let [lost, won] = [lost, won].map(|event| event.version().clone());
        let conflict = Conflict { key: "order-1".parse().unwrap(), lost, won, kind };
        let site = if second == 1 { aws() } else { azure() };
        let record = conflict.record(&site, at(20 + second));
        sites.clock.drive(sites.stores[&site].put_if_newer(&record)).unwrap();
    }
    assert!(sites.look(false).conflicts.is_empty());
    let found = sites.look(true).conflicts;
    let found: Vec<_> = found.iter().map(|one| (one.site.as_str(), one.lost.timestamp.as_str(), one.kind)).collect();
    let first = ("aws:us-east-1", "2026-11-21T00:00:01.000Z", ConflictKind::TwoSites);
    assert_eq!(found, [("azure:westeurope", "2026-11-21T00:00:12.000Z", ConflictKind::TwoContents), first]);
}
