//! The container host: takes batches from one site's queue, works them off, settles them itself.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bridge_core::{
    books::Books,
    carry_out::Carried,
    failure::{FailureKind, PortError},
    halt::{Halt, Spot},
    port::Delivery,
    receive::{Listen, Pace, receive},
    retry::Backoff,
    settlement::Settlement,
    state::State,
    worker::Verdict,
};
use futures_util::future;
use tokio_util::sync::CancellationToken;

use super::{beat, owed, queues, state, tell};
use crate::{
    assemble::Worksite,
    config::ContainerConfig,
    doctor::OwnSite,
    telemetry::outage::{Line, Outage},
};

/// How long a halted site rests between two looks for the mend, at first and at most: it takes effect by itself. Ours: a look is one request.
const REST: Backoff = Backoff { base: Duration::from_secs(5), max: Duration::from_mins(5) };
/// How long a worker rests between two looks for a store that is away, at first and at most. Ours: it goes on within 2 s of the store's return.
const PROBE: Backoff = Backoff { base: Duration::from_millis(250), max: Duration::from_millis(1_500) };
/// How long the next receive waits after a failed one, at first and at most. Ours: what a site waits for once it is back, so it is
/// short; a look in vain costs one request.
const PAUSE: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(3) };

fn pace(config: &ContainerConfig) -> Pace {
    Pace {
        batch_messages_max: config.batch_messages_max,
        concurrent_batches: config.concurrent_batches,
        receive_wait: config.receive_wait,
        pause: PAUSE,
        rest: REST,
        probe: PROBE,
    }
}

/// Works until `stop`, then finishes the batches at hand and closes the queues.
pub(crate) async fn work(worksite: &Worksite, own: &OwnSite, config: ContainerConfig, stop: CancellationToken) {
    let peers: Vec<_> = worksite.worker.peers.iter().map(|peer| peer.site.as_str()).collect();
    tracing::info!(site = %worksite.worker.rules.site, queue = %worksite.queue, peers = peers.join(","), "working");
    if peers.is_empty() {
        tracing::warn!("no other site is configured: events are applied here and forwarded nowhere");
    }
    let Worksite { worker, queue, dead_letters, .. } = worksite;
    let log = Log {
        worksite,
        own,
        books: Mutex::default(),
        receiving: Outage::default(),
        halted: Outage::default(),
        away: Outage::default(),
    };
    let receiving = receive(worker, &**queue, &**dead_letters, pace(&config), &log, stop.cancelled());
    worksite.teller.tell_state(State::Working, None, worker.clock.now());
    let beating = beat::beat(worksite, config.heartbeat, &stop);
    let telling = state::tell(worksite, config.state, config.heartbeat, &stop);
    let watching = future::join(queues::watch(worksite, &stop), beat::ask_peers(worksite, &stop));
    let bringing = owed::watch(worksite, &stop);
    future::join5(receiving, beating, telling, watching, bringing).await;
    state::tell_end(worksite).await;
    worksite.close().await;
    let Books { delivered, acked, retried, dead_lettered, left, leases_lost } =
        log.books.into_inner().unwrap_or_else(PoisonError::into_inner);
    tracing::info!(
        site = %worksite.worker.rules.site, delivered, acked, retried, dead_lettered, left, leases_lost,
        "stopped; nothing is left half done"
    );
}

/// Counts, tells and logs what the loop does.
struct Log<'a> {
    worksite: &'a Worksite,
    own: &'a OwnSite,
    books: Mutex<Books>,
    receiving: Outage,
    halted: Outage,
    away: Outage,
}

impl Log<'_> {
    fn outage(&self, halt: &Halt) -> &Outage {
        if halt.at == Spot::Away { &self.away } else { &self.halted }
    }

    /// Says when a halted worker looks next. For one whose store is away that is a matter of a second.
    fn tell_next_look(&self, halt: &Halt, rest: Duration) {
        if halt.at != Spot::Away {
            self.worksite.teller.tell_next_look(self.worksite.worker.clock.now() + rest);
        }
    }
}

