//! What a store holds of one key: the winning event, or the tombstone it left. Each adapter knows its own form of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    event::{Event, Key, Op, Payload, SiteId},
    settlement::rfc3339,
    version::Version,
};

/// What a store holds of one key (`schema/record.v1.schema.json`).
#[derive(Clone, Debug)]
pub struct Record {
    /// The entity.
    pub key: Key,
    /// The place of the winning event in the total order.
    pub version: Version,
    /// The winning event.
    pub event_id: Uuid,
    /// The site that accepted the winning write.
    pub source_region: SiteId,
    /// When the winning write happened, as its event has it.
    pub timestamp: String,
    /// What the winning event did.
    pub op: Op,
    /// The entity's whole state; none on a tombstone.
    pub payload: Option<Payload>,
    /// How long the store keeps the record from its writing on; tombstones only.
    pub expires_after: Option<Duration>,
    /// When the record was written: RFC 3339, UTC, milliseconds. Not part of equality.
    pub applied_at: String,
    /// The site whose worker wrote it. Not part of equality.
    pub applied_by: SiteId,
}

impl Record {
    /// The record that `event` leaves when the worker of `site` applies it at `now`.
    pub fn new(event: &Event, site: &SiteId, now: DateTime<Utc>, tombstone_life: Duration) -> Self {
        let deleted = event.op == Op::Delete;
        Self {
            key: event.key.clone(),
            version: event.version(),
            event_id: event.id,
            source_region: event.origin.clone(),
            timestamp: event.timestamp.text.clone(),
            op: event.op,
            payload: (!deleted).then(|| event.payload.clone()),
            expires_after: deleted.then_some(tombstone_life),
            applied_at: rfc3339(now),
            applied_by: site.clone(),
        }
    }

    /// Whether the record is a tombstone.
    pub fn deleted(&self) -> bool {
        self.op == Op::Delete
    }

    /// Whether two stores agree on the key: all that the winning event decided is equal.
    pub fn agrees_with(&self, other: &Self) -> bool {
        (&self.key, &self.version, self.op, &self.timestamp, &self.payload)
            == (&other.key, &other.version, other.op, &other.timestamp, &other.payload)
    }
}
