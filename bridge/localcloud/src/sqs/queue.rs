//! The life of messages in one queue: waiting, hidden, delivered, deleted, expired.
//!
//! A state machine without clock, lock or socket: every call is told the time. No call looks at more messages than it
//! hands out, plus those whose time has come. Whoever waits for a message is woken by the caller, not here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::fifo::Groups;
use super::limits;
use super::message::Stored;
use super::receipt::Receipt;

/// A message's number within its queue; later arrivals have greater ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) u64);

/// The time, by both clocks that matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Since the server's start; what time limits are measured with.
    pub(super) elapsed: Duration,
    /// Since the epoch; what clients are shown.
    pub(super) wall_ms: u64,
}

/// How many messages there are, by what can be done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Can be received now.
    pub visible: usize,
    /// Received and not yet deleted, nor visible again.
    pub in_flight: usize,
    /// Sent with a delay that has not passed.
    pub delayed: usize,
}

impl Counts {
    pub(super) fn total(&self) -> usize {
        self.visible + self.in_flight + self.delayed
    }
}

/// The messages of one queue.
pub(super) struct Queue {
    pub(super) retention: Duration,
    entries: BTreeMap<Key, Entry>,
    available: Available,
    /// When hidden messages come back: exact, without entries of messages that are gone.
    wakes: BTreeSet<(Duration, Key)>,
    /// Messages by age, for retention.
    ages: BTreeSet<(Duration, Key)>,
    in_flight: usize,
    delayed: usize,
    next_key: u64,
    next_delivery: u64,
    /// Recent receives that named themselves (`ReceiveRequestAttemptId`), to answer their repetition alike.
    attempts: BTreeMap<String, Attempt>,
}

struct Entry {
    stored: Stored,
    place: Place,
    /// The last delivery's number; 0 before the first.
    delivery: u64,
    received: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting {
        /// Where it stands in a standard queue's line; FIFO queues order by group instead.
        position: u64,
    },
    Delayed {
        until: Duration,
    },
    InFlight {
        until: Duration,
        /// Whether the visibility was changed since the delivery.
        changed: bool,
    },
}

/// Which messages can be received, in order.
enum Available {
    Standard { line: BTreeMap<u64, Key>, next_position: u64 },
    Fifo(Groups),
}

struct Attempt {
    at: Duration,
    deliveries: Vec<(Key, u64)>,
}

/// What a receiver asks for.
#[derive(Clone, Copy)]
pub(super) struct Take<'a> {
    pub(super) max: usize,
    pub(super) visibility: Duration,
    /// Set a message aside that was received this often already; `None` where there is no dead-letter queue.
    pub(super) max_receive_count: Option<u32>,
    pub(super) attempt: Option<&'a str>,
}

/// What a receiver gets, and what was set aside on the way.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) dead_letters: Vec<Stored>,
}

/// One message in a receiver's hands.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) stored: Stored,
    pub(super) key: Key,
    /// Counted over the queue's life.
    pub(super) number: u64,
    pub(super) received: Duration,
}

/// Why a receipt no longer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stale {
    /// The lease ran out, on a queue where that ends the receipt.
    Expired,
    /// The message was deleted, or somebody received it later.
    Gone,
    /// The message would be hidden for more than the limit after its receipt.
    TooLong,
}

impl Queue {
    pub(super) fn new(fifo: bool, retention: Duration) -> Self {
        let available = if fifo {
            Available::Fifo(Groups::default())
        } else {
            Available::Standard { line: BTreeMap::new(), next_position: 0 }
        };
        Self {
            retention,
            entries: BTreeMap::new(),
            available,
            wakes: BTreeSet::new(),
            ages: BTreeSet::new(),
            in_flight: 0,
            delayed: 0,
            next_key: 0,
            next_delivery: 1,
            attempts: BTreeMap::new(),
        }
    }

    fn is_fifo(&self) -> bool {
        matches!(self.available, Available::Fifo(_))
    }

    /// Takes a message in, hidden for `delay`.
    pub(super) fn push(&mut self, now: Duration, stored: Stored, delay: Duration) {
        let key = Key(self.next_key);
        self.next_key += 1;
        self.ages.insert((stored.enqueued, key));
        if let (Available::Fifo(groups), Some(group)) = (&mut self.available, &stored.message.group) {
            groups.add(group, key, false);
        }
        let place = Place::Delayed { until: now + delay };
        self.entries.insert(key, Entry { stored, place, delivery: 0, received: Duration::ZERO });
        self.delayed += 1;
        if delay.is_zero() {
            self.show(key);
        } else {
            self.wakes.insert((now + delay, key));
        }
    }

