//! The unit of replication: one change of one key, as its origin accepted it.

use std::ops::Deref;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{content::ContentDigest, trace::Carried, version::Version};

pub use crate::{
    key::{Key, KeyError},
    op::Op,
    payload::Payload,
    site::SiteId,
};

/// One change of one key. Its wire form is read by [`envelope`](crate::envelope).
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Names the change.
    pub id: Uuid,
    /// The site that accepted the write.
    pub origin: SiteId,
    /// What was done.
    pub op: Op,
    /// The entity.
    pub key: Key,
    /// The entity's whole new state; of a delete only the key in it counts.
    pub payload: Payload,
    /// When the write happened at its origin.
    pub timestamp: Timestamp,
    /// W3C trace context of the write, if the producer sent one.
    pub trace: Option<Carried>,
}

/// A change and its place in the total order of all changes, which is computed once.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    change: Change,
    version: Version,
}

impl Event {
    /// The place of this change in the total order of all changes.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The change alone, to make another of it.
    pub fn into_change(self) -> Change {
        self.change
    }
}

impl From<Change> for Event {
    fn from(change: Change) -> Self {
        let payload = (change.op != Op::Delete).then_some(&change.payload);
        let content = ContentDigest::of(change.op, &change.timestamp.text, &change.key, payload);
        let version = Version::new(change.timestamp.utc, &change.origin, change.id, content);
        Self { change, version }
    }
}

impl Deref for Event {
    type Target = Change;

    fn deref(&self) -> &Change {
        &self.change
    }
}

/// When a write happened: the instant, and the text that its producer wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// The instant, to the nanosecond.
    pub utc: DateTime<Utc>,
    /// As it stands in the event, kept for the record.
    pub text: String,
}
