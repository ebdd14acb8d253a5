//! What a store gave back, made a record again or refused.
//!
//! Both stores hold the same attributes, each in its own form; what must be true of them is checked here once. Whatever
//! fails was not written by the bridge, or by a later version of it, and is never guessed at.

use std::{fmt, time::Duration};

use bridge_core::{
    event::{Key, Op, Payload},
    failure::{FailureKind, PortError},
    record::Record,
    version::Version,
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::delivery::seconds_up;

/// The attributes of a stored record.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) pk: &'a str,
    pub(crate) version: &'a str,
    pub(crate) event_id: &'a str,
    pub(crate) source_region: &'a str,
    pub(crate) timestamp: &'a str,
    pub(crate) op_type: &'a str,
    pub(crate) deleted: bool,
    pub(crate) payload: Option<Payload>,
    pub(crate) expires_after: Option<Duration>,
    pub(crate) applied_at: &'a str,
    pub(crate) applied_by: &'a str,
}

/// Why an item is not a record: the attribute, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored item is not a record of the bridge: attribute {attribute}: {what}")]
pub struct NotARecord {
    /// The attribute.
    pub attribute: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl NotARecord {
    pub(crate) fn new(attribute: &'static str, what: &(impl fmt::Display + ?Sized)) -> Self {
        Self { attribute, what: what.to_string() }
    }

    /// As the port says it. Nobody can do anything about the item but an operator, who needs its key.
    pub(crate) fn into_port_error(self, backend: impl Into<String>, operation: &'static str, key: &Key) -> PortError {
        PortError::new(backend, operation, FailureKind::Rejected { detail: format!("key {key:?}: {self}") })
    }

    /// As the port says it of a write that this item is in the way of.
    pub(crate) fn refuse(self, backend: impl Into<String>, operation: &'static str, key: &Key) -> PortError {
        let detail = format!("key {key:?}: {self}; it is never written over: move it elsewhere, or delete it");
        PortError::new(backend, operation, FailureKind::Rejected { detail })
    }
}

/// The version of what is there instead of `record`: the same one or a later one, or a refusal makes no sense.
pub(crate) fn not_older(held: Record, record: &Record) -> Result<Version, NotARecord> {
    if held.version >= record.version {
        return Ok(held.version);
    }
    Err(NotARecord::new("version", &format!("{} is older, and was not replaced", held.version)))
}

impl TryFrom<Stored<'_>> for Record {
    type Error = NotARecord;

    fn try_from(stored: Stored<'_>) -> Result<Self, NotARecord> {
        let op: Op = stored.op_type.parse().map_err(|what| NotARecord::new("op_type", &what))?;
        let deleted = op == Op::Delete;
        if stored.deleted != deleted {
            return Err(NotARecord::new("deleted", &format!("{} does not go with {}", stored.deleted, op.as_str())));
        }
        if stored.payload.is_none() != deleted {
            let what = if deleted { "a tombstone has none" } else { "missing" };
            return Err(NotARecord::new("payload", what));
        }
        Ok(Self {
            key: stored.pk.parse().map_err(|what| NotARecord::new("pk", &what))?,
            version: stored.version.parse().map_err(|what| NotARecord::new("version", &what))?,
            event_id: event_id(stored.event_id)?,
            source_region: stored.source_region.parse().map_err(|what| NotARecord::new("source_region", &what))?,
            timestamp: stored.timestamp.to_owned(),
            op,
            payload: stored.payload,
            expires_after: stored.expires_after,
            applied_at: stored.applied_at.to_owned(),
            applied_by: stored.applied_by.parse().map_err(|what| NotARecord::new("applied_by", &what))?,
        })
    }
}

/// In the one form in which records have it.
fn event_id(text: &str) -> Result<Uuid, NotARecord> {
    let parsed: Uuid = text.parse().map_err(|what| NotARecord::new("event_id", &what))?;
    let own = parsed.hyphenated().to_string() == text;
    own.then_some(parsed).ok_or_else(|| NotARecord::new("event_id", "not in hyphenated form and lower case"))
}

/// Seconds that a tombstone lives on from its writing: whole, and at least one, as both stores count them.
pub(crate) fn life_seconds(life: Duration) -> u64 {
    seconds_up(life).max(1)
}

/// The second in which a record was written, rounded up, in seconds since 1970.
pub(crate) fn applied_second(applied_at: &str) -> Result<u64, NotARecord> {
    let at: DateTime<Utc> =
        applied_at.parse().map_err(|error| NotARecord::new("applied_at", &format!("{applied_at:?}: {error}")))?;
    let seconds = at.timestamp() + i64::from(at.timestamp_subsec_nanos() > 0);
    u64::try_from(seconds).map_err(|_| NotARecord::new("applied_at", &format!("{applied_at:?} is before 1970")))
}

#[cfg(test)]
pub(crate) mod strategies {
    //! Records of every shape, for the round trips of both item forms.

    use chrono::DateTime;
    use proptest::{collection, prelude::*, strategy::ValueTree, test_runner::TestRunner};
    use serde_json::{Map, Value, json};
    use uuid::Uuid;

    use super::*;
    use bridge_core::{
        event::{Change, SiteId, Timestamp},
        limits,
    };

    fn site() -> impl Strategy<Value = SiteId> {
        prop::sample::select(vec!["aws:us-east-1", "azure:westeurope"]).prop_map(|site| site.parse().unwrap())
    }

    fn number() -> impl Strategy<Value = Value> {
        let double = any::<f64>().prop_filter("portable", |d| limits::NUMBER_MAGNITUDE.contains(&d.abs()));
        prop_oneof![(-(1_i64 << 53)..=1 << 53).prop_map(|i| json!(i)), double.prop_map(|d| json!(d))]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            number(),
            any::<String>().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                collection::btree_map("[^\u{0}]{1,6}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Any record.
    pub(crate) fn record() -> impl Strategy<Value = Record> {
        let payload = collection::btree_map("[^\u{0}]{1,6}", value(), 0..5);
        let key = any::<String>().prop_filter_map("a key", |text| text.parse::<Key>().ok());
        let op = prop::sample::select(vec![Op::Create, Op::Update, Op::Upsert, Op::Delete]);
        let nanos = 0..4_102_444_800_000_000_000_i64;
        (key, op, payload, site(), site(), any::<u128>(), nanos, 1..10_000_000_u64).prop_map(
            |(key, op, payload, origin, site, id, nanos, life)| {
                let utc = DateTime::from_timestamp_nanos(nanos);
                let change = Change {
                    id: Uuid::from_u128(id),
                    origin,
                    op,
                    key,
                    payload: payload.into_iter().collect::<Map<_, _>>().into(),
                    timestamp: Timestamp { utc, text: utc.to_rfc3339() },
                    trace: None,
                };
                Record::new(&change.into(), &site, utc, Duration::from_secs(life))
            },
        )
    }

    /// The first record for which `wanted` holds; always the same one.
    pub(crate) fn any_record(wanted: fn(&Record) -> bool) -> Record {
        let mut runner = TestRunner::deterministic();
        record().prop_filter("wanted", wanted).new_tree(&mut runner).expect("there are such records").current()
    }

    /// All that a record says, for comparing.
    pub(crate) fn all(record: &Record) -> String {
        format!("{record:?}")
    }
}
