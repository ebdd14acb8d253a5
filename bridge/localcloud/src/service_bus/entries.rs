//! The messages of one queue or dead-letter queue, with the indexes that make every step quick: by sequence number, by lock
//! token, by deadline, and those that are ready. Keeps the indexes in step and decides nothing.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::message::{Message, Stamp};
use super::pages::Pages;

/// A deadline that never comes.
pub(super) const NEVER: i64 = i64::MAX;
/// Room that the table of locks keeps when it empties.
const TOKENS_KEPT: usize = 256;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Message,
    pub(super) enqueued_sequence: i64,
    /// Milliseconds since 1970.
    pub(super) enqueued: i64,
    pub(super) delivery_count: u32,
    /// Tick at which its lifetime ends, unless it is locked then.
    pub(super) expires: i64,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Any receiver may have it.
    Ready,
    /// Only who knows its sequence number may have it.
    Deferred,
    /// Becomes ready at this tick.
    Scheduled { due: i64 },
    /// Belongs to whoever knows the token until this tick; then it is ready, or deferred, again.
    Locked { token: Uuid, until: i64, deferred: bool },
}

impl Entry {
    fn deadline(&self) -> i64 {
        match self.state {
            State::Ready | State::Deferred => self.expires,
            State::Scheduled { due } => due,
            State::Locked { until, .. } => until,
        }
    }

    pub(super) fn stamp<'a>(&self, sequence: i64, dead_letter_source: Option<&'a str>) -> Stamp<'a> {
        Stamp {
            sequence,
            enqueued_sequence: self.enqueued_sequence,
            enqueued: self.enqueued,
            delivery_count: self.delivery_count,
            state: match self.state {
                State::Ready | State::Locked { deferred: false, .. } => 0,
                State::Deferred | State::Locked { deferred: true, .. } => 1,
                State::Scheduled { .. } => 2,
            },
            lock: None,
            dead_letter_source,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Entries {
    last_sequence: i64,
    all: Pages<Entry>,
    /// By sequence number, so that an abandoned message returns to its old place.
    ready: BTreeSet<i64>,
    tokens: HashMap<Uuid, i64>,
    /// Each entry has at most one deadline at a time: (tick, sequence number).
    deadlines: BTreeSet<(i64, i64)>,
    scheduled: usize,
    size_bytes: u64,
}

impl Entries {
    pub(super) fn next_sequence(&mut self) -> i64 {
        self.last_sequence += 1;
        self.last_sequence
    }

    pub(super) fn insert(&mut self, sequence: i64, entry: Entry) {
        match entry.state {
            State::Ready => drop(self.ready.insert(sequence)),
            State::Locked { token, .. } => drop(self.tokens.insert(token, sequence)),
            State::Scheduled { .. } => self.scheduled += 1,
            State::Deferred => {}
        }
        if entry.deadline() != NEVER {
            self.deadlines.insert((entry.deadline(), sequence));
        }
        self.size_bytes += entry.message.size() as u64;
        self.all.insert(sequence, entry);
    }

    pub(super) fn remove(&mut self, sequence: i64) -> Option<Entry> {
        let entry = self.all.remove(sequence)?;
        match entry.state {
            State::Ready => drop(self.ready.remove(&sequence)),
            State::Locked { token, .. } => {
                self.tokens.remove(&token);
                if self.tokens.is_empty() {
                    self.tokens.shrink_to(TOKENS_KEPT);
                }
            }
            State::Scheduled { .. } => self.scheduled -= 1,
            State::Deferred => {}
        }
        if entry.deadline() != NEVER {
            self.deadlines.remove(&(entry.deadline(), sequence));
        }
        self.size_bytes -= entry.message.size() as u64;
        Some(entry)
    }

    pub(super) fn get(&self, sequence: i64) -> Option<&Entry> {
        self.all.get(sequence)
    }

    pub(super) fn first_ready(&self) -> Option<i64> {
        self.ready.first().copied()
    }

    pub(super) fn locked_by(&self, token: Uuid) -> Option<i64> {
        self.tokens.get(&token).copied()
    }

    /// Moves the end of a lock.
    pub(super) fn extend(&mut self, sequence: i64, to: i64) {
        if let Some(Entry { state: State::Locked { until, .. }, .. }) = self.all.get_mut(sequence) {
            self.deadlines.remove(&(*until, sequence));
            self.deadlines.insert((to, sequence));
            *until = to;
        }
    }

    /// The next entry whose deadline has come.
    pub(super) fn first_due(&self, tick: i64) -> Option<i64> {
        self.deadlines.first().filter(|(at, _)| *at <= tick).map(|(_, sequence)| *sequence)
    }

    pub(super) fn next_deadline(&self) -> i64 {
        self.deadlines.first().map_or(NEVER, |(at, _)| *at)
    }

    pub(super) fn from(&self, sequence: i64) -> impl Iterator<Item = (i64, &Entry)> {
        self.all.from(sequence)
    }

    /// Gives back the memory of messages that have gone.
    pub(super) fn tidy(&mut self) {
        self.all.tidy(|entry| entry.message.detach());
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn scheduled(&self) -> usize {
        self.scheduled
    }

    pub(super) fn locked(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}
