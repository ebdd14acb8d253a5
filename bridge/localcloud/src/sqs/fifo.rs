//! What sets FIFO queues apart: the order and lock of message groups, and deduplication.
//!
//! A group can be received from as long as its first message can: a message that is in flight or delayed holds back all
//! messages of its group behind it, and none before it. Groups stand in line; one that becomes available joins at the
//! end. No time and no message content here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::limits::DEDUPLICATION_INTERVAL;
use super::queue::Key;

/// The messages of a FIFO queue by group, and the line of groups that can be received from.
#[derive(Default)]
pub(super) struct Groups {
    by_name: BTreeMap<Arc<str>, Group>,
    line: BTreeMap<u64, Arc<str>>,
    next_position: u64,
}

#[derive(Default)]
struct Group {
    /// In order of arrival; the value says whether the message can be received.
    messages: BTreeMap<Key, bool>,
    /// Its place in the line, if it stands there.
    position: Option<u64>,
}

impl Groups {
    pub(super) fn add(&mut self, name: &Arc<str>, key: Key, available: bool) {
        self.by_name.entry(Arc::clone(name)).or_default().messages.insert(key, available);
        self.line_up(name);
    }

    pub(super) fn set_available(&mut self, name: &Arc<str>, key: Key, available: bool) {
        if let Some(place) = self.by_name.get_mut(name).and_then(|group| group.messages.get_mut(&key)) {
            *place = available;
        }
        self.line_up(name);
    }

    pub(super) fn remove(&mut self, name: &Arc<str>, key: Key) {
        if let Some(group) = self.by_name.get_mut(name) {
            group.messages.remove(&key);
        }
        self.line_up(name);
    }

    /// Takes up to `max` messages, group after group, each from its first message on.
    pub(super) fn take(&mut self, max: usize) -> Vec<Key> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some((_, name)) = self.line.first_key_value() else { break };
            let name = Arc::clone(name);
            let group = self.by_name.get_mut(&name).expect("a group in the line has messages");
            let available = group.messages.iter_mut().take_while(|(_, available)| **available);
            for (key, available) in available.take(max - taken.len()) {
                *available = false;
                taken.push(*key);
            }
            self.line_up(&name);
        }
        taken
    }

    pub(super) fn has_available(&self) -> bool {
        !self.line.is_empty()
    }

    /// Puts a group where it belongs after a change: in the line, out of it, or nowhere.
    fn line_up(&mut self, name: &Arc<str>) {
        let Some(group) = self.by_name.get_mut(name) else { return };
        let first = group.messages.first_key_value().map(|(_, available)| *available);
        match (first == Some(true), group.position) {
            (true, None) => {
                group.position = Some(self.next_position);
                self.line.insert(self.next_position, Arc::clone(name));
                self.next_position += 1;
            }
            (false, Some(position)) => {
                group.position = None;
                self.line.remove(&position);
            }
            (true, Some(_)) | (false, None) => {}
        }
        if first.is_none() {
            self.by_name.remove(name);
        }
    }
}

/// What was sent within the deduplication interval.
#[derive(Default)]
pub(super) struct Deduplication {
    sent: BTreeMap<DeduplicationKey, Sent>,
    order: VecDeque<(Duration, DeduplicationKey)>,
}

/// A deduplication id, and its group where ids count within their group only.
pub(super) type DeduplicationKey = (Option<Arc<str>>, Arc<str>);

/// What the first of two messages with the same deduplication id was given; the second's sender is told the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) id: Uuid,
    pub(super) sequence: u128,
}

impl Deduplication {
    pub(super) fn find(&mut self, now: Duration, key: &DeduplicationKey) -> Option<Sent> {
        self.forget_old(now);
        self.sent.get(key).copied()
    }

    pub(super) fn remember(&mut self, now: Duration, key: DeduplicationKey, sent: Sent) {
        self.order.push_back((now, key.clone()));
        self.sent.insert(key, sent);
    }

    pub(super) fn forget_old(&mut self, now: Duration) {
        while let Some((at, _)) = self.order.front()
            && *at + DEDUPLICATION_INTERVAL <= now
        {
            let (_, key) = self.order.pop_front().expect("the front was just seen");
            self.sent.remove(&key);
        }
        if self.order.is_empty() {
            self.order.shrink_to_fit();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    fn groups(messages: &[(&str, u64)]) -> Groups {
        let mut groups = Groups::default();
        for (group, key) in messages {
            groups.add(&name(group), Key(*key), true);
        }
        groups
    }

    fn keys(taken: Vec<Key>) -> Vec<u64> {
        taken.into_iter().map(|Key(key)| key).collect()
    }

    #[test]
    fn a_group_is_handed_out_whole_before_the_next() {
        let mut groups = groups(&[("a", 1), ("b", 2), ("a", 3), ("a", 4)]);
        assert_eq!(keys(groups.take(10)), [1, 3, 4, 2]);
        assert!(!groups.has_available());
    }

    #[test]
    fn a_message_in_flight_holds_back_those_behind_it_only() {
        let mut groups = groups(&[("a", 1), ("a", 2), ("a", 3), ("b", 4)]);
        assert_eq!(keys(groups.take(2)), [1, 2]);
        assert_eq!(keys(groups.take(10)), [4], "the rest of group a waits");
        groups.set_available(&name("a"), Key(1), true);
        assert_eq!(keys(groups.take(10)), [1], "the second is still in flight");
        groups.remove(&name("a"), Key(1));
        assert_eq!(keys(groups.take(10)), [0; 0]);
        groups.remove(&name("a"), Key(2));
        assert_eq!(keys(groups.take(10)), [3]);
    }

    #[test]
    fn a_group_that_becomes_available_joins_the_end_of_the_line() {
        let mut groups = groups(&[("a", 1), ("b", 2), ("c", 3), ("b", 4)]);
        assert_eq!(keys(groups.take(2)), [1, 2]);
        groups.set_available(&name("a"), Key(1), true);
        groups.set_available(&name("b"), Key(2), true);
        assert_eq!(keys(groups.take(10)), [3, 1, 2, 4]);
    }

    #[test]
    fn groups_without_messages_take_no_memory() {
        let mut groups = groups(&[("a", 1), ("b", 2)]);
        groups.take(1);
        groups.remove(&name("a"), Key(1));
        groups.remove(&name("b"), Key(2));
        assert!(groups.by_name.is_empty() && groups.line.is_empty());
    }

    #[test]
    fn a_deduplication_id_is_remembered_for_five_minutes() {
        let mut deduplication = Deduplication::default();
        let key: DeduplicationKey = (None, name("x"));
        let sent = Sent { id: Uuid::nil(), sequence: 1 };
        deduplication.remember(Duration::ZERO, key.clone(), sent);
        assert_eq!(deduplication.find(Duration::from_secs(299), &key), Some(sent));
        assert_eq!(deduplication.find(Duration::from_secs(299), &(Some(name("g")), name("x"))), None);
        assert_eq!(deduplication.find(Duration::from_secs(300), &key), None);
        assert!(deduplication.sent.is_empty() && deduplication.order.is_empty());
    }
}
