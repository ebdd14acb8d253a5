//! Which messages of a source a replay is about.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::event::{Key, Op, SiteId};

use super::subject::Subject;

/// Which messages a replay is about: those that pass every filter that is set, and any one value of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Codes of reasons.
    pub reasons: Vec<String>,
    /// Keys of entities.
    pub keys: Vec<Key>,
    /// Names of events.
    pub event_ids: Vec<Uuid>,
    /// Sites that accepted the writes.
    pub origins: Vec<SiteId>,
    /// What was done.
    pub ops: Vec<Op>,
    /// From this instant on: the event's own timestamp, or when the message was first seen if it is no event.
    pub since: Option<DateTime<Utc>>,
    /// Before this instant, of the same time.
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    /// Whether a message that lies there for `reason` may pass. Known before its body is looked at.
    pub fn admits_reason(&self, reason: &str) -> bool {
        self.reasons.is_empty() || self.reasons.iter().any(|wanted| wanted == reason)
    }

    /// Whether a message passes. One that is no event has no key, name, origin or operation, and so passes no filter by
    /// these.
    pub fn admits(&self, subject: &Subject) -> bool {
        let event = subject.event.as_ref().ok();
        let time = event.map(|event| event.timestamp.utc).or(subject.first_seen);
        self.admits_reason(&subject.reason)
            && any(&self.keys, event.map(|event| &event.key))
            && any(&self.event_ids, event.map(|event| &event.id))
            && any(&self.origins, event.map(|event| &event.origin))
            && any(&self.ops, event.map(|event| &event.op))
            && self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time.is_some_and(|time| time < until))
    }
}

fn any<T: PartialEq>(wanted: &[T], given: Option<&T>) -> bool {
    wanted.is_empty() || given.is_some_and(|given| wanted.contains(given))
}
