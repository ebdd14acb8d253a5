//! One queue and its dead-letter queue: what happens to a message between its arrival and its settlement.
//!
//! A pure state machine. Time is passed in, nothing is awaited, and links, connections and HTTP are unknown here: whoever
//! wants a message asks with [`Queue::take`] and learns from [`Queue::offered`] when to ask again.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::encoding;
use super::entries::{Entries, Entry, NEVER, State};
use super::history::History;
use super::message::{Changes, Parsed, Stamp};
use super::settings::{Counts, QueueSettings};
use super::store::Store;

/// Two clocks read at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Milliseconds of a clock that never jumps; deadlines are kept in it.
    pub(crate) tick: i64,
    /// Milliseconds since 1970 as the service tells its clients.
    pub(crate) wall: i64,
}

/// Which of the two queues that share a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Main,
    DeadLetter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    PeekLock,
    ReceiveAndDelete,
}

/// What the receiver decided about a locked message.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Complete,
    /// `failed` raises the delivery count: abandon does, a plain AMQP `released` does not.
    Return {
        failed: bool,
        changes: Changes,
    },
    Defer {
        changes: Changes,
    },
    DeadLetter {
        reason: Option<String>,
        description: Option<String>,
        changes: Changes,
    },
}

/// A message on its way to a receiver.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) token: Uuid,
    pub(crate) sequence: i64,
    /// Header and annotations, then the bare message.
    pub(crate) bytes: (Bytes, Bytes),
    /// Milliseconds since 1970.
    pub(crate) locked_until: i64,
}

/// The lock is unknown: it expired, or the message was settled before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LockLost;

/// A deferred message was asked for that is not there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotDeferred(pub(crate) i64);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue holds {held} bytes, and {asked} more would exceed its size of {limit} bytes")]
pub(crate) struct QuotaExceeded {
    held: u64,
    asked: u64,
    limit: u64,
}

pub(crate) struct Queue {
    /// As it was created; addresses compare without case.
    name: String,
    settings: QueueSettings,
    main: Entries,
    dead: Entries,
    history: History,
    store: Store,
    random: fastrand::Rng,
    /// Milliseconds since 1970.
    created: i64,
    updated: i64,
    /// Messages that senders brought since it was made; the broker's own moves are none.
    sent: u64,
    /// Messages that became ready since somebody last asked, for each part.
    offered: [usize; 2],
}