#[async_trait]
impl Listen for Log<'_> {
    async fn worked_off(&self, batch: &[Delivery], verdicts: &[Verdict], carried: &Carried) {
        *self.books.lock().unwrap_or_else(PoisonError::into_inner) += carried.books;
        log(batch, verdicts, carried);
        beat::heard(self.worksite, verdicts.iter());
        tell(self.worksite, batch.iter().zip(verdicts)).await;
    }

    fn not_received(&self, error: &PortError) {
        let error = error.chain();
        match self.receiving.failed(Instant::now()) {
            Line::Begins => {
                tracing::warn!(error, "the queue gives nothing: trying again until it does; nothing is lost");
            }
            Line::Lasts { seconds, failures } => {
                tracing::warn!(error, seconds, failures, "the queue still gives nothing");
            }
            Line::None => tracing::debug!(error, "the queue still gives nothing"),
        }
    }

    fn received(&self) {
        if let Some((seconds, failures)) = self.receiving.ended(Instant::now()) {
            tracing::info!(seconds, failures, "the queue gives messages again");
        }
    }

    fn halted(&self, halt: &Halt, rest: Duration) {
        self.worksite.telemetry.halted(Some(halt));
        let line = self.outage(halt).failed(Instant::now());
        let detail = &halt.detail;
        let (away, worksite) = (halt.at == Spot::Away, self.worksite);
        let state = if away { State::StoreAway } else { State::Halted };
        worksite.teller.tell_state(state, Some(detail), worksite.worker.clock.now());
        self.tell_next_look(halt, rest);
        if away && line == Line::None {
            tracing::debug!(detail, "the store is away again");
        } else if away {
            tracing::warn!(
                detail,
                "the store is away: nothing is lost, and nothing more is taken until it answers; see runbooks/store-away.md"
            );
        } else {
            tracing::error!(
                detail,
                looks_in_seconds = rest.as_secs(),
                "halted: nothing is lost, and nothing more is taken until this is mended; see runbooks/halted.md"
            );
        }
    }

    fn still_halted(&self, halt: &Halt, error: &PortError, rest: Duration) {
        self.tell_next_look(halt, rest);
        let what = if halt.at == Spot::Away { "the store is still away" } else { "still halted" };
        match (self.outage(halt).failed(Instant::now()), error.chain()) {
            (Line::Lasts { seconds, failures }, error) => {
                tracing::warn!(error, seconds, looks = failures - 1, looks_in_seconds = rest.as_secs(), "{what}");
            }
            (Line::Begins | Line::None, error) => tracing::debug!(error, "{what}"),
        }
    }

    async fn examine(&self) -> Result<(), PortError> {
        self.own.check_again().await
    }

    fn mended(&self, halt: &Halt) {
        self.worksite.telemetry.halted(None);
        self.worksite.teller.tell_state(State::Working, None, self.worksite.worker.clock.now());
        let what = if halt.at == Spot::Away { "the store is back" } else { "mended" };
        match self.outage(halt).ended(Instant::now()) {
            Some((seconds, _)) => tracing::info!(seconds, "{what}: taking messages again"),
            None => tracing::debug!("{what}: taking messages again"),
        }
    }
}

fn log(batch: &[Delivery], verdicts: &[Verdict], carried: &Carried) {
    let count = |of: fn(&Settlement) -> bool| verdicts.iter().filter(|verdict| of(&verdict.settlement)).count();
    tracing::debug!(
        messages = batch.len(),
        acked = count(|settlement| matches!(settlement, Settlement::Ack)),
        retried = count(|settlement| matches!(settlement, Settlement::Retry { .. })),
        dead_lettered = count(|settlement| matches!(settlement, Settlement::DeadLetter(_))),
        unsettled = carried.unsettled.len(),
        "worked off a batch"
    );
    // A lease that was lost is no trouble: the message comes again, and changes nothing then. One line tells of the rest.
    let mut failed = carried.unsettled.iter().filter(|(_, error)| error.kind != FailureKind::LeaseLost);
    if let Some((message_id, error)) = failed.next() {
        let more = failed.count();
        tracing::warn!(message_id, more, error = error.chain(), "not settled: the messages are delivered again");
    }
}

pub(super) async fn wait_or(wait: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = stop.cancelled() => {}
    }
}
