//! Takes batch after batch from a site's queue and works each off; stands still while halted. The loop of every host that takes messages by
//! itself.
//!
//! Halted, it gives back what it holds and takes nothing more. It looks for the mend by asking what failed, never by taking a message: each
//! message that is taken and given back counts at its broker, which sets it aside in the end.

use std::{pin::pin, time::Duration};

use async_trait::async_trait;
use futures_util::{
    FutureExt, future,
    future::{Either, Shared, select},
    lock::Mutex,
};

use crate::{
    carry_out::{Carried, release, work_off},
    failure::{PortError, Recovery},
    halt::{Halt, Spot},
    incident::Incident,
    port::{Delivery, Queue, Use},
    retry::Backoff,
    worker::{Verdict, Worker},
};

/// How much is taken at once, and how long it rests.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Messages of one batch.
    pub batch_messages_max: usize,
    /// Batches that are worked on at the same time.
    pub concurrent_batches: usize,
    /// How long one receive waits for a message.
    pub receive_wait: Duration,
    /// Between receives that fail.
    pub pause: Backoff,
    /// Between looks for the mend, while halted.
    pub rest: Backoff,
}

/// Whoever wants to know what the loop does.
#[async_trait]
pub trait Listen: Send + Sync {
    /// A batch was worked off.
    async fn worked_off(&self, batch: &[Delivery], verdicts: &[Verdict], carried: &Carried);

    /// A receive failed, and will be tried again.
    fn not_received(&self, error: &PortError);

    /// Nothing more is taken until this is mended.
    fn halted(&self, halt: &Halt);

    /// Asked once what failed works again: whether the site keeps its promises as it is set up now. A store that was replaced takes
    /// records, and may not keep them.
    ///
    /// # Errors
    /// The site stays halted.
    async fn examine(&self) -> Result<(), PortError>;

    /// What [`Listen::halted`] told of is mended.
    fn mended(&self);
}

/// Takes and works off batches until `stop`, then finishes those at hand.
///
/// # Cancel safety
/// Safe to drop at any await: what was not settled is delivered again when its lease ends.
pub async fn receive(
    worker: &Worker,
    queue: &dyn Queue,
    dead_letters: &dyn Queue,
    pace: Pace,
    listen: &dyn Listen,
    stop: impl Future<Output = ()> + Send,
) {
    let shift = Shift { worker, queue, dead_letters, pace, listen, stop: stop.shared(), mended: Mutex::new(0) };
    future::join_all((0..pace.concurrent_batches.max(1)).map(|_| shift.lane())).await;
}

struct Shift<'a, S: Future<Output = ()>> {
    worker: &'a Worker,
    queue: &'a dyn Queue,
    dead_letters: &'a dyn Queue,
    pace: Pace,
    listen: &'a dyn Listen,
    stop: Shared<S>,
    /// How many halts were mended. Locked for as long as one lasts, by the lane that looks for the mend.
    mended: Mutex<u64>,
}

impl<S: Future<Output = ()> + Send> Shift<'_, S> {
    async fn lane(&self) {
        let mut failures = 0;
        let mut taken = None;
        while let Some(open) = self.unless_stopped(self.mended.lock()).await {
            let mended = *open;
            drop(open);
            let received = match taken.take() {
                Some(batch) => Ok(batch),
                None => match self.unless_stopped(self.take(self.pace.receive_wait)).await {
                    Some(received) => received,
                    None => break,
                },
            };
            match received {
                Ok(batch) if batch.is_empty() => failures = 0,
                Ok(batch) => {
                    failures = 0;
                    if let Some(halt) = self.work(&batch).await {
                        taken = self.stand_still(&halt, mended).await;
                    }
                }
                Err(error) if error.kind.recovery() == Recovery::Halt => {
                    let halt = Halt { at: Spot::Receiving, detail: error.chain() };
                    taken = self.stand_still(&halt, mended).await;
                }
                Err(error) => {
                    self.listen.not_received(&error);
                    let pause = self.worker.with_rng(|rng| self.pace.pause.pause(failures, rng));
                    failures = failures.saturating_add(1);
                    self.unless_stopped(self.worker.clock.sleep(pause)).await;
                }
            }
        }
        release(self.worker, self.queue, &taken.iter().flatten().collect::<Vec<_>>()).await;
    }

    async fn take(&self, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        self.queue.receive(self.pace.batch_messages_max, wait).await
    }

    /// Works a batch off; answers why nothing more must be taken, if so.
    async fn work(&self, batch: &[Delivery]) -> Option<Halt> {
        if self.mended.try_lock().is_none() {
            // Another lane halted while this one was waiting for messages.
            release(self.worker, self.queue, &batch.iter().collect::<Vec<_>>()).await;
            return None;
        }
        let (verdicts, carried) = work_off(self.worker, self.queue, self.dead_letters, batch).await;
        self.listen.worked_off(batch, &verdicts, &carried).await;
        carried.halt
    }

    /// Waits until what halted a lane is mended, unless another lane saw that meanwhile. `before`: the halts that were mended when the lane took
    /// its messages. A look that takes messages hands them on.
    async fn stand_still(&self, halt: &Halt, before: u64) -> Option<Vec<Delivery>> {
        let mut mended = self.unless_stopped(self.mended.lock()).await?;
        if *mended != before {
            return None;
        }
        self.listen.halted(halt);
        for number in 0.. {
            let rest = self.worker.with_rng(|rng| self.pace.rest.pause(number, rng));
            self.unless_stopped(self.worker.clock.sleep(rest)).await?;
            let looked = match self.unless_stopped(self.look(halt.at)).await? {
                Ok(taken) => self.examined(taken).await,
                Err(error) => Err(error),
            };
            match looked {
                Ok(taken) => {
                    *mended += 1;
                    self.listen.mended();
                    return taken;
                }
                Err(error) => self.worker.incidents.report(Incident::StillHalted(&error)),
            }
        }
        None
    }

    /// One look for the mend, by what failed. Messages are taken only where just that had failed.
    async fn look(&self, at: Spot) -> Result<Option<Vec<Delivery>>, PortError> {
        match at {
            Spot::Store => self.worker.probe_store().await.map(|()| None),
            Spot::DeadLetters => self.dead_letters.probe(Use::Send).await.map(|()| None),
            Spot::Settling => self.queue.probe(Use::Settle).await.map(|()| None),
            Spot::Receiving => self.take(Duration::ZERO).await.map(Some),
        }
    }

    /// What a look took, if the site keeps its promises as it is set up now; else it goes back. The end does not cut this short, as messages
    /// are in hand.
    async fn examined(&self, taken: Option<Vec<Delivery>>) -> Result<Option<Vec<Delivery>>, PortError> {
        let Err(error) = self.listen.examine().await else { return Ok(taken) };
        release(self.worker, self.queue, &taken.iter().flatten().collect::<Vec<_>>()).await;
        Err(error)
    }

    /// What `call` comes to; none if the end comes first.
    async fn unless_stopped<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        // The end is looked at first, so that a queue that always has messages cannot put it off.
        match select(self.stop.clone(), pin!(call)).await {
            Either::Left(((), _)) => None,
            Either::Right((answer, _)) => Some(answer),
        }
    }
}
