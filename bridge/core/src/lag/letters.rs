//! Dead letters by reason, without reading them again and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::report::DeadLetters;
use crate::{
    failure::PortError,
    limits::REASONS_READ_MAX,
    port::{Clock, Depth, Place, Queue, Receipt},
    replay::subject,
};

/// The least time between two looks at the letters of a queue. SQS hides what it shows, if only for a moment, and a
/// replay that runs meanwhile should not have to wait for it.
const REST: Duration = Duration::from_secs(15);

/// Letters that are looked at with one call.
const PORTION: usize = 200;

/// Where the reasons of a queue's letters are to be had.
#[derive(Clone)]
pub enum Reasons {
    /// In the letters.
    Read {
        /// The queue.
        queue: Arc<dyn Queue>,
        /// Whether only the broker fills it.
        broker: bool,
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
    by_reason: BTreeMap<String, u64>,
    /// Whether nothing went wrong with it.
    sound: bool,
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

    /// Counts the letters, and reads their reasons if they changed in number and were not read just before. What kept
    /// the reasons from being read stands beside the count.
    ///
    /// # Errors
    /// They cannot be counted.
    pub async fn look(&self, clock: &dyn Clock) -> Result<(DeadLetters, Option<PortError>), PortError> {
        let messages = self.depth.depth().await?.messages();
        let mut error = None;
        let by_reason = match &self.reasons {
            _ if messages == 0 => BTreeMap::new(),
            Reasons::Always(reason) => BTreeMap::from([((*reason).to_owned(), messages)]),
            Reasons::Read { queue, broker } => {
                let now = clock.now();
                let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let known = |last: &Read| last.sound && last.messages == messages;
                match last.filter(|last| known(last) || rests(last.at, now)) {
                    // Some were taken away meanwhile, and nobody knows which.
                    Some(last) if last.messages > messages => BTreeMap::new(),
                    Some(last) => last.by_reason,
                    None => {
                        let (by_reason, failed) = read(&**queue, *broker).await;
                        error = failed;
                        let read = Read { at: now, messages, by_reason: by_reason.clone(), sound: error.is_none() };
                        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
                        by_reason
                    }
                }
            }
        };
        let unread = messages.saturating_sub(by_reason.values().sum());
        Ok((DeadLetters { messages, by_reason, unread }, error))
    }
}

/// Whether a look at `at` is too short ago. A clock that was set back does not forbid looking.
fn rests(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - at).to_std().is_ok_and(|ago| ago < REST)
}

/// Reads the reasons of letters, and gives back what had to be taken for it.
async fn read(queue: &dyn Queue, broker: bool) -> (BTreeMap<String, u64>, Option<PortError>) {
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let mut receipts: Vec<Receipt> = Vec::new();
    let mut shown = BTreeSet::new();
    let mut place = Place::default();
    let error = loop {
        let portion = match queue.browse(&mut place, PORTION).await {
            Ok(portion) => portion,
            Err(error) => break Some(error),
        };
        let more = !portion.is_empty();
        for letter in portion {
            receipts.push(letter.receipt);
            if shown.insert(letter.message_id) {
                *reasons.entry(subject::reason(&letter.properties, broker)).or_default() += 1;
            }
        }
        if !more || shown.len() >= REASONS_READ_MAX {
            break None;
        }
    };
    // What is not given back shows again by itself when the look's lease ends.
    let kept = queue.release(&receipts).await.into_iter().find_map(Result::err);
    (reasons, error.or(kept))
}
