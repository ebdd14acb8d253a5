//! All queues of one account and region, and what goes between them: names, addresses, dead letters.
//!
//! Like a queue it knows no clock and no socket. One lock around it is enough: each call is short, and moving a message
//! from one queue to another must be seen whole or not at all.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::fifo::{Deduplication, DeduplicationKey, Sent};
use super::limits;
use super::message::{Message, Stored};
use super::move_task::Task;
use super::protocol::{Code, SqsError};
use super::queue::{Counts, Now, Queue, Take, Taken};
use super::redrive::Redrive;
use super::settings::Settings;

/// FIFO queues number their messages with 20 digits, in steps: increasing, but not consecutive, as the service's
/// numbers are.
const SEQUENCE_START: u128 = 18_850_000_000_000_000_000;
const SEQUENCE_STEP: u128 = 256;

/// Where the queues are, for addresses and ARNs.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) endpoint: String,
    pub(super) region: String,
    pub(super) account: String,
}

impl Place {
    pub(super) fn url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.endpoint, self.account)
    }

    pub(super) fn arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", self.region, self.account)
    }

    /// The name in an ARN of this account and region.
    fn name_in_arn<'a>(&self, arn: &'a str) -> Option<&'a str> {
        let name = arn.strip_prefix("arn:aws:sqs:")?.strip_prefix(self.region.as_str())?.strip_prefix(':')?;
        name.strip_prefix(self.account.as_str())?.strip_prefix(':')
    }
}

/// One queue with all that surrounds its messages.
pub(super) struct Slot {
    /// Tells this queue's receipts from those of an earlier queue of the same name.
    pub(super) id: u64,
    pub(super) settings: Settings,
    pub(super) queue: Queue,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) created_ms: u64,
    pub(super) modified_ms: u64,
    /// Wakes one receiver at a time; a receiver that leaves messages behind wakes the next.
    pub(super) arrivals: Arc<Notify>,
    pub(super) tasks: VecDeque<Task>,
    deduplication: Deduplication,
    purged: Option<Duration>,
}

/// What a sender is told.
pub(super) struct Accepted {
    pub(super) sent: Sent,
    pub(super) fifo: bool,
}

pub(super) struct Registry {
    pub(super) place: Place,
    queues: BTreeMap<String, Slot>,
    /// Names of queues that were deleted, and when.
    deleted: BTreeMap<String, Duration>,
    next_id: u64,
    sequence: u128,
    /// Messages that senders brought since the start.
    sent: u64,
    alarm: Alarm,
}

/// When the timekeeper looks again, and how to make it look earlier.
///
/// One task watches the clock for all queues and wakes a receiver when a hidden message comes back. If each receiver
/// kept its own watch, one that fell asleep before a lease began would miss its end.
struct Alarm {
    set_for: Option<Duration>,
    moved: Arc<Notify>,
}