    /// Hands out messages and hides them, after setting aside those that were received too often.
    pub(super) fn receive(&mut self, now: Now, take: Take<'_>) -> Taken {
        self.advance(now.elapsed);
        if let Some(deliveries) = take.attempt.and_then(|attempt| self.repeat(now.elapsed, attempt, take.visibility)) {
            return Taken { deliveries, dead_letters: Vec::new() };
        }
        let mut taken = Taken::default();
        let room = limits::IN_FLIGHT_MAX.saturating_sub(self.in_flight);
        let max = take.max.min(room);
        while taken.deliveries.len() < max && taken.dead_letters.len() < limits::DEAD_LETTERS_PER_RECEIVE {
            let keys = self.available.take(max - taken.deliveries.len());
            if keys.is_empty() {
                break;
            }
            for key in keys {
                let entry = self.entries.get_mut(&key).expect("a waiting message is there");
                if take.max_receive_count.is_some_and(|max| entry.stored.receive_count >= max) {
                    taken.dead_letters.extend(self.remove(key));
                    continue;
                }
                entry.stored.receive_count = entry.stored.receive_count.saturating_add(1);
                entry.stored.first_received_ms.get_or_insert(now.wall_ms);
                entry.delivery = self.next_delivery;
                entry.received = now.elapsed;
                entry.place = Place::InFlight { until: now.elapsed + take.visibility, changed: false };
                self.next_delivery += 1;
                self.in_flight += 1;
                self.wakes.insert((now.elapsed + take.visibility, key));
                taken.deliveries.push(entry.delivered(key));
            }
        }
        if let Some(attempt) = take.attempt
            && !taken.deliveries.is_empty()
        {
            let deliveries = taken.deliveries.iter().map(|delivery| (delivery.key, delivery.number)).collect();
            self.attempts.insert(attempt.to_owned(), Attempt { at: now.elapsed, deliveries });
        }
        // A visibility of nothing shows the messages again at once, but not to this same call.
        self.advance(now.elapsed);
        taken
    }

    /// The messages of an earlier receive of the same name, hidden anew, if all are still as that receive left them.
    ///
    /// # Source
    /// API reference, `ReceiveMessage`, parameter `ReceiveRequestAttemptId`, read 2026-11.
    fn repeat(&mut self, now: Duration, attempt: &str, visibility: Duration) -> Option<Vec<Delivery>> {
        self.attempts.retain(|_, attempt| attempt.at + limits::DEDUPLICATION_INTERVAL > now);
        let deliveries = &self.attempts.get(attempt)?.deliveries;
        let untouched = |(key, delivery): &(Key, u64)| {
            self.entries.get(key).is_some_and(|entry| {
                entry.delivery == *delivery && matches!(entry.place, Place::InFlight { changed: false, .. })
            })
        };
        if !deliveries.iter().all(untouched) {
            return None;
        }
        let keys: Vec<Key> = deliveries.iter().map(|(key, _)| *key).collect();
        for key in &keys {
            self.hide(*key, now + visibility, false);
        }
        Some(keys.iter().map(|key| self.entries[key].delivered(*key)).collect())
    }

    /// Deletes the message that a receipt stands for; deleting one that is gone already is success too.
    ///
    /// A receipt whose lease ran out still deletes from a standard queue, unless the message was received again: then
    /// nothing happens, and the caller is not told. From a FIFO queue it is refused.
    ///
    /// # Source
    /// API reference, `DeleteMessage`: with an old handle "the request will succeed, but the message might not be
    /// deleted"; read 2026-11. That a lapsed lease deletes on standard queues and fails on FIFO queues was recorded
    /// from the service.
    pub(super) fn delete(&mut self, now: Duration, receipt: &Receipt) -> Result<(), Stale> {
        self.advance(now);
        if receipt.received + limits::VISIBILITY_MAX <= now {
            return Err(Stale::Expired);
        }
        let key = Key(receipt.key);
        let Some(entry) = self.entries.get(&key) else { return Ok(()) };
        let current = entry.delivery == receipt.delivery;
        let leased = current && matches!(entry.place, Place::InFlight { .. });
        if self.is_fifo() && !leased {
            return Err(Stale::Expired);
        }
        if current {
            self.remove(key);
        }
        Ok(())
    }

    /// Changes how much longer a delivered message stays hidden; nothing shows it at once.
    ///
    /// On a standard queue a receipt whose lease ran out works as long as nobody received the message again, as
    /// recorded from the service; so `MessageNotInflight`, which is documented, is never the answer.
    pub(super) fn change_visibility(
        &mut self,
        now: Duration,
        receipt: &Receipt,
        visibility: Duration,
    ) -> Result<(), Stale> {
        self.advance(now);
        let key = Key(receipt.key);
        let entry = self.entries.get(&key).filter(|entry| entry.delivery == receipt.delivery).ok_or(Stale::Gone)?;
        let leased = matches!(entry.place, Place::InFlight { .. });
        if entry.received + limits::VISIBILITY_MAX <= now || (self.is_fifo() && !leased) {
            return Err(Stale::Expired);
        }
        if now + visibility > entry.received + limits::VISIBILITY_MAX {
            return Err(Stale::TooLong);
        }
        if leased || !visibility.is_zero() {
            self.hide(key, now + visibility, true);
        }
        self.advance(now);
        Ok(())
    }

