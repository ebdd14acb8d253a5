//! What goes wrong on purpose, for every service alike.
//!
//! A [`Fault`] says what to do to which calls; [`Faults`] holds the live ones and answers one question per call:
//! [`Faults::judge`]. Services carry the verdict out, because a throttled call looks different in each protocol. This module
//! never sleeps and never touches a socket; time comes in through `judge_at`, so that expiry is tested without waiting.

mod definition;
mod notation;
mod record;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use definition::{Fault, Kind, Scope, When};
pub use notation::FaultError;
pub use record::RequestCount;

/// One of the four services that this crate serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    Sqs,
    Dynamodb,
    ServiceBus,
    Cosmos,
}

impl Service {
    pub const ALL: [Self; 4] = [Self::Sqs, Self::Dynamodb, Self::ServiceBus, Self::Cosmos];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sqs => "sqs",
            Self::Dynamodb => "dynamodb",
            Self::ServiceBus => "service-bus",
            Self::Cosmos => "cosmos",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one call must suffer. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Wait this long before anything else.
    pub delay: Duration,
    /// Fail without any effect.
    pub before: Option<Failure>,
    /// Let the effect happen, then lose the answer or replace it: the caller cannot tell whether it happened.
    pub after: Option<Failure>,
    /// Pause between small chunks of the answer.
    pub drip: Option<Duration>,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The service's own "slow down" answer.
    Throttle { retry_after: Duration },
    /// The service's own "internal error" answer.
    Error,
    /// The service's own "access denied" answer.
    Denied,
    /// The connection is closed without an answer.
    Drop,
    /// As `Drop`, and new connections are refused too: the service is away.
    Dark,
}

/// A live fault, as the admin endpoint lists it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveFault {
    pub id: u64,
    /// Calls that it has hit so far.
    pub hits: u64,
    #[serde(flatten)]
    pub fault: Fault,
}

/// The live faults of all services, their clocks, and the count of what was asked of them.
pub struct Faults {
    seed: u64,
    state: Mutex<State>,
    record: Mutex<record::Record>,
    /// Counts changes of the fault list, so that open connections learn of darkness without polling.
    changes: watch::Sender<u64>,
    /// Counts the cuts of each service's connections.
    cuts: [watch::Sender<u64>; Service::ALL.len()],
}

/// Tells of the cuts of one service's connections, from when it was made.
pub struct Cuts(watch::Receiver<u64>);

impl Cuts {
    /// Completes at the next cut, at once if there was one since the last.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn next(&mut self) {
        changed(&mut self.0).await;
    }
}

#[derive(Default)]
struct State {
    next_id: u64,
    entries: Vec<Entry>,
    clock_offset_ms: [i64; Service::ALL.len()],
}

struct Entry {
    id: u64,
    fault: Fault,
    hits: u64,
    ends: Option<Instant>,
    /// Each fault draws from its own generator: its hits then depend on its own calls alone, not on how calls to other
    /// services interleave, which no seed could repeat.
    rng: fastrand::Rng,
}

