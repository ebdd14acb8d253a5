//! For a host that removes every message of a batch but those reported as failed: AWS Lambda behind SQS.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::{Ended, Halted, settle};
use crate::{
    pipeline::Worker,
    port::{Delivery, Queue, within},
};

/// Messages that are given back at the same time. Ours: a batch may have 10,000, and each is a request.
const GIVEN_BACK_AT_ONCE: usize = 16;

/// How much one invocation does, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Time for the work. What is not settled by then comes again.
    pub work: Duration,
    /// Time for giving back. What was not given back by then comes again when the host's own hiding of it ends.
    pub give_back: Duration,
    /// Deliveries that are worked on at the same time.
    pub portion: usize,
}

/// Replicates a batch portion by portion; answers for each delivery.
///
/// # Errors
/// Halted: the host must let the whole batch fail.
///
/// # Cancel safety
/// Safe to drop at any await, as the host then delivers the whole batch again.
pub async fn work_off(
    worker: &Worker,
    queue: &dyn Queue,
    dead_letters: &dyn Queue,
    batch: &[Delivery],
    budget: Budget,
) -> Result<Vec<Ended>, Halted> {
    let mut ended = Vec::with_capacity(batch.len());
    let work = async {
        for portion in batch.chunks(budget.portion.max(1)) {
            ended.extend(settle(worker, queue, dead_letters, portion).await?);
        }
        Ok(())
    };
    within(&*worker.clock, budget.work, work).await.transpose()?;
    ended.resize(batch.len(), Ended::Again { verdict: None, after: Duration::ZERO });

    let give_back =
        stream::iter(batch.iter().zip(&ended)).for_each_concurrent(GIVEN_BACK_AT_ONCE, async |(delivery, ended)| {
            let Ended::Again { after, .. } = ended else { return };
            // What cannot be hidden for the chosen time comes again in the host's own time, which does no harm.
            if let Err(error) = queue.retry(delivery, *after).await {
                tracing::debug!(message_id = delivery.message_id, error = error.chain(), "not given back early");
            }
        });
    within(&*worker.clock, budget.give_back, give_back).await;
    Ok(ended)
}
