//! Keeps the leases of deliveries in flight: those of a worker's batch, and those of a replay.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future;

use crate::{
    failure::{FailureKind, PortError},
    incident::{Incident, Incidents},
    port::{Clock, Queue, Receipt},
};

/// Receipts in one call. Ours: enough to be quick, few enough for any adapter.
const PORTION: usize = 1_000;

/// The shortest pause before leases are extended again, as a part of a lease. Ours: three more tries before a lease ends.
const PAUSES: u32 = 8;

/// The leases on deliveries of one queue, each with the time until which it holds.
#[derive(Debug, Default)]
pub struct Leases(Mutex<BTreeMap<Receipt, DateTime<Utc>>>);

impl Leases {
    /// Takes up the leases on what `queue` delivered just now.
    pub fn add(&self, receipts: impl Iterator<Item = Receipt>, queue: &dyn Queue, clock: &dyn Clock) {
        let until = after(clock.now(), queue.lease());
        self.held().extend(receipts.map(|receipt| (receipt, until)));
    }

    /// Keeps this one no longer: its delivery is settled.
    pub fn remove(&self, receipt: &Receipt) {
        self.held().remove(receipt);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.held().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    /// Extends all leases at every half of one until it is dropped, and sooner after a failure. It keeps a lost lease no longer.
    ///
    /// A lost lease does no harm: another worker applies the same events, and one write of each wins.
    pub async fn keep(&self, queue: &dyn Queue, clock: &dyn Clock, incidents: &dyn Incidents) -> Infallible {
        let lease = queue.lease();
        if lease.is_zero() {
            return future::pending().await;
        }
        let mut pause = lease / 2;
        loop {
            clock.sleep(pause).await;
            self.extend(queue, clock, incidents).await;
            let first = self.held().values().min().map_or(lease, |until| left(*until, clock.now()));
            pause = (first / 2).clamp(lease / PAUSES, lease / 2);
        }
    }

    async fn extend(&self, queue: &dyn Queue, clock: &dyn Clock, incidents: &dyn Incidents) {
        let receipts: Vec<Receipt> = self.held().keys().cloned().collect();
        let (mut failed, mut lost) = (None, 0);
        for portion in receipts.chunks(PORTION) {
            let asked = clock.now();
            let answers = queue.extend(portion).await;
            let now = clock.now();
            let mut held = self.held();
            for (receipt, answer) in portion.iter().zip(answers) {
                let Some(until) = held.get_mut(receipt) else { continue };
                match answer {
                    Ok(holds) => *until = after(asked, holds),
                    Err(error) => {
                        if error.kind == FailureKind::LeaseLost || *until <= now {
                            held.remove(receipt);
                            lost += 1;
                        }
                        failed = Some(error);
                    }
                }
            }
        }
        if let Some(error) = &failed {
            incidents.report(Incident::LeasesNotExtended { lost, error });
        }
    }

    /// Gives all messages back.
    pub async fn release(&self, queue: &dyn Queue, incidents: &dyn Incidents) {
        let receipts: Vec<Receipt> = std::mem::take(&mut *self.held()).into_keys().collect();
        release(queue, &receipts, incidents).await;
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Receipt, DateTime<Utc>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives messages back untouched. What is not given back comes again when its lease ends.
pub async fn release(queue: &dyn Queue, receipts: &[Receipt], incidents: &dyn Incidents) {
    for portion in receipts.chunks(PORTION) {
        let failed: Option<PortError> = queue.release(portion).await.into_iter().filter_map(Result::err).last();
        if let Some(error) = &failed {
            incidents.report(Incident::NotGivenBack(error));
        }
    }
}

fn after(time: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(span).ok().and_then(|span| time.checked_add_signed(span)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn left(until: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (until - now).to_std().unwrap_or_default()
}