impl Faults {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            state: Mutex::default(),
            record: Mutex::default(),
            changes: watch::Sender::new(0),
            cuts: Service::ALL.map(|_| watch::Sender::new(0)),
        })
    }

    /// Decides one call's fate, and counts the hit of each fault that had a part in it.
    ///
    /// Delays add up; of several failures the oldest fault's wins.
    pub fn judge(&self, service: Service, operation: &str) -> Verdict {
        self.judge_at(Instant::now(), service, operation)
    }

    pub(crate) fn judge_at(&self, now: Instant, service: Service, operation: &str) -> Verdict {
        let mut state = self.state();
        state.drop_ended(now);
        let mut verdict = Verdict::default();
        for entry in &mut state.entries {
            if entry.fault.covers(service, operation) && entry.strikes() {
                entry.fault.kind.apply(&mut verdict, &mut entry.rng);
            }
        }
        state.drop_ended(now);
        verdict
    }

    /// Whether the service is away: it then refuses connections and answers nothing.
    pub fn is_dark(&self, service: Service) -> bool {
        self.is_dark_at(Instant::now(), service)
    }

    pub(crate) fn is_dark_at(&self, now: Instant, service: Service) -> bool {
        self.dark_for(now, service).is_some()
    }

    /// How long the first of the faults that darken the service still lasts; `None` if it is not dark.
    fn dark_for(&self, now: Instant, service: Service) -> Option<Duration> {
        let mut state = self.state();
        state.drop_ended(now);
        let darkens = |entry: &&Entry| entry.fault.kind == Kind::Dark && entry.fault.service.covers(service);
        let remaining = |entry: &Entry| entry.ends.map_or(Duration::MAX, |ends| ends.saturating_duration_since(now));
        state.entries.iter().filter(darkens).map(remaining).min()
    }

    /// Completes once the service is dark, at once if it is already; for tearing down connections that sit idle.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn darkness(&self, service: Service) {
        let mut changes = self.changes.subscribe();
        while !self.is_dark(service) {
            changed(&mut changes).await;
        }
    }

    /// Completes once the service is no longer dark, by itself or because the fault was removed.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn daylight(&self, service: Service) {
        let mut changes = self.changes.subscribe();
        while let Some(remaining) = self.dark_for(Instant::now(), service) {
            // Out of time is not out of darkness: another fault may hold on, so the loop looks again.
            let _ = tokio::time::timeout(remaining, changed(&mut changes)).await;
        }
    }

    /// Resets every connection to the service that is open now, whatever it is doing; new ones are welcome.
    pub fn cut(&self, service: Service) {
        self.cuts[service as usize].send_modify(|count| *count += 1);
    }

    /// For those who hold connections to the service.
    pub fn cuts(&self, service: Service) -> Cuts {
        Cuts(self.cuts[service as usize].subscribe())
    }

    /// Starts a fault, and returns the id under which it can be removed.
    pub fn add(&self, fault: Fault) -> u64 {
        self.add_at(Instant::now(), fault)
    }

    pub(crate) fn add_at(&self, now: Instant, fault: Fault) -> u64 {
        let id = {
            let mut state = self.state();
            state.next_id += 1;
            let id = state.next_id;
            let ends = fault.lasts.and_then(|lasts| now.checked_add(lasts));
            let rng = fastrand::Rng::with_seed(self.seed.wrapping_add(id.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
            state.entries.push(Entry { id, fault, hits: 0, ends, rng });
            id
        };
        self.changes.send_modify(|count| *count += 1);
        id
    }

    /// Removes one fault; `false` if there is none of that id (it may have ended by itself).
    pub fn remove(&self, id: u64) -> bool {
        self.retain(|entry| entry.id != id) > 0
    }

    /// Removes every fault, and returns how many there were.
    pub fn clear(&self) -> usize {
        self.retain(|_| false)
    }

    pub fn list(&self) -> Vec<LiveFault> {
        self.list_at(Instant::now())
    }

    pub(crate) fn list_at(&self, now: Instant) -> Vec<LiveFault> {
        let mut state = self.state();
        state.drop_ended(now);
        state
            .entries
            .iter()
            .map(|entry| LiveFault { id: entry.id, hits: entry.hits, fault: entry.fault.clone() })
            .collect()
    }

    /// Lets a service's clock run ahead of the machine's (behind it, if negative).
    pub fn set_clock_offset(&self, service: Service, offset_ms: i64) {
        self.state().clock_offset_ms[service as usize] = offset_ms;
        self.changes.send_modify(|count| *count += 1);
    }

    /// Tells of every change to the faults and the clocks; for what sleeps until a time of day by a service's clock.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How far the service's clock is ahead of the machine's, in milliseconds.
    pub fn clock_offset_ms(&self, service: Service) -> i64 {
        self.state().clock_offset_ms[service as usize]
    }

    /// The time of day as this service sees it; for `Date` headers, time stamps and token expiry.
    pub fn now(&self, service: Service) -> SystemTime {
        let now = SystemTime::now();
        let offset = self.clock_offset_ms(service);
        let distance = Duration::from_millis(offset.unsigned_abs());
        let shifted = if offset < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
        shifted.unwrap_or(now)
    }

    /// Counts one answered (or dropped) call under what its caller saw: an HTTP status, an error's name, or `dropped`.
    pub fn record(&self, service: Service, operation: &str, status: &str) {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).add(service, operation, status);
    }

    /// The calls counted so far, in order of service, operation and status.
    pub fn counts(&self) -> Vec<RequestCount> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).counts()
    }

    /// Returns the calls counted so far and starts again from nothing, without losing a call in between.
    pub fn take_counts(&self) -> Vec<RequestCount> {
        std::mem::take(&mut *self.record.lock().unwrap_or_else(PoisonError::into_inner)).counts()
    }

    fn retain(&self, keep: impl Fn(&Entry) -> bool) -> usize {
        let removed = {
            let mut state = self.state();
            let before = state.entries.len();
            state.entries.retain(keep);
            before - state.entries.len()
        };
        self.changes.send_modify(|count| *count += 1);
        removed
    }

    /// A panic elsewhere while the lock was held leaves a list that is still whole: every change is a single step.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        // The sender lives in the `Faults`, and whoever waits ends with it or before; to wait for ever is the harmless answer where
        // nothing can change any more.
        std::future::pending::<()>().await;
    }
}

