//! Works off one batch from a queue that the worker settles itself: keeps its leases while the work lasts, then carries
//! the settlements out. For the container; [`invocation`](crate::invocation) is for functions.

use futures_util::future::{self, Either};

use crate::{
    books::Books,
    ending::{Ending, endings},
    failure::{PortError, Recovery},
    pipeline::{Verdict, Worker},
    port::{Delivery, Queue, Receipt},
    set_aside::Desk,
    settlement::Settlement,
};

/// What carrying out came to, beside the verdicts.
#[derive(Debug, Default)]
pub struct Carried {
    /// Why nothing more must be taken, if so.
    pub halt: Option<Halt>,
    /// Settlements that failed, each with the message it was for: those will be delivered again when their leases end.
    pub unsettled: Vec<(String, PortError)>,
    /// How the batch was ended.
    pub books: Books,
}

/// Why nothing more must be taken: no message can succeed until an operator acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What cannot be used.
    pub at: Spot,
    /// What is broken.
    pub detail: String,
}

/// What cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// The site's own store.
    Store,
    /// The dead-letter queue.
    DeadLetters,
    /// The site's queue, for settling.
    Settling,
    /// The site's queue, for receiving.
    Receiving,
}

/// Replicates `batch`, which came from `queue`, and settles every delivery. Answers verdicts as they were carried out: a message whose letter
/// could not be sent was retried, whatever was concluded of it.
pub async fn work_off(
    worker: &Worker,
    queue: &dyn Queue,
    dead_letters: &dyn Queue,
    batch: &[Delivery],
) -> (Vec<Verdict>, Carried) {
    // An extension that is under way ends with this block. Merely not looked at any more, it would go on holding what it holds, a
    // connection's lock for one, and the settlement might wait for that for ever.
    let mut verdicts = {
        let replicate = std::pin::pin!(worker.replicate(batch));
        let keep = std::pin::pin!(keep_leases(worker, queue, batch));
        let Either::Left((verdicts, _)) = future::select(replicate, keep).await;
        verdicts
    };
    let carried = carry_out(worker, queue, dead_letters, batch, &mut verdicts).await;
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
async fn carry_out(
    worker: &Worker,
    queue: &dyn Queue,
    dead_letters: &dyn Queue,
    batch: &[Delivery],
    verdicts: &mut [Verdict],
) -> Carried {
    let mut carried = Carried::default();
    carried.books.delivered = batch.len() as u64;
    let (mut done, mut later, mut untouched) = (Vec::new(), Vec::new(), Vec::new());
    let endings = endings(worker, Desk { queue, settles: true, dead_letters }, batch, verdicts).await;
    for ((delivery, verdict), ending) in batch.iter().zip(&*verdicts).zip(endings) {
        match ending {
            Ending::Remove => done.push((delivery, verdict.settlement == Settlement::Ack)),
            Ending::Gone => carried.books.dead_lettered += 1,
            Ending::Later(after) | Ending::Stay(after) => later.push((delivery, after)),
            Ending::Untouched(halt) => {
                carried.halt.get_or_insert(halt);
                carried.books.left += 1;
                untouched.push(delivery);
            }
            Ending::Left(error) => carried.failed(error, delivery),
        }
    }
    if !done.is_empty() {
        for ((delivery, acked), answer) in done.iter().zip(queue.ack(&receipts(done.iter().map(|(one, _)| *one))).await)
        {
            match answer {
                Ok(()) if *acked => carried.books.acked += 1,
                Ok(()) => carried.books.dead_lettered += 1,
                Err(error) => carried.failed(error, delivery),
            }
        }
    }
    if !later.is_empty() {
        for ((delivery, _), answer) in later.iter().zip(queue.retry(&later).await) {
            match answer {
                Ok(()) => carried.books.retried += 1,
                Err(error) => carried.failed(error, delivery),
            }
        }
    }
    release(queue, &untouched).await;
    carried
}

/// Gives messages back untouched. What is not given back comes again when its lease ends.
pub(crate) async fn release(queue: &dyn Queue, deliveries: &[&Delivery]) {
    if deliveries.is_empty() {
        return;
    }
    let released = queue.release(&receipts(deliveries.iter().copied())).await;
    if let Some(error) = released.into_iter().find_map(Result::err) {
        tracing::debug!(error = error.chain(), "not given back at once: the messages come again when their leases end");
    }
}

fn receipts<'a>(deliveries: impl Iterator<Item = &'a Delivery>) -> Vec<Receipt> {
    deliveries.map(|delivery| delivery.receipt.clone()).collect()
}

impl Carried {
    fn failed(&mut self, error: PortError, delivery: &Delivery) {
        if error.kind.recovery() == Recovery::Halt {
            self.halt.get_or_insert(Halt { at: Spot::Settling, detail: error.chain() });
        }
        self.books.leave(&error);
        self.unsettled.push((delivery.message_id.clone(), error));
    }
}
