//! Looks at how much lies in a site's queues, for the gauges: again and again in a container, with each heartbeat in a
//! function. A look takes no message and no right that a worker must have; where it may not look, it says so once.

use std::time::Duration;

use bridge_core::{failure::PortError, port::QueueDepth};
use bridge_ops::lag::{Letters, Watched};
use futures_util::future;
use tokio_util::sync::CancellationToken;

use crate::assemble::Worksite;

/// From one look to the next. Ours: a few requests each, and a scrape comes every 15 to 60 s.
const EVERY: Duration = Duration::from_secs(10);
/// How long a look may take. A heartbeat's function is paid by its time.
const LIMIT: Duration = Duration::from_secs(3);

/// Looks again and again, until `stop`.
pub(crate) async fn watch(worksite: &Worksite, stop: &CancellationToken) {
    if worksite.watched.is_none() {
        return;
    }
    worksite.telemetry.hold_ages();
    let mut told = false;
    while !stop.is_cancelled() {
        let failed = tokio::select! {
            failed = once(worksite) => failed,
            () = stop.cancelled() => return,
        };
        match failed {
            Some(error) if !told => {
                tracing::warn!(error, "the queues cannot be counted: no backlog is told, and all else goes on");
                told = true;
            }
            Some(_) => {}
            None => told = false,
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Looks once.
pub(crate) async fn look(worksite: &Worksite) {
    if let Some(error) = once(worksite).await {
        tracing::debug!(error, "the queues cannot be counted");
    }
}

/// Looks once; answers what kept it from seeing all.
async fn once(worksite: &Worksite) -> Option<String> {
    let watched = worksite.watched.as_ref()?;
    let looked = tokio::time::timeout(LIMIT, count(watched)).await;
    let late = format!("no answer within {LIMIT:?}");
    let (queue, letters) = looked.unwrap_or_else(|_| (Err(late.clone()), Err(late)));
    let error = [queue.as_ref().err(), letters.as_ref().err()].into_iter().flatten().next().cloned();
    let backing_off = worksite.tally.backing_off();
    worksite.telemetry.counted(queue.ok(), backing_off, letters.ok(), worksite.worker.clock.now());
    error
}

async fn count(watched: &Watched) -> (Result<QueueDepth, String>, Result<u64, String>) {
    let letters = future::try_join_all(watched.dead_letters.iter().map(Letters::count));
    let (queue, letters) = future::join(watched.queue.depth(), letters).await;
    let words = |error: PortError| error.chain();
    (queue.map_err(words), letters.map(|counts| counts.iter().sum()).map_err(words))
}
