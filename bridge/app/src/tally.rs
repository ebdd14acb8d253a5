//! What a worker counts of its own work, and says with each heartbeat.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bridge_adapters::service_clock::ServiceClock;
use bridge_core::skew::Skew;
use bridge_core::{
    conflict::Conflict,
    heartbeat::Status,
    settlement::Settlement,
    worker::{Verdict, Worker},
};
use chrono::TimeDelta;
use uuid::Uuid;

/// A doubt about the clock that is small enough. Ours: a tenth of a lag of half a second.
const DOUBT: TimeDelta = TimeDelta::milliseconds(50);

/// Until a message that backed off is taken again. Ours: a queue hides it for whole seconds, and then it has to be received. A count that is
/// too great for a moment does no harm; one that is too small says that all is well.
const BACK: Duration = Duration::from_secs(2);

/// Messages that back off of which is kept when they come again: 8 bytes each, and enough for an hour's outage at any rate.
const BACKING_OFF_MAX: usize = 100_000;

/// Counts since this process began.
#[derive(Debug)]
pub(crate) struct Tally {
    instance: String,
    every: Duration,
    service_clock: ServiceClock,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    events: BTreeMap<&'static str, u64>,
    conflicts: u64,
    skew: Option<Skew>,
    /// When the messages that were given back come again, the latest of them last seen.
    backing_off: BinaryHeap<Reverse<Instant>>,
}

impl Tally {
    /// A tally of nothing yet. `every`: the time between heartbeats.
    pub(crate) fn new(every: Duration, service_clock: ServiceClock) -> Self {
        Self { instance: Uuid::new_v4().to_string(), every, service_clock, counts: Mutex::default() }
    }

    /// Counts one verdict.
    pub(crate) fn count(&self, verdict: &Verdict, conflict: Option<&Conflict>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.events.entry(outcome(verdict)).or_default() += 1;
        counts.conflicts += u64::from(conflict.is_some());
        if let Settlement::Retry { after } = &verdict.settlement
            && counts.backing_off.len() < BACKING_OFF_MAX
        {
            counts.backing_off.push(Reverse(Instant::now() + *after + BACK));
        }
    }

    /// Messages that this process gave back to come again later, and that are not taken again yet.
    pub(crate) fn backing_off(&self) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while counts.backing_off.peek().is_some_and(|Reverse(until)| *until <= now) {
            counts.backing_off.pop();
        }
        counts.backing_off.len() as u64
    }

    /// Names the process.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// How far the worker's clock is ahead of its cloud's, as far as that is known.
    pub(crate) fn skew(&self) -> Option<Skew> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).skew
    }

    /// Asks the service for its time, at the moment that tells most, which is within a second.
    pub(crate) async fn look_at_clock(&self, worker: &Worker) {
        let before = self.skew();
        if let Some(skew) = before {
            let wait = skew.wait(worker.clock.now(), TimeDelta::zero());
            worker.clock.sleep(wait.to_std().unwrap_or_default()).await;
        }
        match self.service_clock.ask().await {
            Ok(dated) => {
                let skew = before.map_or_else(|| Skew::of(dated), |skew| skew.and(dated));
                self.counts.lock().unwrap_or_else(PoisonError::into_inner).skew = Some(skew);
            }
            Err(error) => tracing::debug!(error = error.chain(), "the service's clock was not seen"),
        }
    }

    /// Whether another look at the clock would tell more.
    pub(crate) fn doubts_clock(&self) -> bool {
        self.skew().is_none_or(|skew| skew.doubt() > DOUBT)
    }

    /// What the next heartbeat says.
    pub(crate) fn status(&self, worker: &Worker) -> Status {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let circuits = worker.peers.iter().map(|peer| (peer.site.to_string(), peer.circuit().as_str().to_owned()));
        let skew_ms = counts.skew.map(|skew| skew.known().num_milliseconds());
        Status {
            instance: self.instance.clone(),
            every_ms: u32::try_from(self.every.as_millis()).unwrap_or(u32::MAX),
            clock_skew_ms: skew_ms,
            stamped_by_cloud: false,
            circuits: circuits.collect(),
            events: counts.events.iter().map(|(outcome, count)| ((*outcome).to_owned(), *count)).collect(),
            conflicts: counts.conflicts,
        }
    }
}

/// What can become of a delivery, as [`outcome`] has it.
pub(crate) const OUTCOMES: [&str; 8] =
    ["applied", "superseded", "duplicate", "retried", "dead_letter", "halted", "store_away", "dropped"];

/// The outcome of a delivery, in a word.
pub(crate) fn outcome(verdict: &Verdict) -> &'static str {
    match (&verdict.settlement, &verdict.write) {
        (Settlement::DeadLetter(_), _) => "dead_letter",
        (Settlement::Retry { .. }, _) => "retried",
        (Settlement::Halt { .. }, _) => "halted",
        (Settlement::Wait { .. }, _) => "store_away",
        (Settlement::Ack, Some(write)) => write.as_str(),
        (Settlement::Ack, None) => "dropped",
    }
}
