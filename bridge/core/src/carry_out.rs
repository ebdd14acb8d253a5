//! Works off one batch from a queue that the worker settles itself: keeps its leases while the work lasts, then carries
//! the settlements out. For the container; [`invocation`](crate::invocation) is for functions.

use futures_util::future::{self, Either};

use crate::{
    books::Books,
    failure::{PortError, Recovery},
    pipeline::{Verdict, Worker},
    port::{Delivery, Queue, Receipt},
    settlement::{Letter, Settlement},
};

/// What carrying out came to, beside the verdicts.
#[derive(Debug, Default)]
pub struct Carried {
    /// Why nothing more must be taken, if so.
    pub halt: Option<String>,
    /// Settlements that failed, each with the message it was for: those will be delivered again when their leases end.
    pub unsettled: Vec<(String, PortError)>,
    /// How the batch was ended.
    pub books: Books,
}

/// Replicates `batch`, which came from `queue`, and settles every delivery.
pub async fn work_off(
    worker: &Worker,
    queue: &dyn Queue,
    dead_letters: &dyn Queue,
    batch: &[Delivery],
) -> (Vec<Verdict>, Carried) {
    // An extension that is under way ends with this block. Merely not looked at any more, it would go on holding what it holds, a
    // connection's lock for one, and the settlement might wait for that for ever.
    let verdicts = {
        let replicate = std::pin::pin!(worker.replicate(batch));
        let keep = std::pin::pin!(keep_leases(worker, queue, batch));
        let Either::Left((verdicts, _)) = future::select(replicate, keep).await;
        verdicts
    };
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
    carried.books.delivered = batch.len() as u64;
    let mut done: Vec<Receipt> = Vec::new();
    let mut letters: Vec<(&Delivery, &Letter)> = Vec::new();
    let mut later = Vec::new();
    for (delivery, verdict) in batch.iter().zip(verdicts) {
        match &verdict.settlement {
            Settlement::Ack => done.push(delivery.receipt.clone()),
            Settlement::Retry { after } => later.push((delivery, *after)),
            Settlement::DeadLetter(letter) => letters.push((delivery, letter)),
            Settlement::Halt { detail } => {
                carried.halt = Some(detail.clone());
                carried.books.left += 1;
            }
        }
    }

    let acks = done.len();
    let sent = set_aside(worker, dead_letters, &queue.to_string(), &letters).await;
    for ((delivery, _), sent) in letters.iter().zip(sent) {
        match sent {
            Ok(()) => done.push(delivery.receipt.clone()),
            Err(error) => carried.failed(error, &delivery.message_id),
        }
    }
    if !done.is_empty() {
        for (at, (receipt, acked)) in done.iter().zip(queue.ack(&done).await).enumerate() {
            match acked {
                Ok(()) if at < acks => carried.books.acked += 1,
                Ok(()) => carried.books.dead_lettered += 1,
                Err(error) => carried.failed(error, &receipt.0),
            }
        }
    }
    let retries = later.iter().map(|(delivery, after)| queue.retry(delivery, *after));
    for ((delivery, _), retried) in later.iter().zip(future::join_all(retries).await) {
        match retried {
            Ok(()) => carried.books.retried += 1,
            Err(error) => carried.failed(error, &delivery.message_id),
        }
    }
    carried
}

/// Sends letters to the dead-letter queue; answers for each. Only then may their messages, which came from the queue
/// `source`, be removed.
pub(crate) async fn set_aside(
    worker: &Worker,
    dead_letters: &dyn Queue,
    source: &str,
    letters: &[(&Delivery, &Letter)],
) -> Vec<Result<(), PortError>> {
    if letters.is_empty() {
        return Vec::new();
    }
    let message = |(delivery, letter): &(&Delivery, &Letter)| letter.message(delivery, source, worker.fresh_id());
    let messages: Vec<_> = letters.iter().map(message).collect();
    dead_letters.send(&messages).await
}

impl Carried {
    fn failed(&mut self, error: PortError, message: &str) {
        if error.kind.recovery() == Recovery::Halt {
            self.halt = Some(error.chain());
        }
        self.books.leave(&error);
        self.unsettled.push((message.to_owned(), error));
    }
}
