//! The container host: takes batches from one site's queue, works them off, settles them itself.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bridge_core::{
    books::Books,
    carry_out::{Carried, work_off},
    failure::{FailureKind, PortError, Recovery},
    pipeline::Verdict,
    port::Delivery,
    settlement::Settlement,
};
use futures_util::future;
use tokio_util::sync::CancellationToken;

use super::{send_heartbeat, tell};
use crate::{assemble::Worksite, config::ContainerConfig, telemetry::queues};

/// How long a halted site rests between two looks, at first and at most: an operator's mend takes effect by itself, and
/// a look costs one message one attempt.
const REST: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// The least time between two looks at the service's clock while there is doubt about one's own.
const CLOCK_PAUSE: Duration = Duration::from_millis(100);
/// How long the next receive waits after a failed one, at first and at most. Ours: what a site waits for once it is back, so it is
/// short; a look in vain costs one request.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// Works until `stop`, then finishes the batches at hand and closes the queues.
pub(crate) async fn work(worksite: &Worksite, config: ContainerConfig, stop: CancellationToken) {
    let peers: Vec<_> = worksite.worker.peers.iter().map(|peer| peer.site.as_str()).collect();
    tracing::info!(site = %worksite.worker.rules.site, queue = %worksite.queue, peers = peers.join(","), "working");
    if peers.is_empty() {
        tracing::warn!("no other site is configured: events are applied here and forwarded nowhere");
    }
    let books = Mutex::default();
    let receivers = (0..config.concurrent_batches).map(|_| receive_and_work(worksite, config, &books, &stop));
    let watching = queues::watch(worksite, &stop);
    future::join3(future::join_all(receivers), beat(worksite, config.heartbeat, &stop), watching).await;
    worksite.close().await;
    let Books { delivered, acked, retried, dead_lettered, left, leases_lost } =
        books.into_inner().unwrap_or_else(PoisonError::into_inner);
    tracing::info!(
        site = %worksite.worker.rules.site, delivered, acked, retried, dead_lettered, left, leases_lost,
        "stopped; nothing is left half done"
    );
}

/// Sends the site's heartbeat, at once and then `every` so often; never if that is zero.
async fn beat(worksite: &Worksite, every: Duration, stop: &CancellationToken) {
    while !every.is_zero() && !stop.is_cancelled() {
        worksite.tally.look_at_clock(&worksite.worker).await;
        if let Err(error) = send_heartbeat(worksite).await {
            tracing::warn!(error = error.chain(), "no heartbeat was sent");
        }
        let ask = async {
            while worksite.tally.doubts_clock() {
                tokio::time::sleep(CLOCK_PAUSE).await;
                worksite.tally.look_at_clock(&worksite.worker).await;
            }
            future::pending::<()>().await;
        };
        tokio::select! {
            () = wait_or(every, stop) => {}
            () = ask => {}
        }
    }
}

async fn receive_and_work(
    worksite: &Worksite,
    config: ContainerConfig,
    books: &Mutex<Books>,
    stop: &CancellationToken,
) {
    let mut rest = Rest::new(REST);
    let mut pause = Rest::new(PAUSE);
    let mut max = config.batch_messages_max;
    while !stop.is_cancelled() {
        let received = tokio::select! {
            received = worksite.queue.receive(max, config.receive_wait) => received,
            () = stop.cancelled() => break,
        };
        let batch = match received {
            Ok(batch) => batch,
            Err(error) => {
                let halted = error.kind.recovery() == Recovery::Halt;
                worksite.telemetry.halted(halted);
                report(&error, halted, rest.is_fresh());
                let wait = if halted { rest.next() } else { pause.next() };
                wait_or(wait, stop).await;
                continue;
            }
        };
        pause = Rest::new(PAUSE);
        if batch.is_empty() {
            continue;
        }
        let (verdicts, carried) = work_off(&worksite.worker, &*worksite.queue, &*worksite.dead_letters, &batch).await;
        *books.lock().unwrap_or_else(PoisonError::into_inner) += carried.books;
        log(&batch, &verdicts, &carried);
        tell(worksite, batch.iter().zip(&verdicts)).await;
        worksite.telemetry.halted(carried.halt.is_some());
        match carried.halt {
            Some(detail) => {
                if rest.is_fresh() {
                    tracing::error!(
                        detail,
                        "halted: nothing is lost, and nothing more is taken until this is mended; see runbooks/halted.md"
                    );
                }
                max = 1;
                wait_or(rest.next(), stop).await;
            }
            None => {
                if !rest.is_fresh() {
                    tracing::info!("mended: taking messages again");
                }
                rest = Rest::new(REST);
                max = config.batch_messages_max;
            }
        }
    }
}

fn report(error: &PortError, halted: bool, first: bool) {
    match (halted, first) {
        (true, true) => tracing::error!(
            error = error.chain(),
            "halted: the queue cannot be read; nothing is lost; see runbooks/halted.md"
        ),
        (true, false) => tracing::debug!(error = error.chain(), "still halted"),
        (false, _) => tracing::warn!(error = error.chain(), "receive failed, trying again"),
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

async fn wait_or(wait: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = stop.cancelled() => {}
    }
}

/// Growing pauses, without an end.
struct Rest {
    delays: backon::ExponentialBackoff,
    max: Duration,
    fresh: bool,
}

impl Rest {
    fn new((first, max): (Duration, Duration)) -> Self {
        let delays = ExponentialBuilder::default().with_min_delay(first).with_max_delay(max).with_jitter();
        Self { delays: delays.without_max_times().build(), max, fresh: true }
    }

    fn is_fresh(&self) -> bool {
        self.fresh
    }

    fn next(&mut self) -> Duration {
        self.fresh = false;
        self.delays.next().unwrap_or(self.max)
    }
}
