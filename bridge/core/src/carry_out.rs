//! Works off one batch from a queue that the worker settles itself: keeps its leases while the work lasts, then carries
//! the settlements out. For the container; [`invocation`](crate::invocation) is for functions.

use futures_util::future::{self, Either};

use crate::{
    books::Books,
    ending::{Ending, endings},
    failure::{PortError, Recovery},
    halt::{Halt, Spot},
    lease::{self, Leases},
    port::{Delivery, Queue, Receipt},
    set_aside::Desk,
    settlement::Settlement,
    worker::{Verdict, Worker},
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
        let leases = Leases::default();
        leases.add(batch.iter().map(|delivery| delivery.receipt.clone()), queue, &*worker.clock);
        let keep = std::pin::pin!(leases.keep(queue, &*worker.clock, &*worker.incidents));
        let Either::Left((verdicts, _)) = future::select(replicate, keep).await;
        verdicts
    };
    let carried = carry_out(worker, queue, dead_letters, batch, &mut verdicts).await;
    (verdicts, carried)
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
    release(worker, queue, &untouched).await;
    carried
}

/// Gives messages back untouched.
pub(crate) async fn release(worker: &Worker, queue: &dyn Queue, deliveries: &[&Delivery]) {
    lease::release(queue, &receipts(deliveries.iter().copied()), &*worker.incidents).await;
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
