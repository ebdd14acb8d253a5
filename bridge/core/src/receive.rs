//! Takes batch after batch from a site's queue and works each off; stands still while halted. The loop of every host that takes messages by
//! itself.
//!
//! Halted, or while its store is away, it gives back what it holds and takes nothing more. It looks for the end by asking what failed, never by
//! taking a message: each message that is taken and given back counts at its broker, which sets it aside in the end. Afterwards each lane
//! begins with one message and doubles: what has just come back is not run over.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{
    FutureExt, StreamExt,
    future::{self, Either, Shared, select},
    lock::Mutex,
    stream::FuturesUnordered,
};

use crate::{
    carry_out::{Carried, release, work_off},
    failure::{PortError, Recovery},
    halt::{Halt, Spot},
    port::{Delivery, Queue, Use},
    retry::Backoff,
    stop::unless,
    worker::{Verdict, Worker},
};

/// Between two rounds for messages that may wait for the store no longer, at least. Ours: a round counts as a delivery at the broker.
const ROUND_MIN: Duration = Duration::from_mins(10);

/// How long a store that is away may keep silent before it is asked again beside that. Ours: the worker goes on within 2 s of the store's return,
/// and a request from before it may never be answered.
const SILENCE: Duration = Duration::from_millis(1_500);

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
    /// Between looks for the store, while it is away.
    pub probe: Backoff,
}

/// Whoever wants to know what the loop does.
#[async_trait]
pub trait Listen: Send + Sync {
    /// A batch was worked off.
    async fn worked_off(&self, batch: &[Delivery], verdicts: &[Verdict], carried: &Carried);

    /// A receive failed, and will be tried again.
    fn not_received(&self, error: &PortError);

    /// A receive was answered.
    fn received(&self);

    /// Nothing more is taken until this has ended. The first look for the end comes after `rest`.
    fn halted(&self, halt: &Halt, rest: Duration);

    /// A look for the end was in vain. The next one comes after `rest`.
    fn still_halted(&self, halt: &Halt, error: &PortError, rest: Duration);

    /// Asked once what failed works again: whether the site keeps its promises as it is set up now. A store that was replaced takes
    /// records, and may not keep them.
    ///
    /// # Errors
    /// The site stays halted.
    async fn examine(&self) -> Result<(), PortError>;

    /// What [`Listen::halted`] told of has ended.
    fn mended(&self, halt: &Halt);
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
    let work = async {
        shift.begin().await;
        future::join_all((0..pace.concurrent_batches.max(1)).map(|_| shift.lane())).await;
    };
    future::join(work, shift.watch_store()).await;
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
    /// Asks the store before the first message is taken: a worker that is started again and again during an outage would use up deliveries.
    async fn begin(&self) {
        let Some(Err(error)) = self.unless_stopped(self.look(Spot::Away)).await else { return };
        let at = match error.kind.recovery() {
            Recovery::Retry => Spot::Away,
            Recovery::Halt => Spot::Store,
            Recovery::DeadLetter => return,
        };
        let halt = Halt { at, detail: error.chain() };
        self.stand_still(halt, 0, &[]).await;
    }

    /// Stands still once the store is away, whoever found it: no lane takes a message for it.
    async fn watch_store(&self) {
        while let Some(why) = self.unless_stopped(self.worker.health.gone()).await {
            let Some(mended) = self.unless_stopped(self.mended.lock()).await.map(|mended| *mended) else { return };
            // A lane that stood still meanwhile may have seen its end.
            if self.worker.health.away().is_some() {
                self.stand_still(Halt { at: Spot::Away, detail: why.chain() }, mended, &[]).await;
            }
        }
    }

