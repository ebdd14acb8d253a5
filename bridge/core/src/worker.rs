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
    failure::{FailureKind, PortError, Recovery},
    halt::{Halt, Spot},
    health::Health,
    incident::Incidents,
    limits::REFUSED_KEYS_MAX,
    peer::Peer,
    port::{Clock, Delivery, Store, Write, within},
    probe,
    record::Record,
    retry::{Backoff, far, patient},
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
    /// How long a message waits, at most, for a store that is away; less than its queue keeps it. Then a letter keeps it.
    pub store_wait_max: Duration,
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

/// Why a record was not written.
#[derive(Clone, Debug)]
pub(crate) enum Unwritten {
    /// The store failed, or refused this record.
    Failed(Arc<PortError>),
    /// The store is away: it answers nobody, or throttles everything.
    Away(Arc<PortError>),
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
    /// What it knows of its store.
    pub health: Health,
}

impl Worker {
    /// Whether this delivery of its message is the last one that is tried. An outage of the store uses up none.
    pub(crate) fn is_last(&self, delivery: &Delivery) -> bool {
        delivery.attempt >= self.policy.attempts_max && self.health.counts_attempts(self.clock.now())
    }

    /// Whether a message has waited for the store as long as it may: its queue would not keep it for much longer.
    pub(crate) fn has_waited_out(&self, delivery: &Delivery) -> bool {
        self.may_wait(delivery).is_zero()
    }

    /// How long a message may still wait for a store that is away.
    pub(crate) fn may_wait(&self, delivery: &Delivery) -> Duration {
        self.policy.store_wait_max.saturating_sub(self.age(delivery))
    }

    /// How long to hide a message with which nothing can be done for now.
    pub(crate) fn far(&self, delivery: &Delivery) -> Duration {
        far(delivery.attempt, self.age(delivery))
    }

    /// How long to hide a message that is given back untouched, where it cannot just stay in its queue.
    pub(crate) fn hidden(&self, delivery: &Delivery, halt: &Halt) -> Duration {
        match halt.at {
            Spot::Away => patient(self.age(delivery)),
            Spot::Store | Spot::DeadLetters | Spot::Settling | Spot::Receiving => self.far(delivery),
        }
    }

    fn age(&self, delivery: &Delivery) -> Duration {
        delivery.first_seen.and_then(|seen| (self.clock.now() - seen).to_std().ok()).unwrap_or_default()
    }

    /// Asks the site's own store to do what a worker needs of it: one write, of a record that is the bridge's own and soon expires. A read
    /// would say nothing of the permission to write. A store that does not answer this is away.
    ///
    /// # Errors
    /// As the write of an event would fail.
    pub async fn probe_store(&self) -> Result<(), PortError> {
        self.ask_store(None).await
    }

    async fn ask_store(&self, limit: Option<Duration>) -> Result<(), PortError> {
        let record = probe::record(&self.rules.site, self.fresh_uuid(), self.clock.now());
        let put = self.put_within(&record, limit).await.map(drop);
        if let Err(error) = &put
            && error.kind.recovery() == Recovery::Retry
        {
            self.health.is_gone(Arc::new(error.clone()), self.clock.now());
        }
        put
    }

    /// Writes what the worker says of itself, as it writes an event: so a store that is away is found without any event. An answer that takes
    /// longer than `limit` is none.
    ///
    /// # Errors
    /// The record was not written.
    pub async fn say(&self, record: &Record, limit: Duration) -> Result<(), Arc<PortError>> {
        let written = self.write_within(record, Some(limit)).await;
        written.map(drop).map_err(|unwritten| match unwritten {
            Unwritten::Failed(error) | Unwritten::Away(error) => error,
        })
    }

    /// Writes a record, unless the store is away; says of a failure whose fault it is.
    pub(crate) async fn write(&self, record: &Record) -> Result<Write, Unwritten> {
        self.write_within(record, None).await
    }

    async fn write_within(&self, record: &Record, limit: Option<Duration>) -> Result<Write, Unwritten> {
        self.health.admits(self.clock.now()).map_err(Unwritten::Away)?;
        let answers = self.health.answers();
        let put = self.put_within(record, limit).await;
        let Err(error) = put else { return put.map_err(|error| Unwritten::Failed(Arc::new(error))) };
        if error.kind.recovery() == Recovery::Retry {
            return Err(self.blame(error, answers, limit).await);
        }
        let refused = matches!(error.kind, FailureKind::Rejected { .. }) && self.health.is_suspect();
        Err(Unwritten::Failed(Arc::new(if refused { self.suspect(error).await } else { error })))
    }

    /// Whether a failure that may pass is one key's or the store's. It is the key's where the store has answered others meanwhile, or takes
    /// the bridge's own record. `answers`: of the store before the write.
    async fn blame(&self, error: PortError, answers: u64, limit: Option<Duration>) -> Unwritten {
        let _asking = self.health.asking.lock().await;
        if let Some(why) = self.health.away() {
            return Unwritten::Away(why);
        }
        if self.health.answers() != answers {
            return Unwritten::Failed(Arc::new(error));
        }
        let _ = self.ask_store(limit).await;
        self.health.away().map_or_else(|| Unwritten::Failed(Arc::new(error)), Unwritten::Away)
    }

    /// Writes a record, and takes in what that says of the store.
    async fn put_within(&self, record: &Record, limit: Option<Duration>) -> Result<Write, PortError> {
        let put = self.store.put_if_newer(record);
        let put = match limit {
            None => put.await,
            Some(limit) => within(&*self.clock, limit, put).await.unwrap_or_else(|| {
                Err(PortError::new(self.store.to_string(), "put", FailureKind::TimedOut)
                    .caused_by(format!("no answer within {} s", limit.as_secs_f64())))
            }),
        };
        self.health.note(&record.key, put.as_ref().err(), self.clock.now());
        put
    }

    /// After many refusals, and no success between: a store that refuses the bridge's own record too can hold none at all.
    async fn suspect(&self, mut error: PortError) -> PortError {
        if let Err(own) = self.probe_store().await {
            let detail = format!(
                "it has refused {REFUSED_KEYS_MAX} keys and taken none, and the bridge's own record too ({own}); `bridge doctor` names the mend"
            );
            error.kind = FailureKind::Misshapen { detail };
        }
        error
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

    /// Draws from the worker's own chance.
    pub fn with_rng<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
