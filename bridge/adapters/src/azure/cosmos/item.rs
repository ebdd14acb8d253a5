//! A record as a Cosmos DB item: one item per key, alone in its logical partition.
//!
//! | property | |
//! |---|---|
//! | `id` | the entity's key, escaped where Cosmos forbids a character |
//! | `pk` | the entity's key as it is; the partition key |
//! | `version` | what a writer compares |
//! | `event_id`, `source_region`, `timestamp`, `op_type` | of the winning event |
//! | `payload` | the entity's state; absent on a tombstone |
//! | `deleted` | tombstone |
//! | `ttl` | seconds that the item lives on from its last write; on tombstones only |
//! | `applied_at`, `applied_by` | when and by whose worker |

use std::{collections::BTreeMap, time::Duration};

use bridge_core::{
    canonical,
    event::{Key, Payload},
    payload::Token,
    record::Record,
};
use serde::Serialize;
use serde_json::{Number, value::RawValue};

use crate::stored::{NotARecord, Stored, life_seconds};

/// An item as it is read, with whatever properties the service adds: the JSON text of each.
pub type Item = BTreeMap<String, Box<RawValue>>;

/// An item as it is written.
#[derive(Clone, Debug, Serialize)]
pub struct Written<'a> {
    id: String,
    pk: &'a str,
    version: &'a str,
    event_id: String,
    source_region: &'a str,
    timestamp: &'a str,
    op_type: &'a str,
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    applied_at: &'a str,
    applied_by: &'a str,
}

/// Bytes of an item at most. "Azure Cosmos DB service quotas and default limits", "Maximum size of an item", read
/// 2026-11: 2 MB, as UTF-8 JSON.
pub(crate) const ITEM_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// The `id` of a key's item.
pub fn id(key: &Key) -> String {
    key.escaped()
}

/// The item that holds `record`.
pub fn from_record(record: &Record) -> Written<'_> {
    Written {
        id: id(&record.key),
        pk: record.key.as_str(),
        version: record.version.as_str(),
        event_id: record.event_id.to_string(),
        source_region: record.source_region.as_str(),
        timestamp: &record.timestamp,
        op_type: record.op.as_str(),
        deleted: record.deleted(),
        payload: record.payload.as_ref().map(shortest),
        ttl: record.expires_after.map(life_seconds),
        applied_at: &record.applied_at,
        applied_by: record.applied_by.as_str(),
    }
}

/// The payload's JSON, with doubles in their shortest form: the canonical one of 1e20 has 21 digits, and an item may have 2 MB.
fn shortest(payload: &Payload) -> Box<RawValue> {
    let mut text = String::with_capacity(payload.as_str().len());
    for token in payload.tokens() {
        match token {
            Token::Number(number) if !canonical::is_integer(number) => {
                let double = number.parse().ok().and_then(Number::from_f64);
                text.push_str(&double.map_or_else(|| number.to_owned(), |double| double.to_string()));
            }
            other => other.write(&mut text),
        }
    }
    RawValue::from_string(text).expect("it was read as JSON before")
}

/// The record that `item` holds.
///
/// # Errors
/// What is missing, or not as the bridge writes it.
pub fn to_record(item: &Item) -> Result<Record, NotARecord> {
    let payload = match item.get("payload") {
        None => None,
        Some(object) if is_object(object) => {
            Some(object.get().parse().map_err(|what: String| NotARecord::new("payload", &what))?)
        }
        Some(_) => return Err(NotARecord::new("payload", "not an object")),
    };
    let expires_after = match item.get("ttl") {
        None => None,
        Some(ttl) => {
            let seconds = serde_json::from_str(ttl.get());
            Some(Duration::from_secs(
                seconds.map_err(|_| NotARecord::new("ttl", &format!("{ttl} is not whole seconds")))?,
            ))
        }
    };
    let deleted = item.get("deleted").and_then(|deleted| serde_json::from_str(deleted.get()).ok());
    Record::try_from(Stored {
        pk: &text(item, "pk")?,
        version: &text(item, "version")?,
        event_id: &text(item, "event_id")?,
        source_region: &text(item, "source_region")?,
        timestamp: &text(item, "timestamp")?,
        op_type: &text(item, "op_type")?,
        deleted: deleted.ok_or_else(|| NotARecord::new("deleted", "missing, or not a boolean"))?,
        payload,
        expires_after,
        applied_at: &text(item, "applied_at")?,
        applied_by: &text(item, "applied_by")?,
    })
}

/// Empties the payload, if there is one: whoever asks which version an item holds need not read it.
pub(crate) fn lighten(item: &mut Item) {
    if let Some(payload) = item.get_mut("payload").filter(|payload| is_object(payload)) {
        *payload = RawValue::from_string("{}".to_owned()).expect("an object");
    }
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// The text of a property that holds one.
///
/// # Errors
/// If it holds none.
pub fn text(item: &Item, property: &'static str) -> Result<String, NotARecord> {
    let value = item.get(property).ok_or_else(|| NotARecord::new(property, "missing"))?;
    serde_json::from_str(value.get()).map_err(|_| NotARecord::new(property, "not a string"))
}

/// Bytes of an item as Cosmos counts them, before the service adds its own properties.
pub fn size_bytes(item: &impl Serialize) -> u64 {
    serde_json::to_vec(item).map_or(0, |json| json.len() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::stored::strategies::{all, any_record, record};

    /// What the service gives back of it.
    fn stored(record: &Record) -> Value {
        let mut item = serde_json::to_value(from_record(record)).unwrap();
        (item["_etag"], item["_ts"]) = ("\"1\"".into(), 1_700_000_000.into());
        item
    }

    fn read(item: &Value) -> Result<Record, NotARecord> {
        to_record(&serde_json::from_value(item.clone()).unwrap())
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(record in record()) {
            let item = stored(&record);
            prop_assert_eq!(item.get("ttl").is_some(), record.deleted());
            prop_assert_eq!(item.get("payload").is_some(), !record.deleted());
            prop_assert_eq!(all(&read(&item).unwrap()), all(&record));
            let mut light: Item = serde_json::from_value(item).unwrap();
            lighten(&mut light);
            prop_assert_eq!(to_record(&light).unwrap().version, record.version);
        }

        #[test]
        fn different_keys_have_different_ids(a in "[./~%2E]{1,4}", b in "[./~%2E]{1,4}") {
            let (a, b): (Key, Key) = (a.parse().unwrap(), b.parse().unwrap());
            prop_assert_eq!(a == b, id(&a) == id(&b));
        }
    }

    #[test]
    fn a_double_is_written_in_its_shortest_form() {
        let payload: Payload = r#"{"a":[1e20,1,0.5,1e-7,"1e20",1152921504606846976]}"#.parse().unwrap();
        assert_eq!(shortest(&payload).get(), r#"{"a":[1e+20,1,0.5,1e-7,"1e20",1.152921504606847e+18]}"#);
    }

    #[test]
    fn what_the_bridge_did_not_write_is_named() {
        let broken = |name: &str, value: Option<Value>| {
            let mut item = stored(&any_record(|record| !record.deleted()));
            match value {
                Some(value) => item[name] = value,
                None => _ = item.as_object_mut().unwrap().remove(name),
            }
            read(&item).unwrap_err().attribute
        };
        for name in ["pk", "version", "event_id", "source_region", "timestamp", "op_type", "deleted", "payload"] {
            assert_eq!(broken(name, None), name);
            assert_eq!(broken(name, Some(json!([1]))), name);
        }
        assert_eq!(broken("ttl", Some(json!(-1))), "ttl");
        assert_eq!(broken("version", Some(json!("7"))), "version");
    }
}
