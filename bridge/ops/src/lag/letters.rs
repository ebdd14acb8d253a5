//! Dead letters by reason, without reading them again and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::report::DeadLetters;
use crate::replay::subject::{self, Holds};
use bridge_core::{
    failure::{FailureKind, PortError},
    limits::REASONS_READ_MAX,
    port::{Clock, Depth, Place, Queue, Receipt, within},
};

/// The least time between two looks at the letters of a queue. SQS hides what it shows, if only for a moment, and a
/// replay that runs meanwhile should not have to wait for it.
const REST: Duration = Duration::from_secs(15);

/// Letters that are looked at with the first call, and with others where answers are slow.
const PORTION_FIRST: usize = 10;
const PORTION_SLOW: usize = 20;

/// The same where they are fast.
const PORTION: usize = 200;

/// The first answer is fast if it takes no more than this share of the limit. Ours: SQS answers a portion of two hundred after six
/// of its round trips, and they fit into the half that is there for reading.
const FAST: u32 = 20;

/// Where the reasons of a queue's letters are to be had.
#[derive(Clone)]
pub enum Reasons {
    /// In the letters.
    Read {
        /// The queue.
        queue: Arc<dyn Queue>,
        /// What lies in it.
        holds: Holds,
    },
    /// All have this one.
    Always(&'static str),
}

/// A queue of dead letters.
pub struct Letters {
    depth: Arc<dyn Depth>,
    reasons: Reasons,
    last: Mutex<Option<Read>>,
}

/// What was read of the letters before.
#[derive(Clone)]
struct Read {
    at: DateTime<Utc>,
    messages: u64,
    reasons: Counted,
    /// Whether all were read that were to be, and nothing went wrong with it.
    sound: bool,
}

/// Letters by their reasons: all, and those that say that some site is owed the event.
#[derive(Clone, Default)]
struct Counted {
    all: BTreeMap<String, u64>,
    owed: BTreeMap<String, u64>,
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.depth.fmt(f)
    }
}

impl Letters {
    /// Nothing is asked yet.
    pub fn new(depth: Arc<dyn Depth>, reasons: Reasons) -> Self {
        Self { depth, reasons, last: Mutex::default() }
    }

    /// Counts the letters and looks at none.
    ///
    /// # Errors
    /// They cannot be counted.
    pub async fn count(&self) -> Result<u64, PortError> {
        Ok(self.depth.depth().await?.messages())
    }

    /// Counts the letters, and reads their reasons if they changed in number, or not all were read, and none were read just
    /// before. What kept the reasons from being read stands beside the count.
    ///
    /// Counting and reading take `limit` at most; giving back what was taken for it may take as long again, as what is not given
    /// back is hidden from everybody for minutes. So do not drop it before its end.
    ///
    /// # Errors
    /// They cannot be counted.
    pub async fn look(
        &self,
        clock: &dyn Clock,
        limit: Duration,
    ) -> Result<(DeadLetters, Option<PortError>), PortError> {
        let begun = clock.now();
        let messages = in_time(clock, limit, "dead letters", self.count()).await?;
        let mut error = None;
        let reasons = match &self.reasons {
            _ if messages == 0 => Counted::default(),
            Reasons::Always(reason) => {
                Counted { all: BTreeMap::from([((*reason).to_owned(), messages)]), ..Counted::default() }
            }
            Reasons::Read { queue, holds } => {
                let now = clock.now();
                let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let known = |last: &Read| last.sound && last.messages == messages;
                match last.filter(|last| known(last) || rests(last.at, now)) {
                    // Some were taken away meanwhile, and nobody knows which.
                    Some(last) if last.messages > messages => Counted::default(),
                    Some(last) => last.reasons,
                    None => {
                        // Before it is begun, so that the queue has its rest whatever becomes of this look.
                        self.note(Read { at: now, messages, reasons: Counted::default(), sound: false });
                        let wanted = usize::try_from(messages).unwrap_or(usize::MAX).min(REASONS_READ_MAX);
                        let reading = Reading { queue: &**queue, holds: *holds, clock, begun, limit, wanted };
                        let (reasons, shown, failed) = reading.read().await;
                        let sound = failed.is_none() && shown >= wanted;
                        error = failed;
                        self.note(Read { at: now, messages, reasons: reasons.clone(), sound });
                        reasons
                    }
                }
            }
        };
        let unread = messages.saturating_sub(reasons.all.values().sum());
        Ok((DeadLetters { messages, by_reason: reasons.all, owed_by_reason: reasons.owed, unread }, error))
    }

    fn note(&self, read: Read) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
    }
}

/// Whether a look at `at` is too short ago. A clock that was set back does not forbid looking.
fn rests(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - at).to_std().is_ok_and(|ago| ago < REST)
}

/// What `look` comes to, if that is known within `limit`.
pub(super) async fn in_time<T>(
    clock: &dyn Clock,
    limit: Duration,
    what: &str,
    look: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    let late = || Err(PortError::new(what.to_owned(), "look", FailureKind::TimedOut));
    within(clock, limit, look).await.unwrap_or_else(late)
}

/// One reading of letters.
struct Reading<'a> {
    queue: &'a dyn Queue,
    holds: Holds,
    clock: &'a dyn Clock,
    begun: DateTime<Utc>,
    limit: Duration,
    /// How many letters are enough.
    wanted: usize,
}

impl Reading<'_> {
    /// The reasons of letters, of how many, and what went wrong. Gives back what had to be taken for it.
    async fn read(&self) -> (Counted, usize, Option<PortError>) {
        let mut reasons = Counted::default();
        let mut receipts: Vec<Receipt> = Vec::new();
        let mut shown = BTreeSet::new();
        let mut place = Place::default();
        let (mut error, mut max) = (None, PORTION_FIRST);
        // What a portion takes is known with its answer only, and is hidden if that is cut off: so none is begun in the second
        // half, and none that is large where answers are slow.
        while shown.len() < self.wanted && self.left() > self.limit / 2 {
            let left = self.left();
            let browse = self.queue.browse(&mut place, max.min(self.wanted - shown.len()));
            let portion = match in_time(self.clock, left, "dead letters", browse).await {
                Ok(portion) if portion.is_empty() => break,
                Ok(portion) => {
                    if max == PORTION_FIRST {
                        let fast = left.saturating_sub(self.left()) <= self.limit / FAST;
                        max = if fast { PORTION } else { PORTION_SLOW };
                    }
                    portion
                }
                Err(failed) => {
                    error = Some(failed);
                    break;
                }
            };
            for letter in portion {
                receipts.push(letter.receipt);
                if shown.insert(letter.message_id) {
                    let reason = subject::reason(&letter.properties, self.holds);
                    if subject::is_owed(&letter.properties, self.holds) {
                        *reasons.owed.entry(reason.clone()).or_default() += 1;
                    }
                    *reasons.all.entry(reason).or_default() += 1;
                }
            }
        }
        // What is not given back shows again by itself when the look's lease ends.
        let release = async { self.queue.release(&receipts).await.into_iter().collect::<Result<(), PortError>>() };
        let kept = in_time(self.clock, self.limit, "dead letters", release).await.err();
        (reasons, shown.len(), error.or(kept))
    }

    /// What is left of the time.
    fn left(&self) -> Duration {
        // A clock that was set back does not stretch it.
        let spent = (self.clock.now() - self.begun).to_std().unwrap_or(self.limit);
        self.limit.saturating_sub(spent)
    }
}