impl Queue {
    /// `random` makes the lock tokens.
    pub(crate) fn new(name: &str, settings: QueueSettings, now: Now, random: fastrand::Rng) -> Self {
        Self {
            name: name.to_owned(),
            settings,
            main: Entries::default(),
            dead: Entries::default(),
            history: History::default(),
            store: Store::default(),
            random,
            created: now.wall,
            updated: now.wall,
            sent: 0,
            offered: [0; 2],
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// Holds for what happens from now on; locks and lifetimes that run go on as they are.
    pub(crate) fn set_settings(&mut self, now: Now, settings: QueueSettings) {
        if settings.duplicate_detection.is_none() {
            self.history = History::default();
        }
        self.settings = settings;
        self.updated = now.wall;
    }

    pub(crate) fn created(&self) -> i64 {
        self.created
    }

    pub(crate) fn updated(&self) -> i64 {
        self.updated
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes in all messages, or none. The answer has a sequence number for each, or `None` for a dropped duplicate.
    pub(crate) fn publish(&mut self, now: Now, batch: &[Parsed<'_>]) -> Result<Vec<Option<i64>>, QuotaExceeded> {
        self.advance(now);
        let asked: u64 = batch.iter().map(|message| message.size() as u64).sum();
        let held = self.size_bytes();
        if held + asked > self.settings.max_size_bytes {
            return Err(QuotaExceeded { held, asked, limit: self.settings.max_size_bytes });
        }
        Ok(batch.iter().map(|message| self.publish_one(now, message)).collect())
    }

    fn publish_one(&mut self, now: Now, parsed: &Parsed<'_>) -> Option<i64> {
        if self.settings.duplicate_detection.is_some()
            && let Some(id) = &parsed.message_id
            && !self.history.learn(now.tick, id)
        {
            return None;
        }
        let mut message = parsed.keep(&mut self.store);
        // The shorter of the two lifetimes counts, and is what receivers are told.
        let limit = self.settings.default_ttl.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        message.header.time_to_live = message.header.time_to_live.into_iter().chain(limit).min();
        let sequence = self.main.next_sequence();
        let mut entry = Entry {
            message,
            enqueued_sequence: sequence,
            enqueued: now.wall,
            delivery_count: 0,
            expires: NEVER,
            state: State::Deferred,
        };
        match parsed.scheduled.filter(|due| *due > now.wall) {
            Some(due) => {
                entry.state = State::Scheduled { due: now.tick.saturating_add(due - now.wall) };
                self.main.insert(sequence, entry);
            }
            None => self.enqueue(now, sequence, entry),
        }
        self.sent += 1;
        Some(sequence)
    }

    /// Removes those of the scheduled messages that are still there.
    pub(crate) fn cancel(&mut self, now: Now, sequences: &[i64]) {
        self.advance(now);
        for sequence in sequences {
            if self.main.get(*sequence).is_some_and(|entry| matches!(entry.state, State::Scheduled { .. })) {
                self.main.remove(*sequence);
            }
        }
        self.release_memory();
    }

    /// The next message, locked for the caller, or removed at once when it will not be settled.
    pub(crate) fn take(&mut self, now: Now, part: Part, mode: Mode) -> Option<Delivery> {
        self.advance(now);
        let sequence = self.part(part).first_ready()?;
        self.hand_out(now, part, sequence, mode)
    }

    /// All of these deferred messages, or none.
    pub(crate) fn take_deferred(
        &mut self,
        now: Now,
        part: Part,
        sequences: &[i64],
        mode: Mode,
    ) -> Result<Vec<Delivery>, NotDeferred> {
        self.advance(now);
        let deferred = |sequence: &i64| self.entries(part).get(*sequence).is_some_and(|e| e.state == State::Deferred);
        if let Some(missing) = sequences.iter().find(|sequence| !deferred(sequence)) {
            return Err(NotDeferred(*missing));
        }
        Ok(sequences.iter().filter_map(|sequence| self.hand_out(now, part, *sequence, mode)).collect())
    }

    fn hand_out(&mut self, now: Now, part: Part, sequence: i64, mode: Mode) -> Option<Delivery> {
        let mut entry = self.part(part).remove(sequence)?;
        let source = (part == Part::DeadLetter).then_some(self.name.as_str());
        let stamp = entry.stamp(sequence, source);
        if mode == Mode::ReceiveAndDelete {
            let bytes = entry.message.encode(&stamp);
            self.release_memory();
            return Some(Delivery { token: Uuid::nil(), sequence, bytes, locked_until: 0 });
        }
        let token = uuid::Builder::from_random_bytes(self.random.u128(..).to_be_bytes()).into_uuid();
        let lock = milliseconds(self.settings.lock_duration);
        let locked_until = now.wall.saturating_add(lock);
        let bytes = entry.message.encode(&Stamp { lock: Some((token, locked_until)), ..stamp });
        let deferred = entry.state == State::Deferred;
        entry.state = State::Locked { token, until: now.tick.saturating_add(lock), deferred };
        self.part(part).insert(sequence, entry);
        Some(Delivery { token, sequence, bytes, locked_until })
    }

    pub(crate) fn settle(&mut self, now: Now, part: Part, token: Uuid, verdict: Verdict) -> Result<(), LockLost> {
        self.advance(now);
        let sequence = self.part(part).locked_by(token).ok_or(LockLost)?;
        let mut entry = self.part(part).remove(sequence).ok_or(LockLost)?;
        match verdict {
            Verdict::Complete => {}
            Verdict::Return { failed, changes } => {
                entry.message.set_properties(&changes);
                self.give_back(now, part, sequence, entry, failed);
            }
            Verdict::Defer { changes } => {
                entry.message.set_properties(&changes);
                // It may stay for long, and must not keep a segment of memory with it.
                entry.message.detach();
                entry.state = State::Deferred;
                self.part(part).insert(sequence, entry);
            }
            Verdict::DeadLetter { reason, description, changes } => {
                entry.message.set_properties(&changes);
                self.dead_letter(now, entry, reason.as_deref(), description.as_deref());
            }
        }
        self.release_memory();
        Ok(())
    }

    /// The new end of each lock in milliseconds since 1970, or `LockLost` and no lock changed.
    pub(crate) fn renew(&mut self, now: Now, part: Part, tokens: &[Uuid]) -> Result<Vec<i64>, LockLost> {
        self.advance(now);
        let lock = milliseconds(self.settings.lock_duration);
        let entries = self.part(part);
        let sequences: Option<Vec<i64>> = tokens.iter().map(|token| entries.locked_by(*token)).collect();
        for sequence in sequences.ok_or(LockLost)? {
            entries.extend(sequence, now.tick.saturating_add(lock));
        }
        Ok(vec![now.wall.saturating_add(lock); tokens.len()])
    }

    /// Encoded messages in order of sequence number, whatever their state, until there are `count` or `bytes_max` is passed.
    pub(crate) fn peek(
        &mut self,
        now: Now,
        part: Part,
        from: i64,
        count: usize,
        bytes_max: usize,
    ) -> Vec<(Bytes, Bytes)> {
        self.advance(now);
        let source = (part == Part::DeadLetter).then_some(self.name.as_str());
        let mut found = Vec::new();
        let mut total = 0;
        for (sequence, entry) in self.entries(part).from(from).take(count) {
            let bytes = entry.message.encode(&entry.stamp(sequence, source));
            total += bytes.0.len() + bytes.1.len();
            if total > bytes_max && !found.is_empty() {
                break;
            }
            found.push(bytes);
        }
        found
    }

    /// Carries out what the passing of time brings: locks end, scheduled messages come due, lifetimes end.
    pub(crate) fn advance(&mut self, now: Now) {
        for part in [Part::Main, Part::DeadLetter] {
            while let Some(sequence) = self.entries(part).first_due(now.tick) {
                let Some(mut entry) = self.part(part).remove(sequence) else { break };
                match entry.state {
                    State::Locked { .. } => self.give_back(now, part, sequence, entry, true),
                    State::Scheduled { due } => {
                        // It came due when it was due, however late we look.
                        let then = Now { tick: due, wall: now.wall - (now.tick - due) };
                        entry.enqueued = then.wall;
                        self.enqueue(then, sequence, entry);
                    }
                    State::Ready | State::Deferred => self.expire(now, entry),
                }
            }
        }
        if let Some(window) = self.settings.duplicate_detection {
            self.history.forget(now.tick.saturating_sub(milliseconds(window)));
        }
        self.release_memory();
    }

    /// The tick at which [`Queue::advance`] has something to do again.
    pub(crate) fn next_deadline(&self) -> i64 {
        let window = self.settings.duplicate_detection.map(milliseconds);
        let forget = window.and_then(|window| Some(self.history.last_arrival()?.saturating_add(window)));
        self.main.next_deadline().min(self.dead.next_deadline()).min(forget.unwrap_or(NEVER))
    }

    /// How many messages became ready since the last call.
    pub(crate) fn offered(&mut self, part: Part) -> usize {
        std::mem::take(&mut self.offered[part as usize])
    }

    pub(crate) fn has_ready(&self, part: Part) -> bool {
        self.entries(part).ready() > 0
    }

    pub(crate) fn counts(&self) -> Counts {
        let settled_later = self.main.ready() + self.main.locked() + self.main.scheduled();
        Counts {
            active: self.main.ready() + self.main.locked(),
            dead_letter: self.dead.len(),
            scheduled: self.main.scheduled(),
            locked: self.main.locked(),
            deferred: self.main.len() - settled_later,
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.main.size_bytes() + self.dead.size_bytes()
    }

    /// A message's lifetime begins here: scheduled ones have it still before them.
    fn enqueue(&mut self, now: Now, sequence: i64, mut entry: Entry) {
        let lifetime = entry.message.header.time_to_live.map(|ttl| i64::try_from(ttl).unwrap_or(i64::MAX));
        entry.expires = lifetime.map_or(NEVER, |lifetime| now.tick.saturating_add(lifetime));
        self.offer(now, Part::Main, sequence, entry);
    }

    fn offer(&mut self, now: Now, part: Part, sequence: i64, mut entry: Entry) {
        if entry.expires <= now.tick {
            return self.expire(now, entry);
        }
        entry.state = State::Ready;
        self.part(part).insert(sequence, entry);
        self.offered[part as usize] += 1;
    }

    fn give_back(&mut self, now: Now, part: Part, sequence: i64, mut entry: Entry, failed: bool) {
        entry.delivery_count += u32::from(failed);
        let limit = self.settings.max_delivery_count;
        // A message in the dead-letter queue stays there, however often it is delivered.
        if part == Part::Main && failed && entry.delivery_count >= limit {
            let description = format!("Message could not be consumed after {limit} delivery attempts.");
            return self.dead_letter(now, entry, Some("MaxDeliveryCountExceeded"), Some(&description));
        }
        match entry.state {
            // A deferred message is never handed out by a link, only by its sequence number.
            State::Locked { deferred: true, .. } if entry.expires > now.tick => {
                entry.state = State::Deferred;
                self.part(part).insert(sequence, entry);
            }
            _ => self.offer(now, part, sequence, entry),
        }
    }

    fn expire(&mut self, now: Now, entry: Entry) {
        if self.settings.dead_letter_on_expiry {
            let description = "The message expired and was dead lettered.";
            self.dead_letter(now, entry, Some("TTLExpiredException"), Some(description));
        }
    }

    fn dead_letter(&mut self, now: Now, mut entry: Entry, reason: Option<&str>, description: Option<&str>) {
        let named = [("DeadLetterReason", reason), ("DeadLetterErrorDescription", description)];
        let changes = named.into_iter().filter_map(|(name, text)| {
            let text = text?;
            Some((name.to_owned(), encoding::encoded(|out| encoding::put_text(out, text))))
        });
        entry.message.set_properties(&changes.collect());
        entry.message.detach();
        // Lifetimes do not count in a dead-letter queue.
        entry.expires = NEVER;
        let sequence = self.dead.next_sequence();
        self.offer(now, Part::DeadLetter, sequence, entry);
    }

    fn release_memory(&mut self) {
        self.main.tidy();
        self.dead.tidy();
        if self.main.is_empty() {
            self.store.release();
        }
    }

    fn part(&mut self, part: Part) -> &mut Entries {
        match part {
            Part::Main => &mut self.main,
            Part::DeadLetter => &mut self.dead,
        }
    }

    fn entries(&self, part: Part) -> &Entries {
        match part {
            Part::Main => &self.main,
            Part::DeadLetter => &self.dead,
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
