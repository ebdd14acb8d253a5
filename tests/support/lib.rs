//! What the tests share: builders that read like the sentence they stand for, and the local cloud.

#[cfg(feature = "clouds")]
pub mod cloud;
pub mod over;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use bridge_core::{
    event::{Change, Event, Op, Payload, SiteId, Timestamp},
    limits,
    port::{Message, Properties},
    record::Record,
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

/// The site on AWS.
pub fn aws() -> SiteId {
    "aws:us-east-1".parse().expect("a site")
}

/// The site on Azure.
pub fn azure() -> SiteId {
    "azure:westeurope".parse().expect("a site")
}

/// So many seconds after the tests' own midnight.
pub fn at(seconds: i64) -> DateTime<Utc> {
    let midnight: DateTime<Utc> = "2026-11-21T00:00:00Z".parse().expect("a time");
    midnight + TimeDelta::seconds(seconds)
}

/// An upsert of `key` on AWS. The same key and time make the same event.
pub fn event(key: &str, at: DateTime<Utc>) -> Event {
    let mut name = DefaultHasher::new();
    (key, at).hash(&mut name);
    Event::from(Change {
        id: Uuid::from_u128(name.finish().into()),
        origin: aws(),
        op: Op::Upsert,
        key: key.parse().expect("a key"),
        payload: payload(json!({"id": key, "second": at.timestamp()})),
        timestamp: Timestamp { utc: at, text: at.to_rfc3339_opts(SecondsFormat::Nanos, true) },
        trace: None,
    })
}

/// A delete of `key` on AWS.
pub fn delete(key: &str, at: DateTime<Utc>) -> Event {
    changed(&event(key, at), |change| change.op = Op::Delete)
}

/// The event that `of` is with something changed.
pub fn changed(of: &Event, change: impl FnOnce(&mut Change)) -> Event {
    let mut other = of.clone().into_change();
    change(&mut other);
    other.into()
}

/// A payload with these members.
pub fn payload(members: Value) -> Payload {
    match members {
        Value::Object(members) => members.into(),
        other => panic!("{other} is no object"),
    }
}

/// The record that `event` leaves when the worker on Azure applies it.
pub fn record(event: &Event) -> Record {
    Record::new(event, &azure(), at(0), limits::TOMBSTONE_LIFE)
}

/// A message with this body, under an id of its own.
pub fn message(body: impl Into<Vec<u8>>) -> Message {
    Message { id: Uuid::new_v4().to_string(), body: body.into().into(), properties: Properties::new() }
}

/// Properties of these names and values.
pub fn properties<const N: usize>(of: [(&str, &str); N]) -> Properties {
    of.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A name that no other test uses.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", Uuid::new_v4().simple())
}

/// That both hold the same state of the same key: all that the winning event decided.
///
/// # Panics
/// If not, with both.
#[track_caller]
pub fn assert_agree(left: Option<&Record>, right: Option<&Record>) {
    let agree = match (left, right) {
        (Some(left), Some(right)) => left.agrees_with(right),
        (None, None) => true,
        _ => false,
    };
    assert!(agree, "the stores disagree:\n{left:#?}\n{right:#?}");
}

/// `seconds` as a duration; reads better than the whole path in a list of clauses.
pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