impl State {
    fn drop_ended(&mut self, now: Instant) {
        self.entries.retain(|entry| {
            let expired = entry.ends.is_some_and(|ends| ends <= now);
            let used_up = entry.fault.count.is_some_and(|count| entry.hits >= count);
            !expired && !used_up
        });
    }
}

impl Entry {
    /// Draws whether this call is hit, and counts it if so.
    fn strikes(&mut self) -> bool {
        if self.fault.count.is_some_and(|count| self.hits >= count) {
            return false;
        }
        // Always drawn, so that a fault of probability 1 and one of 0.5 walk through their generators alike.
        let hit = self.rng.f64() < self.fault.probability;
        self.hits += u64::from(hit);
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        text.parse().unwrap()
    }

    #[test]
    fn a_call_without_faults_suffers_nothing() {
        assert_eq!(Faults::new(1).judge(Service::Sqs, "SendMessage"), Verdict::default());
    }

    #[test]
    fn a_fault_hits_only_its_service_and_operation() {
        let faults = Faults::new(1);
        faults.add(fault("dynamodb:Put*:error"));
        assert_eq!(faults.judge(Service::Dynamodb, "PutItem").before, Some(Failure::Error));
        assert_eq!(faults.judge(Service::Dynamodb, "GetItem").before, None);
        assert_eq!(faults.judge(Service::Cosmos, "PutItem").before, None);
    }

    #[test]
    fn each_kind_has_its_own_verdict() {
        let verdict = |text: &str| {
            let faults = Faults::new(1);
            faults.add(fault(text));
            faults.judge(Service::Sqs, "SendMessage")
        };
        assert_eq!(verdict("sqs:*:denied"), Verdict { before: Some(Failure::Denied), ..Verdict::default() });
        let throttle = Failure::Throttle { retry_after: Duration::from_millis(250) };
        assert_eq!(verdict("sqs:*:throttle,retry_after=250ms").before, Some(throttle));
        assert_eq!(verdict("sqs:*:error,when=after"), Verdict { after: Some(Failure::Error), ..Verdict::default() });
        assert_eq!(verdict("sqs:*:drop"), Verdict { before: Some(Failure::Drop), ..Verdict::default() });
        assert_eq!(verdict("sqs:*:drop,when=after"), Verdict { after: Some(Failure::Drop), ..Verdict::default() });
        assert_eq!(verdict("sqs:*:dark"), Verdict { before: Some(Failure::Dark), ..Verdict::default() });
        assert_eq!(verdict("sqs:*:drip,pause=5ms").drip, Some(Duration::from_millis(5)));
        assert_eq!(verdict("sqs:*:latency,fixed=2s").delay, Duration::from_secs(2));
        let jittered = verdict("sqs:*:latency,fixed=10ms,jitter=10ms").delay;
        assert!((Duration::from_millis(10)..=Duration::from_millis(20)).contains(&jittered), "{jittered:?}");
    }

    #[test]
    fn delays_add_up_and_the_oldest_failure_wins() {
        let faults = Faults::new(1);
        faults.add(fault("sqs:*:latency,fixed=1s"));
        faults.add(fault("sqs:*:latency,fixed=2s"));
        faults.add(fault("sqs:*:drop"));
        faults.add(fault("sqs:*:error"));
        let verdict = faults.judge(Service::Sqs, "SendMessage");
        assert_eq!((verdict.delay, verdict.before), (Duration::from_secs(3), Some(Failure::Drop)));
    }