impl Registry {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            queues: BTreeMap::new(),
            deleted: BTreeMap::new(),
            next_id: 1,
            sequence: SEQUENCE_START,
            sent: 0,
            alarm: Alarm { set_for: None, moved: Arc::default() },
        }
    }

    /// Creates a queue, or finds that it is there already and as wanted; returns its address.
    pub(super) fn create(
        &mut self,
        now: Now,
        name: &str,
        attributes: &BTreeMap<String, String>,
        tags: BTreeMap<String, String>,
    ) -> Result<String, SqsError> {
        let settings = Settings::create(name, attributes)?;
        let url = self.place.url(name);
        if let Some(existing) = self.queues.get(name) {
            return match existing.settings.difference(&settings, attributes) {
                None => Ok(url),
                Some(attribute) => Err(SqsError::new(
                    Code::QueueNameExists,
                    format!(
                        "A queue already exists with the same name and a different value for attribute {attribute}"
                    ),
                )),
            };
        }
        self.deleted.retain(|_, deleted| *deleted + limits::QUEUE_COOL_DOWN > now.elapsed);
        if self.deleted.contains_key(name) {
            let message =
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
            return Err(SqsError::new(Code::QueueDeletedRecently, message));
        }
        self.check_redrive(name, &settings)?;
        let slot = Slot {
            id: self.next_id,
            queue: Queue::new(settings.fifo.is_some(), settings.retention),
            settings,
            tags,
            created_ms: now.wall_ms,
            modified_ms: now.wall_ms,
            arrivals: Arc::default(),
            tasks: VecDeque::new(),
            deduplication: Deduplication::default(),
            purged: None,
        };
        self.next_id += 1;
        self.queues.insert(name.to_owned(), slot);
        Ok(url)
    }

    pub(super) fn change(
        &mut self,
        now: Now,
        url: &str,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), SqsError> {
        let name = self.resolve(url)?;
        let mut settings = self.queues[&name].settings.clone();
        settings.change(attributes)?;
        if attributes.contains_key("RedrivePolicy") {
            self.check_redrive(&name, &settings)?;
        }
        let slot = self.queues.get_mut(&name).expect("the name was just resolved");
        slot.queue.retention = settings.retention;
        slot.settings = settings;
        slot.modified_ms = now.wall_ms;
        Ok(())
    }

    /// A dead-letter queue must be there, be of the same type, and allow it.
    fn check_redrive(&self, name: &str, settings: &Settings) -> Result<(), SqsError> {
        let Some(redrive) = &settings.redrive else { return Ok(()) };
        let refused = |reason: &str| Err(SqsError::invalid("RedrivePolicy", &redrive.target_arn, reason));
        let Some(target) = self.by_arn(&redrive.target_arn) else {
            return refused("Dead letter target does not exist.");
        };
        let (target_settings, source_arn) = (&self.queues[target].settings, self.place.arn(name));
        if target_settings.fifo.is_some() != settings.fifo.is_some() {
            return refused("Dead-letter queue must be same type of queue as the source.");
        }
        if target_settings.redrive_allow.as_ref().is_some_and(|allow| !allow.allows(&source_arn)) {
            return refused("The dead-letter queue's redrive allow policy does not permit this source queue.");
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, now: Duration, url: &str) -> Result<(), SqsError> {
        let name = self.resolve(url)?;
        if let Some(slot) = self.queues.remove(&name) {
            // Whoever waits for its messages learns that it is gone.
            slot.arrivals.notify_waiters();
        }
        self.deleted.insert(name, now);
        Ok(())
    }

    pub(super) fn purge(&mut self, now: Duration, url: &str) -> Result<(), SqsError> {
        let name = self.resolve(url)?;
        let slot = self.queues.get_mut(&name).expect("the name was just resolved");
        if slot.purged.is_some_and(|purged| purged + limits::QUEUE_COOL_DOWN > now) {
            let message = format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds.");
            return Err(SqsError::new(Code::PurgeQueueInProgress, message));
        }
        slot.purged = Some(now);
        slot.queue.purge();
        slot.deduplication.clear();
        Ok(())
    }

    /// Takes a message in, unless a FIFO queue has seen its deduplication id; the sender is told the same either way.
    pub(super) fn send(
        &mut self,
        now: Now,
        url: &str,
        mut message: Message,
        delay: Option<Duration>,
    ) -> Result<Accepted, SqsError> {
        let sequence = self.sequence;
        let slot = self.slot(url)?;
        let mut sent = Sent { id: message.id, sequence };
        if let Some(fifo) = &slot.settings.fifo {
            let group = message.group.clone().filter(|_| fifo.deduplication_per_group);
            let id = message.deduplication.clone().expect("a message for a FIFO queue was checked for its id");
            let key: DeduplicationKey = (group, id);
            if let Some(first) = slot.deduplication.find(now.elapsed, &key) {
                return Ok(Accepted { sent: first, fifo: true });
            }
            message.sequence = Some(sequence);
            slot.deduplication.remember(now.elapsed, key, sent);
            sent.sequence = sequence;
        }
        let fifo = slot.settings.fifo.is_some();
        let delay = delay.unwrap_or(slot.settings.delay);
        slot.queue.push(now.elapsed, Stored::new(message, now.elapsed), delay);
        slot.arrivals.notify_one();
        let wake = slot.queue.next_wake();
        self.alarm.at_latest(wake);
        self.sent += 1;
        self.sequence += if fifo { SEQUENCE_STEP } else { 0 };
        Ok(Accepted { sent, fifo })
    }

    /// Receives from a queue, and moves to its dead-letter queue what was received too often.
    pub(super) fn receive(
        &mut self,
        now: Now,
        url: &str,
        max: usize,
        visibility: Option<Duration>,
        attempt: Option<&str>,
    ) -> Result<Taken, SqsError> {
        let name = self.resolve(url)?;
        let dead_letters_to = self.dead_letter_queue(&name);
        let slot = self.queues.get_mut(&name).expect("the name was just resolved");
        let take = Take {
            max,
            visibility: visibility.unwrap_or(slot.settings.visibility),
            max_receive_count: dead_letters_to.as_ref().map(|(_, redrive)| redrive.max_receive_count),
            attempt: attempt.filter(|_| slot.settings.fifo.is_some()),
        };
        let mut taken = slot.queue.receive(now, take);
        // Whoever leaves messages behind wakes the next receiver. One that got nothing (too many are in flight) must
        // not: it would wake itself for ever.
        let got_some = !taken.deliveries.is_empty() || !taken.dead_letters.is_empty();
        if got_some && slot.queue.has_available() {
            slot.arrivals.notify_one();
        }
        self.alarm.at_latest(slot.queue.next_wake());
        if let Some((target, _)) = dead_letters_to.filter(|_| !taken.dead_letters.is_empty()) {
            let source_arn: Arc<str> = self.place.arn(&name).into();
            let target = self.queues.get_mut(&target).expect("the target was just found");
            for letter in taken.dead_letters.drain(..) {
                target.bury(now.elapsed, letter, &source_arn);
            }
        }
        Ok(taken)
    }

    /// The queue that takes a queue's dead letters, if it exists. A queue that names itself has none: its messages
    /// would go round within one call.
    fn dead_letter_queue(&self, name: &str) -> Option<(String, Redrive)> {
        let redrive = self.queues.get(name)?.settings.redrive.clone()?;
        let target = self.by_arn(&redrive.target_arn).filter(|target| *target != name)?.to_owned();
        Some((target, redrive))
    }

    /// Names of the queues whose dead letters go to this one.
    pub(super) fn sources_of(&self, arn: &str) -> Vec<&str> {
        let is_source = |slot: &Slot| slot.settings.redrive.as_ref().is_some_and(|redrive| redrive.target_arn == arn);
        self.queues.iter().filter(|(_, slot)| is_source(slot)).map(|(name, _)| name.as_str()).collect()
    }

    pub(super) fn slot(&mut self, url: &str) -> Result<&mut Slot, SqsError> {
        let name = self.resolve(url)?;
        Ok(self.queues.get_mut(&name).expect("the name was just resolved"))
    }

    pub(super) fn slot_named(&mut self, name: &str) -> Option<&mut Slot> {
        self.queues.get_mut(name)
    }

    /// The names of all queues that start so, in order.
    pub(super) fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let bounds = (Bound::Included(prefix), Bound::Unbounded);
        let from = self.queues.range::<str, _>(bounds).map(|(name, _)| name.as_str());
        from.take_while(move |name| name.starts_with(prefix))
    }

    /// The name behind an address, as `http://host/account/name` or as the bare name, which the service takes too.
    pub(super) fn resolve(&self, url: &str) -> Result<String, SqsError> {
        let mut parts = url.rsplit('/');
        let name = parts.next().unwrap_or_default();
        let account = parts.next();
        if name.is_empty() {
            let message = format!("The address {url} is not valid for this endpoint.");
            return Err(SqsError::new(Code::InvalidAddress, message));
        }
        let here = account.is_none_or(|account| account == self.place.account);
        if here && self.queues.contains_key(name) { Ok(name.to_owned()) } else { Err(no_queue()) }
    }

    /// The name of the queue that an ARN stands for, if it exists here.
    pub(super) fn by_arn(&self, arn: &str) -> Option<&str> {
        let (name, _) = self.queues.get_key_value(self.place.name_in_arn(arn)?)?;
        Some(name)
    }

    pub(super) fn counts(&mut self, now: Duration, name: &str) -> Option<Counts> {
        let slot = self.queues.get_mut(name)?;
        slot.queue.advance(now);
        Some(slot.queue.counts())
    }

    /// The messages of all queues, whether visible, in flight or delayed.
    pub(super) fn messages(&mut self, now: Duration) -> usize {
        let of_queue = |slot: &mut Slot| {
            slot.queue.advance(now);
            slot.queue.counts().total()
        };
        self.queues.values_mut().map(of_queue).sum()
    }

    /// The messages that all queues took in from senders, since the start.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Deletes a message, or changes for how long it stays hidden.
    pub(super) fn settle(
        &mut self,
        now: Duration,
        url: &str,
        change: impl FnOnce(&mut Slot) -> Result<(), SqsError>,
    ) -> Result<(), SqsError> {
        let slot = self.slot(url)?;
        change(slot)?;
        slot.queue.advance(now);
        // This may have made room, freed a message group, or shown a message.
        if slot.queue.has_available() {
            slot.arrivals.notify_one();
        }
        let wake = slot.queue.next_wake();
        self.alarm.at_latest(wake);
        Ok(())
    }

    /// Lets time pass in all queues, wakes receivers of those that have messages, and says when to call again.
    pub(super) fn advance(&mut self, now: Duration) -> Option<Duration> {
        for slot in self.queues.values_mut() {
            slot.queue.advance(now);
            slot.deduplication.forget_old(now);
            if slot.queue.has_available() {
                slot.arrivals.notify_one();
            }
        }
        self.deleted.retain(|_, deleted| *deleted + limits::QUEUE_COOL_DOWN > now);
        self.alarm.set_for = self.queues.values().filter_map(|slot| slot.queue.next_wake()).min();
        self.alarm.set_for
    }

    /// Tells that [`Self::advance`] is due earlier than it last said.
    pub(super) fn alarm_moved(&self) -> Arc<Notify> {
        Arc::clone(&self.alarm.moved)
    }
}

