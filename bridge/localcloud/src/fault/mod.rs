//! What goes wrong on purpose, for every service alike.
//!
//! A [`Fault`] says what to do to which calls; [`Faults`] holds the live ones of all services. Each service holds its
//! [`ServiceFaults`], and asks it one question per call: [`ServiceFaults::judge`]. Services carry the verdict out, because a
//! throttled call looks different in each protocol. This module never sleeps and never touches a socket; time comes in
//! through `judge_at`, so that expiry is tested without waiting.

mod definition;
mod notation;
mod record;
mod service;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;

pub use definition::{Fault, Kind, Scope, Services, When};
pub use notation::FaultError;
pub use record::RequestCount;
pub use service::{Cuts, Service, ServiceAt, ServiceFaults};

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
    services: Mutex<BTreeMap<ServiceAt, Arc<service::Own>>>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    entries: Vec<Entry>,
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
            services: Mutex::default(),
        })
    }

    /// What a service in a region is given: its own faults, clock and counts. The same for each that asks.
    pub fn service(self: &Arc<Self>, service: Service, region: &str) -> ServiceFaults {
        let at = ServiceAt { service, region: region.into() };
        let mut services = lock(&self.services);
        let own = services.entry(at.clone()).or_insert_with(|| Arc::new(service::Own::new(at)));
        ServiceFaults::new(Arc::clone(self), Arc::clone(own))
    }

    /// All services that were asked for, in order of service and region.
    pub fn services(self: &Arc<Self>) -> Vec<ServiceFaults> {
        let services = lock(&self.services);
        services.values().map(|own| ServiceFaults::new(Arc::clone(self), Arc::clone(own))).collect()
    }

    /// The services that a scope covers.
    ///
    /// # Errors
    /// There is none: what would hit nothing is a mistake, such as a region without a site.
    pub fn covered(self: &Arc<Self>, scope: &Scope) -> Result<Vec<ServiceFaults>, FaultError> {
        let all = self.services();
        let known = || all.iter().map(|service| service.at().to_string()).collect::<Vec<_>>().join(", ");
        let covered: Vec<_> = all.iter().filter(|service| scope.covers(service.at())).cloned().collect();
        if covered.is_empty() { Err(FaultError::Nowhere { scope: scope.clone(), known: known() }) } else { Ok(covered) }
    }

    fn judge_at(&self, now: Instant, at: &ServiceAt, operation: &str) -> Verdict {
        let mut state = self.state();
        state.drop_ended(now);
        let mut verdict = Verdict::default();
        for entry in &mut state.entries {
            if entry.fault.covers(at, operation) && entry.strikes() {
                entry.fault.kind.apply(&mut verdict, &mut entry.rng);
            }
        }
        state.drop_ended(now);
        verdict
    }

    /// How long the first of the faults that darken the service still lasts; `None` if it is not dark.
    fn dark_for(&self, now: Instant, at: &ServiceAt) -> Option<Duration> {
        let mut state = self.state();
        state.drop_ended(now);
        let darkens = |entry: &&Entry| entry.fault.kind == Kind::Dark && entry.fault.service.covers(at);
        let remaining = |entry: &Entry| entry.ends.map_or(Duration::MAX, |ends| ends.saturating_duration_since(now));
        state.entries.iter().filter(darkens).map(remaining).min()
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
        self.changed();
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

    /// Tells of every change to the faults and the clocks.
    fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The calls counted so far, in order of service, region, operation and status.
    pub fn counts(&self) -> Vec<RequestCount> {
        lock(&self.record).counts()
    }

    /// Returns the calls counted so far and starts again from nothing, without losing a call in between.
    pub fn take_counts(&self) -> Vec<RequestCount> {
        std::mem::take(&mut *lock(&self.record)).counts()
    }

    fn retain(&self, keep: impl Fn(&Entry) -> bool) -> usize {
        let removed = {
            let mut state = self.state();
            let before = state.entries.len();
            state.entries.retain(keep);
            before - state.entries.len()
        };
        self.changed();
        removed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// A panic elsewhere while the lock was held leaves what it guards whole: every change is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::time::SystemTime;

    use super::*;

    fn fault(text: &str) -> Fault {
        text.parse().unwrap()
    }

    fn sqs(faults: &Arc<Faults>) -> ServiceFaults {
        faults.service(Service::Sqs, "us-east-1")
    }

    fn cosmos(faults: &Arc<Faults>) -> ServiceFaults {
        faults.service(Service::Cosmos, "westeurope")
    }

    #[test]
    fn a_call_without_faults_suffers_nothing() {
        assert_eq!(sqs(&Faults::new(1)).judge("SendMessage"), Verdict::default());
    }

    #[test]
    fn a_fault_hits_only_its_service_and_operation() {
        let faults = Faults::new(1);
        faults.add(fault("dynamodb:Put*:error"));
        let dynamodb = faults.service(Service::Dynamodb, "us-east-1");
        assert_eq!(dynamodb.judge("PutItem").before, Some(Failure::Error));
        assert_eq!(dynamodb.judge("GetItem").before, None);
        assert_eq!(cosmos(&faults).judge("PutItem").before, None);
    }

    #[test]
    fn each_kind_has_its_own_verdict() {
        let verdict = |text: &str| {
            let faults = Faults::new(1);
            faults.add(fault(text));
            sqs(&faults).judge("SendMessage")
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
        let verdict = sqs(&faults).judge("SendMessage");
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
                    cosmos(&faults).judge("read-item");
                }
                sqs(&faults).judge("SendMessage").before.is_some()
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
        let hits: Vec<bool> = (0..4).map(|_| sqs(&faults).judge("x").before.is_some()).collect();
        assert_eq!(hits, [true, true, false, false]);
        assert_eq!(faults.list(), []);
    }

    #[test]
    fn a_fault_ends_when_its_time_is_over() {
        let faults = Faults::new(1);
        let start = Instant::now();
        faults.add_at(start, fault("service-bus:*:dark,for=60s"));
        let at = |seconds| start + Duration::from_secs(seconds);
        let [bus, cosmos] = [Service::ServiceBus, Service::Cosmos].map(|service| ServiceAt::new(service, "westeurope"));
        assert_eq!(faults.dark_for(at(59), &bus), Some(Duration::from_secs(1)));
        assert_eq!(faults.dark_for(at(59), &cosmos), None);
        assert_eq!(faults.judge_at(at(59), &bus, "send").before, Some(Failure::Dark));
        assert_eq!(faults.dark_for(at(60), &bus), None);
        assert_eq!(faults.judge_at(at(60), &bus, "send").before, None);
    }

    #[test]
    fn faults_can_be_listed_removed_and_cleared() {
        let faults = Faults::new(1);
        let first = faults.add(fault("sqs:*:error"));
        let second = faults.add(fault("cosmos:*:drop"));
        sqs(&faults).judge("x");
        let listed: Vec<(u64, u64)> = faults.list().iter().map(|live| (live.id, live.hits)).collect();
        assert_eq!(listed, [(first, 1), (second, 0)]);
        assert!(faults.remove(first));
        assert!(!faults.remove(first));
        assert_eq!(faults.clear(), 1);
        assert_eq!(cosmos(&faults).judge("x"), Verdict::default());
    }

    #[tokio::test]
    async fn whoever_waits_for_darkness_is_told() {
        let faults = Faults::new(1);
        let waiting = tokio::spawn({
            let faults = Arc::clone(&faults);
            async move { cosmos(&faults).darkness().await }
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
        let (service, mut sqs) = (cosmos(&faults), sqs(&faults).cuts());
        let mut cuts = service.cuts();
        service.cut();
        cuts.next().await;
        for mut other in [cuts, service.cuts()] {
            assert!(futures_util::FutureExt::now_or_never(other.next()).is_none(), "it was one cut, and it is over");
        }
        assert!(futures_util::FutureExt::now_or_never(sqs.next()).is_none(), "another service's");
    }

    #[test]
    fn a_clock_can_be_set_forward_and_back() {
        let faults = Faults::new(1);
        cosmos(&faults).set_clock_offset(3_600_000);
        sqs(&faults).set_clock_offset(-3_600_000);
        let hour = Duration::from_hours(1);
        assert!(cosmos(&faults).now() >= SystemTime::now() + hour - Duration::from_secs(5));
        assert!(sqs(&faults).now() <= SystemTime::now() - hour + Duration::from_secs(5));
        assert_eq!(faults.service(Service::Cosmos, "eastus").clock_offset_ms(), 0, "another region's");
    }

    /// Each region of a service is a service of its own: its faults, its darkness and its counts.
    #[tokio::test]
    async fn one_region_fails_alone() {
        let faults = Faults::new(1);
        let [here, there] = ["us-east-1", "eu-west-1"].map(|region| faults.service(Service::Sqs, region));
        faults.add(fault("sqs@eu-west-1:SendMessage:error"));
        assert_eq!(here.judge("SendMessage"), Verdict::default());
        assert_eq!(there.judge("SendMessage").before, Some(Failure::Error));
        faults.clear();
        faults.add(fault("aws@eu-west-1:*:dark"));
        there.darkness().await;
        assert!(!here.is_dark() && there.is_dark());
        there.record("SendMessage", "200");
        let counted: Vec<_> = faults.counts().into_iter().map(|row| (row.service, row.region.to_string())).collect();
        assert_eq!(counted, [(Service::Sqs, "eu-west-1".to_owned())]);
    }

    #[test]
    fn a_scope_that_covers_nothing_is_refused_with_what_there_is() {
        let faults = Faults::new(1);
        let _services = (sqs(&faults), cosmos(&faults));
        let covered = |scope: &str| {
            let covered = faults.covered(&scope.parse().unwrap());
            covered.map(|all| all.iter().map(|service| service.at().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(covered("aws").unwrap(), ["sqs@us-east-1"]);
        assert_eq!(covered("*").unwrap(), ["sqs@us-east-1", "cosmos@westeurope"]);
        assert_eq!(covered("*@westeurope").unwrap(), ["cosmos@westeurope"]);
        for nowhere in ["sqs@westeurope", "dynamodb", "aws@eu-west-1"] {
            let error = covered(nowhere).unwrap_err().to_string();
            assert!(error.contains(nowhere) && error.contains("sqs@us-east-1, cosmos@westeurope"), "{error}");
        }
    }
}