    #[test]
    fn the_same_seed_hits_the_same_calls_whatever_other_services_do() {
        let run = |seed: u64, noise: usize| -> Vec<bool> {
            let faults = Faults::new(seed);
            faults.add(fault("cosmos:*:error,probability=0.5"));
            faults.add(fault("sqs:*:error,probability=0.3"));
            let call = |_| {
                for _ in 0..noise {
                    faults.judge(Service::Cosmos, "read-item");
                }
                faults.judge(Service::Sqs, "SendMessage").before.is_some()
            };
            (0..200).map(call).collect()
        };
        assert_eq!(run(7, 0), run(7, 3));
        assert_ne!(run(7, 0), run(8, 0));
        let hits = run(7, 0).into_iter().filter(|hit| *hit).count();
        assert!((40..=80).contains(&hits), "probability 0.3 of 200 calls hit {hits}");
    }

    #[test]
    fn a_fault_ends_after_its_count() {
        let faults = Faults::new(1);
        faults.add(fault("sqs:*:error,count=2"));
        let hits: Vec<bool> = (0..4).map(|_| faults.judge(Service::Sqs, "x").before.is_some()).collect();
        assert_eq!(hits, [true, true, false, false]);
        assert_eq!(faults.list(), []);
    }

    #[test]
    fn a_fault_ends_when_its_time_is_over() {
        let faults = Faults::new(1);
        let start = Instant::now();
        faults.add_at(start, fault("service-bus:*:dark,for=60s"));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(faults.is_dark_at(at(59), Service::ServiceBus));
        assert!(!faults.is_dark_at(at(59), Service::Cosmos));
        assert_eq!(faults.judge_at(at(59), Service::ServiceBus, "send").before, Some(Failure::Dark));
        assert!(!faults.is_dark_at(at(60), Service::ServiceBus));
        assert_eq!(faults.judge_at(at(60), Service::ServiceBus, "send").before, None);
    }

    #[test]
    fn faults_can_be_listed_removed_and_cleared() {
        let faults = Faults::new(1);
        let first = faults.add(fault("sqs:*:error"));
        let second = faults.add(fault("cosmos:*:drop"));
        faults.judge(Service::Sqs, "x");
        let listed: Vec<(u64, u64)> = faults.list().iter().map(|live| (live.id, live.hits)).collect();
        assert_eq!(listed, [(first, 1), (second, 0)]);
        assert!(faults.remove(first));
        assert!(!faults.remove(first));
        assert_eq!(faults.clear(), 1);
        assert_eq!(faults.judge(Service::Cosmos, "x"), Verdict::default());
    }

    #[tokio::test]
    async fn whoever_waits_for_darkness_is_told() {
        let faults = Faults::new(1);
        let waiting = tokio::spawn({
            let faults = Arc::clone(&faults);
            async move { faults.darkness(Service::Cosmos).await }
        });
        tokio::task::yield_now().await;
        faults.add(fault("aws:*:dark"));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "another cloud went dark");
        faults.add(fault("azure:*:dark"));
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_cut_is_told_to_those_who_hold_connections_of_that_service_and_to_nobody_later() {
        let faults = Faults::new(1);
        let (mut cosmos, mut sqs) = (faults.cuts(Service::Cosmos), faults.cuts(Service::Sqs));
        faults.cut(Service::Cosmos);
        cosmos.next().await;
        for mut other in [cosmos, faults.cuts(Service::Cosmos)] {
            assert!(futures_util::FutureExt::now_or_never(other.next()).is_none(), "it was one cut, and it is over");
        }
        assert!(futures_util::FutureExt::now_or_never(sqs.next()).is_none(), "another service's");
    }

    #[test]
    fn a_clock_can_be_set_forward_and_back() {
        let faults = Faults::new(1);
        faults.set_clock_offset(Service::Cosmos, 3_600_000);
        faults.set_clock_offset(Service::Sqs, -3_600_000);
        let hour = Duration::from_hours(1);
        assert!(faults.now(Service::Cosmos) >= SystemTime::now() + hour - Duration::from_secs(5));
        assert!(faults.now(Service::Sqs) <= SystemTime::now() - hour + Duration::from_secs(5));
        assert_eq!(faults.clock_offset_ms(Service::Dynamodb), 0);
    }
}
