//! What a store holds of one key: the winning event, or the tombstone it left. Each adapter knows its own form of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    content::ContentDigest,
    event::{Change, Event, Key, Op, Payload, SiteId, Timestamp},
    property::rfc3339,
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
    /// How long the store keeps the record from [`applied_at`](Self::applied_at) on; tombstones only.
    pub expires_after: Option<Duration>,
    /// When the record was written: RFC 3339, UTC, milliseconds. Not part of equality.
    pub applied_at: String,
    /// The site whose worker wrote it. Not part of equality.
    pub applied_by: SiteId,
}

impl Record {
    /// The record that `event` leaves when the worker of `site` applies it at `now`.
    ///
    /// A tombstone ends after both its event's timestamp and its writing are `tombstone_life` ago. The worker's clock may be behind,
    /// and an older event is refused by its own timestamp.
    pub fn new(event: &Event, site: &SiteId, now: DateTime<Utc>, tombstone_life: Duration) -> Self {
        let deleted = event.op == Op::Delete;
        let ahead = (event.timestamp.utc - now).to_std().unwrap_or_default();
        Self {
            key: event.key.clone(),
            version: event.version().clone(),
            event_id: event.id,
            source_region: event.origin.clone(),
            timestamp: event.timestamp.text.clone(),
            op: event.op,
            payload: (!deleted).then(|| event.payload.clone()),
            expires_after: deleted.then(|| tombstone_life.saturating_add(ahead)),
            applied_at: rfc3339(now),
            applied_by: site.clone(),
        }
    }

    /// A record of the bridge's own, which the worker of `site` writes at `now` under a reserved key: `entry`, stamped `at`.
    pub fn own(site: &SiteId, key: Key, event_id: Uuid, at: DateTime<Utc>, now: DateTime<Utc>, entry: &Value) -> Self {
        let payload = entry.to_string().parse().expect("an object without a member that occurs twice");
        let timestamp = Timestamp { utc: at, text: rfc3339(at) };
        let change =
            Change { id: event_id, origin: site.clone(), op: Op::Upsert, key, payload, timestamp, trace: None };
        // It is no tombstone, so no life is set.
        Self::new(&change.into(), site, now, Duration::ZERO)
    }

    /// Whether the record is a tombstone.
    pub fn deleted(&self) -> bool {
        self.op == Op::Delete
    }

    /// The digest of what the record says, which its version's must be.
    pub fn content(&self) -> ContentDigest {
        ContentDigest::of(self.op, &self.timestamp, &self.key, self.payload.as_ref())
    }

    /// Whether two stores agree on the key: all that the winning event decided is equal. Records of equal versions agree,
    /// as long as nobody but the bridge has written them.
    pub fn agrees_with(&self, other: &Self) -> bool {
        (&self.key, &self.version, self.op, &self.timestamp, &self.payload)
            == (&other.key, &other.version, other.op, &other.timestamp, &other.payload)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::envelope;

    /// One name, and few contents in many spellings: two in three pairs differ, and one does not.
    fn body() -> impl Strategy<Value = String> {
        let value = prop::sample::select(vec!["1", "1.0", "10e-1", "0", "-0.0", "\"1\"", "true", "[1]", "[1.0]", "{}"]);
        let op = prop::sample::select(vec!["create", "update", "upsert", "delete"]);
        let second = prop::sample::select(vec!["03", "03.0", "04"]);
        (value, op, second, any::<bool>(), any::<bool>()).prop_map(|(value, op, second, turned, cloud_event)| {
            let payload = if turned {
                format!(r#"{{"b":[{value}],"a":{value},"id":"k"}}"#)
            } else {
                format!(r#"{{"id":"k","a":{value},"b":[{value}]}}"#)
            };
            let (id, time) = ("01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11", format!("2026-11-21T01:02:{second}Z"));
            if cloud_event {
                return format!(
                    r#"{{"specversion":"1.0","id":"{id}","source":"aws:us-east-1","type":"{op}","time":"{time}","data":{payload}}}"#
                );
            }
            format!(
                r#"{{"payload":{payload},"event_id":"{id}","source_region":"aws:us-east-1","op_type":"{op}","timestamp":"{time}"}}"#
            )
        })
    }

    fn record(body: &str, site: &str) -> Record {
        let event = envelope::decode(body.as_bytes(), "/id").unwrap();
        Record::new(&event, &site.parse().unwrap(), DateTime::UNIX_EPOCH, Duration::from_secs(60))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever two events say: either one of them wins everywhere, or they leave the same record everywhere.
        #[test]
        fn records_of_equal_versions_agree_and_others_do_not(one in body(), other in body()) {
            let [one, other] = [record(&one, "aws:us-east-1"), record(&other, "azure:westeurope")];
            prop_assert_eq!(one.version == other.version, one.agrees_with(&other), "{:?} {:?}", one, other);
            prop_assert_eq!(one.content(), one.version.content());
        }
    }

    #[test]
    fn an_upsert_and_a_delete_of_one_event_are_two_versions() {
        let body = |op: &str, payload: Value| {
            let event = json!({
                "event_id": "01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11", "source_region": "aws:us-east-1",
                "op_type": op, "payload": payload, "timestamp": "2026-11-21T01:02:03Z",
            });
            record(&event.to_string(), "aws:us-east-1").version
        };
        let versions = [
            body("upsert", json!({"id": "k", "total": 1})),
            body("upsert", json!({"id": "k", "total": 2})),
            body("delete", json!({"id": "k"})),
        ];
        assert!(versions[0] != versions[1] && versions[1] != versions[2] && versions[0] != versions[2]);
        assert!(versions.iter().all(|version| version.same_event(&versions[0])));
    }
}
