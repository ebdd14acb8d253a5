//! The worker of one site: what it knows, how hard it tries, and what it works with. `pipeline.rs` has its work.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    circuit::CircuitPolicy,
    decision::Rules,
    event::Key,
    excerpts::Excerpts,
    failure::{FailureKind, PortError},
    incident::Incidents,
    limits::REFUSED_KEYS_MAX,
    peer::Peer,
    port::{Clock, Delivery, Store, Write},
    probe,
    refusals::Refusals,
    retry::{Backoff, far},
    settlement::Settlement,
    trace::Trace,
    version::Version,
};

/// How hard a worker tries, and how much it does at once.
#[derive(Clone, Debug)]
pub struct Policy {
    /// JSON pointer of the key in a payload.
    pub key_pointer: String,
    /// How long a tombstone lives.
    pub tombstone_life: Duration,
    /// Deliveries of one message before it is set aside.
    pub attempts_max: u32,
    /// Delays between deliveries.
    pub retry: Backoff,
    /// Sends to a peer, within one delivery, before the event is owed to it.
    pub peer_attempts_max: u32,
    /// Delays between those sends.
    pub peer_retry: Backoff,
    /// Time for all of them together: a peer that keeps silent costs no more.
    pub peer_time: Duration,
    /// When to stop trying a peer at all for a while.
    pub circuit: CircuitPolicy,
    /// Whether a peer gets every event, or of one batch only the latest of each key.
    pub forward: Forward,
    /// Keys that are written at the same time.
    pub concurrent_writes: usize,
    /// Of the messages that came without a trace, the part that begins one; those that came with a recorded trace are
    /// always traced. None: nothing is traced, and what a message came with is passed on as it is.
    pub trace_ratio: Option<f64>,
}

/// Which events of one batch a peer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Every one.
    All,
    /// The latest of each key: fewer requests, and the same stores in the end.
    Latest,
}

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How to end the delivery.
    pub settlement: Settlement,
    /// What the store said, if it was asked and answered.
    pub write: Option<Write>,
    /// The event, if it was one: its key and version, for logs and metrics.
    pub event: Option<(Key, Version)>,
    /// What was done when, if it is traced.
    pub trace: Option<Trace>,
}

/// Replicates for one site.
#[derive(Debug)]
pub struct Worker {
    /// What the site knows.
    pub rules: Rules,
    /// How hard it tries.
    pub policy: Policy,
    /// The site's own store.
    pub store: Arc<dyn Store>,
    /// Every other site.
    pub peers: Vec<Peer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter, and names of sends.
    pub rng: Mutex<fastrand::Rng>,
    /// Who is told of what no verdict says.
    pub incidents: Arc<dyn Incidents>,
    /// Messages that no letter holds.
    pub excerpts: Excerpts,
    /// What its store has refused of late.
    pub refusals: Mutex<Refusals>,
}

impl Worker {
    /// Whether this delivery of its message is the last one that is tried.
    pub(crate) fn is_last(&self, delivery: &Delivery) -> bool {
        delivery.attempt >= self.policy.attempts_max
    }

    /// How long to hide a message with which nothing can be done for now.
    pub(crate) fn far(&self, delivery: &Delivery) -> Duration {
        let age = delivery.first_seen.and_then(|seen| (self.clock.now() - seen).to_std().ok());
        far(delivery.attempt, age.unwrap_or_default())
    }

    /// Asks the site's own store to do what a worker needs of it: one write, of a record that is the bridge's own and soon expires. A read
    /// would say nothing of the permission to write.
    ///
    /// # Errors
    /// As the write of an event would fail.
    pub async fn probe_store(&self) -> Result<(), PortError> {
        let record = probe::record(&self.rules.site, self.fresh_uuid(), self.clock.now());
        let put = self.store.put_if_newer(&record).await.map(drop);
        self.note_write(&record.key, put.as_ref().err());
        put
    }

    /// Says of a refusal whose fault it is. After many, and no success between, the store is asked to take the bridge's own
    /// record: one that refuses that too can hold none at all.
    pub(crate) async fn blame<T>(&self, key: &Key, put: Result<T, PortError>) -> Result<T, PortError> {
        let suspected = self.note_write(key, put.as_ref().err());
        let Err(mut error) = put else { return put };
        if !suspected || !matches!(error.kind, FailureKind::Rejected { .. }) {
            return Err(error);
        }
        if let Err(own) = self.probe_store().await {
            let detail = format!(
                "it has refused {REFUSED_KEYS_MAX} keys and taken none, and the bridge's own record too ({own}); `bridge doctor` names the mend"
            );
            error.kind = FailureKind::Misshapen { detail };
        }
        Err(error)
    }

    /// Takes in what came of a write; whether the store may be what is wrong.
    pub(crate) fn note_write(&self, key: &Key, failure: Option<&PortError>) -> bool {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.note(key, failure.map(|error| &error.kind));
        refusals.suspect_the_store()
    }

    /// A name for one send. Random, and never derived from the event: a queue's duplicate detection would swallow a
    /// replay of the same event.
    pub fn fresh_id(&self) -> String {
        self.fresh_uuid().to_string()
    }

    pub(crate) fn fresh_uuid(&self) -> uuid::Uuid {
        let random = self.with_rng(|rng| rng.u128(..));
        uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid()
    }

    pub(crate) fn with_rng<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