impl Alarm {
    fn at_latest(&mut self, wake: Option<Duration>) {
        if let Some(wake) = wake
            && self.set_for.is_none_or(|set_for| wake < set_for)
        {
            self.set_for = Some(wake);
            self.moved.notify_one();
        }
    }
}

impl Slot {
    /// Takes in a dead letter.
    ///
    /// On FIFO queues its retention starts anew, and its own id becomes its deduplication id.
    ///
    /// # Source
    /// Developer guide, "Setting-up dead-letter queue retention" and "Configure a dead-letter queue redrive", read
    /// 2026-11.
    fn bury(&mut self, now: Duration, mut letter: Stored, source_arn: &Arc<str>) {
        letter.dead_letter_source = Some(Arc::clone(source_arn));
        if self.settings.fifo.is_some() {
            letter.enqueued = now;
            let mut message = Arc::unwrap_or_clone(letter.message);
            message.deduplication = Some(message.id.to_string().into());
            letter.message = Arc::new(message);
        }
        self.queue.push(now, letter, Duration::ZERO);
        self.arrivals.notify_one();
    }
}

/// # Source
/// As recorded from the service over the JSON protocol.
pub(super) fn no_queue() -> SqsError {
    SqsError::new(Code::QueueDoesNotExist, "The specified queue does not exist.")
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