    async fn lane(&self) {
        let (mut failures, mut seen, mut most) = (0, 0, self.pace.batch_messages_max);
        let mut taken = None;
        while let Some(open) = self.unless_stopped(self.mended.lock()).await {
            let mended = *open;
            drop(open);
            if mended != seen {
                (seen, most) = (mended, 1);
            }
            let received = match taken.take() {
                Some(batch) => Ok(batch),
                None => match self.unless_stopped(self.take(most, self.pace.receive_wait)).await {
                    Some(received) => received,
                    None => break,
                },
            };
            if received.is_ok() {
                failures = 0;
                self.listen.received();
            }
            match received {
                Ok(batch) if batch.is_empty() => {}
                Ok(batch) => {
                    most = most.saturating_mul(2).min(self.pace.batch_messages_max);
                    if let Some(halt) = self.work(&batch).await {
                        taken = self.stand_still(halt, mended, &batch).await;
                    }
                }
                Err(error) if error.kind.recovery() == Recovery::Halt => {
                    let halt = Halt { at: Spot::Receiving, detail: error.chain() };
                    taken = self.stand_still(halt, mended, &[]).await;
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

    async fn take(&self, most: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        self.queue.receive(most, wait).await
    }

    /// Works a batch off; answers why nothing more must be taken, if so.
    async fn work(&self, batch: &[Delivery]) -> Option<Halt> {
        if self.mended.try_lock().is_none() {
            // Another lane halted while this one was waiting for messages.
            release(self.worker, self.queue, &batch.iter().collect::<Vec<_>>()).await;
            return None;
        }
        self.work_off(batch).await.halt
    }

    async fn work_off(&self, batch: &[Delivery]) -> Carried {
        let (verdicts, carried) = work_off(self.worker, self.queue, self.dead_letters, batch).await;
        self.listen.worked_off(batch, &verdicts, &carried).await;
        carried
    }

    /// Waits until what halted a lane has ended, unless another lane saw that meanwhile. `before`: the halts that had ended when the lane took
    /// `batch`. A look that takes messages hands them on.
    async fn stand_still(&self, mut halt: Halt, before: u64, batch: &[Delivery]) -> Option<Vec<Delivery>> {
        let mut mended = self.unless_stopped(self.mended.lock()).await?;
        if *mended != before {
            return None;
        }
        let (mut number, mut rest) = (0_u32, self.rest(&halt, 0));
        self.listen.halted(&halt, rest);
        let soon = if batch.is_empty() { ROUND_MIN } else { self.may_wait(batch) };
        let mut round = self.after(soon);
        loop {
            self.unless_stopped(self.worker.clock.sleep(rest)).await?;
            number = number.saturating_add(1);
            rest = self.rest(&halt, number);
            let looked = match self.unless_stopped(self.look(halt.at)).await? {
                Ok(taken) if halt.at != Spot::Away => self.examined(taken).await,
                looked => looked,
            };
            match looked {
                Ok(taken) => {
                    *mended += 1;
                    self.listen.mended(&halt);
                    return taken;
                }
                Err(error) if halt.at == Spot::Away && error.kind.recovery() == Recovery::Halt => {
                    // The store answers again, and may not be used.
                    self.listen.mended(&halt);
                    halt = Halt { at: Spot::Store, detail: error.chain() };
                    (number, rest) = (0, self.rest(&halt, 0));
                    self.listen.halted(&halt, rest);
                }
                Err(error) => self.listen.still_halted(&halt, &error, rest),
            }
            if halt.at == Spot::Away && self.worker.clock.now() >= round {
                round = self.set_aside_what_waited_out().await;
            }
        }
    }

    /// How long to rest before the look of this number, counted from 0.
    fn rest(&self, halt: &Halt, number: u32) -> Duration {
        let pace = if halt.at == Spot::Away { self.pace.probe } else { self.pace.rest };
        self.worker.with_rng(|rng| pace.pause(number, rng))
    }

    /// Takes batch after batch for as long as a letter is made of one; answers when to do so again.
    async fn set_aside_what_waited_out(&self) -> DateTime<Utc> {
        loop {
            let batch = self.take(self.pace.batch_messages_max, Duration::ZERO).await.unwrap_or_default();
            let next = self.after(self.may_wait(&batch));
            if batch.is_empty() || self.work_off(&batch).await.books.dead_lettered == 0 {
                return next;
            }
        }
    }

    /// How long the messages of a batch, and those that come later, may still wait for the store.
    fn may_wait(&self, batch: &[Delivery]) -> Duration {
        let all = self.worker.policy.store_wait_max;
        batch.iter().map(|delivery| self.worker.may_wait(delivery)).min().unwrap_or(all).max(ROUND_MIN)
    }

    fn after(&self, wait: Duration) -> DateTime<Utc> {
        let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
        self.worker.clock.now().checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// One look for the end, by what failed. Messages are taken only where just that had failed.
    async fn look(&self, at: Spot) -> Result<Option<Vec<Delivery>>, PortError> {
        match at {
            Spot::Store => self.worker.probe_store().await.map(|()| None),
            Spot::Away => self.ask_store().await.map(|()| None),
            Spot::DeadLetters => self.dead_letters.probe(Use::Send).await.map(|()| None),
            Spot::Settling => self.queue.probe(Use::Settle).await.map(|()| None),
            Spot::Receiving => self.take(self.pace.batch_messages_max, Duration::ZERO).await.map(Some),
        }
    }

    /// Asks the store, and again beside that while it keeps silent. The first answer counts.
    async fn ask_store(&self) -> Result<(), PortError> {
        let mut asked = FuturesUnordered::new();
        loop {
            asked.push(self.worker.probe_store());
            if let Either::Left((Some(answer), _)) = select(asked.next(), self.worker.clock.sleep(SILENCE)).await {
                return answer;
            }
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
        unless(&self.stop, call).await
    }
}
