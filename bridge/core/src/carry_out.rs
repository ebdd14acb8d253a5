//! Works off one batch from a queue that the worker settles itself: keeps its leases while the work lasts, then carries
//! the settlements out. For the container; a function's host answers in its own way.

use futures_util::future::{self, Either};

use crate::{
    failure::{PortError, Recovery},
    pipeline::{Verdict, Worker},
    port::{Delivery, Queue, Receipt},
    settlement::Settlement,
};

/// What carrying out came to, beside the verdicts.
#[derive(Debug, Default)]
pub struct Carried {
    /// Why nothing more must be taken, if so.
    pub halt: Option<String>,
    /// Settlements that failed, each with the message it was for: those will be delivered again when their leases end.
    pub unsettled: Vec<(String, PortError)>,
}

/// Replicates `batch`, which came from `queue`, and settles every delivery.
pub async fn work_off(
    worker: &Worker,
    queue: &dyn Queue,
    dead_letters: &dyn Queue,
    batch: &[Delivery],
) -> (Vec<Verdict>, Carried) {
    let replicate = std::pin::pin!(worker.replicate(batch));
    let keep = std::pin::pin!(keep_leases(worker, queue, batch));
    let Either::Left((verdicts, _)) = future::select(replicate, keep).await;
    let carried = carry_out(worker, queue, dead_letters, batch, &verdicts).await;
    (verdicts, carried)
}

/// Extends the leases of `batch` at every half of a lease, until it is dropped.
///
/// A lease that is lost nevertheless does no harm: another worker applies the same events, and one write of each wins.
async fn keep_leases(worker: &Worker, queue: &dyn Queue, batch: &[Delivery]) -> std::convert::Infallible {
    let receipts: Vec<Receipt> = batch.iter().map(|delivery| delivery.receipt.clone()).collect();
    loop {
        worker.clock.sleep(queue.lease() / 2).await;
        let failed = queue.extend(&receipts).await.into_iter().filter_map(Result::err).last();
        if let Some(error) = failed {
            tracing::debug!(error = error.chain(), "some leases were not extended");
        }
    }
}

/// Settles every delivery of `batch` as its verdict says.
///
/// A letter comes first and the removal of its message after, so a crash in between leaves a second letter and loses
/// nothing.
pub async fn carry_out(
    worker: &Worker,
    queue: &dyn Queue,
    dead_letters: &dyn Queue,
    batch: &[Delivery],
    verdicts: &[Verdict],
) -> Carried {
    let mut carried = Carried::default();
    let mut done: Vec<Receipt> = Vec::new();
    let mut set_aside: Vec<(&Delivery, crate::port::Message)> = Vec::new();
    let mut later = Vec::new();
    let source = queue.to_string();
    for (delivery, verdict) in batch.iter().zip(verdicts) {
        match &verdict.settlement {
            Settlement::Ack => done.push(delivery.receipt.clone()),
            Settlement::Retry { after } => later.push((delivery, *after)),
            Settlement::DeadLetter(letter) => {
                set_aside.push((delivery, letter.message(delivery, &source, worker.fresh_id())));
            }
            Settlement::Halt { detail } => carried.halt = Some(detail.clone()),
        }
    }

    if !set_aside.is_empty() {
        let messages: Vec<_> = set_aside.iter().map(|(_, message)| message.clone()).collect();
        let sent = dead_letters.send(&messages).await;
        for ((delivery, _), sent) in set_aside.iter().zip(sent) {
            match sent {
                Ok(()) => done.push(delivery.receipt.clone()),
                Err(error) => carried.failed(error, &delivery.message_id),
            }
        }
    }
    if !done.is_empty() {
        for (receipt, acked) in done.iter().zip(queue.ack(&done).await) {
            if let Err(error) = acked {
                carried.failed(error, &receipt.0);
            }
        }
    }
    let retries = later.iter().map(|(delivery, after)| queue.retry(delivery, *after));
    for ((delivery, _), retried) in later.iter().zip(future::join_all(retries).await) {
        if let Err(error) = retried {
            carried.failed(error, &delivery.message_id);
        }
    }
    carried
}

impl Carried {
    fn failed(&mut self, error: PortError, message: &str) {
        if error.kind.recovery() == Recovery::Halt {
            self.halt = Some(error.chain());
        }
        self.unsettled.push((message.to_owned(), error));
    }
}