    /// Takes the next message out for good, to be put into another queue.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Stored> {
        self.advance(now);
        let key = self.available.take(1).into_iter().next()?;
        self.remove(key)
    }

    /// Lets time pass: hidden messages come back, old ones are forgotten.
    pub(super) fn advance(&mut self, now: Duration) {
        while let Some((enqueued, key)) = self.ages.first().copied()
            && enqueued + self.retention <= now
        {
            self.remove(key);
        }
        while let Some((until, key)) = self.wakes.first().copied()
            && until <= now
        {
            self.wakes.pop_first();
            self.show(key);
        }
        if self.entries.is_empty() {
            self.attempts.clear();
        }
    }

    pub(super) fn has_available(&self) -> bool {
        self.available.has_some()
    }

    /// When the next hidden message comes back, if nothing else happens.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.wakes.first().map(|(until, _)| *until)
    }

    pub(super) fn counts(&self) -> Counts {
        let visible = self.entries.len() - self.in_flight - self.delayed;
        Counts { visible, in_flight: self.in_flight, delayed: self.delayed }
    }

    pub(super) fn purge(&mut self) {
        let emptied = Self::new(self.is_fifo(), self.retention);
        // The numbers go on: an old receipt must not fit a new message.
        *self = Self { next_key: self.next_key, next_delivery: self.next_delivery, ..emptied };
    }

    fn remove(&mut self, key: Key) -> Option<Stored> {
        let entry = self.entries.remove(&key)?;
        self.ages.remove(&(entry.stored.enqueued, key));
        match entry.place {
            Place::Waiting { position } => {
                if let Available::Standard { line, .. } = &mut self.available {
                    line.remove(&position);
                }
            }
            Place::Delayed { until } => {
                self.delayed -= 1;
                self.wakes.remove(&(until, key));
            }
            Place::InFlight { until, .. } => {
                self.in_flight -= 1;
                self.wakes.remove(&(until, key));
            }
        }
        if let (Available::Fifo(groups), Some(group)) = (&mut self.available, &entry.stored.message.group) {
            groups.remove(group, key);
        }
        Some(entry.stored)
    }

    /// Hides a message that was delivered until a time, wherever it was.
    fn hide(&mut self, key: Key, until: Duration, changed: bool) {
        let entry = self.entries.get_mut(&key).expect("the caller has seen it");
        match std::mem::replace(&mut entry.place, Place::InFlight { until, changed }) {
            Place::InFlight { until: earlier, .. } => {
                self.wakes.remove(&(earlier, key));
            }
            Place::Delayed { until: earlier } => {
                self.wakes.remove(&(earlier, key));
                self.delayed -= 1;
                self.in_flight += 1;
            }
            Place::Waiting { position } => {
                self.in_flight += 1;
                match (&mut self.available, &entry.stored.message.group) {
                    (Available::Standard { line, .. }, _) => drop(line.remove(&position)),
                    (Available::Fifo(groups), Some(group)) => groups.set_available(group, key, false),
                    (Available::Fifo(_), None) => {}
                }
            }
        }
        self.wakes.insert((until, key));
    }

    /// Lets a hidden message be received; its wake must be off the list already.
    fn show(&mut self, key: Key) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        match entry.place {
            Place::Delayed { .. } => self.delayed -= 1,
            Place::InFlight { .. } => self.in_flight -= 1,
            Place::Waiting { .. } => return,
        }
        let position = self.available.show(entry.stored.message.group.as_ref(), key);
        entry.place = Place::Waiting { position };
    }
}

impl Entry {
    fn delivered(&self, key: Key) -> Delivery {
        Delivery { stored: self.stored.clone(), key, number: self.delivery, received: self.received }
    }
}

impl Available {
    /// Takes up to `max` messages off the line.
    fn take(&mut self, max: usize) -> Vec<Key> {
        match self {
            Self::Standard { line, .. } => {
                std::iter::from_fn(|| line.pop_first()).map(|(_, key)| key).take(max).collect()
            }
            Self::Fifo(groups) => groups.take(max),
        }
    }

    fn has_some(&self) -> bool {
        match self {
            Self::Standard { line, .. } => !line.is_empty(),
            Self::Fifo(groups) => groups.has_available(),
        }
    }

    /// Lets a message stand in line, at its end, and returns its position there.
    fn show(&mut self, group: Option<&Arc<str>>, key: Key) -> u64 {
        match self {
            Self::Standard { line, next_position } => {
                let position = *next_position;
                *next_position += 1;
                line.insert(position, key);
                position
            }
            Self::Fifo(groups) => {
                if let Some(group) = group {
                    groups.set_available(group, key, true);
                }
                0
            }
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
