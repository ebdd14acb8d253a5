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

use std::time::Duration;

use bridge_core::{event::Key, record::Record};
use serde_json::{Map, Value};

use crate::stored::{NotARecord, Stored, life_seconds, spelled};

/// An item, with whatever properties the service adds.
pub type Item = Map<String, Value>;

/// Bytes of an item at most. "Azure Cosmos DB service quotas and default limits", "Maximum size of an item", read
/// 2026-11: 2 MB, as UTF-8 JSON.
pub(crate) const ITEM_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// The `id` of a key's item.
pub fn id(key: &Key) -> String {
    key.escaped()
}

/// The item that holds `record`.
pub fn from_record(record: &Record) -> Item {
    let text = |text: &str| Value::String(text.to_owned());
    let mut item: Item = [
        ("id", Value::String(id(&record.key))),
        ("pk", text(record.key.as_str())),
        ("version", text(record.version.as_str())),
        ("event_id", Value::String(record.event_id.to_string())),
        ("source_region", text(record.source_region.as_str())),
        ("timestamp", text(&record.timestamp)),
        ("op_type", text(record.op.as_str())),
        ("deleted", Value::Bool(record.deleted())),
        ("applied_at", text(&record.applied_at)),
        ("applied_by", text(record.applied_by.as_str())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if let Some(payload) = &record.payload {
        item.insert("payload".to_owned(), Value::Object(spelled(payload.clone())));
    }
    if let Some(life) = record.expires_after {
        item.insert("ttl".to_owned(), life_seconds(life).into());
    }
    item
}

/// The record that `item` holds.
///
/// # Errors
/// What is missing, or not as the bridge writes it.
pub fn to_record(item: Item) -> Result<Record, NotARecord> {
    let mut item = item;
    let payload = match item.remove("payload") {
        None => None,
        Some(Value::Object(members)) => Some(members),
        Some(_) => return Err(NotARecord::new("payload", "not an object")),
    };
    let expires_after = match item.get("ttl") {
        None => None,
        Some(ttl) => {
            let seconds = ttl.as_u64().ok_or_else(|| NotARecord::new("ttl", &format!("{ttl} is not whole seconds")))?;
            Some(Duration::from_secs(seconds))
        }
    };
    Record::try_from(Stored {
        pk: text(&item, "pk")?,
        version: text(&item, "version")?,
        event_id: text(&item, "event_id")?,
        source_region: text(&item, "source_region")?,
        timestamp: text(&item, "timestamp")?,
        op_type: text(&item, "op_type")?,
        deleted: item
            .get("deleted")
            .and_then(Value::as_bool)
            .ok_or_else(|| NotARecord::new("deleted", "missing, or not a boolean"))?,
        payload,
        expires_after,
        applied_at: text(&item, "applied_at")?,
        applied_by: text(&item, "applied_by")?,
    })
}

fn text<'a>(item: &'a Item, property: &'static str) -> Result<&'a str, NotARecord> {
    match item.get(property) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(NotARecord::new(property, "not a string")),
        None => Err(NotARecord::new(property, "missing")),
    }
}

/// Bytes of an item as Cosmos counts them, before the service adds its own properties.
pub fn size_bytes(item: &Item) -> u64 {
    serde_json::to_vec(item).map_or(0, |json| json.len() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::stored::strategies::{all, any_record, record};

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(record in record()) {
            let item = from_record(&record);
            prop_assert_eq!(item.contains_key("ttl"), record.deleted());
            prop_assert_eq!(item.contains_key("payload"), !record.deleted());
            let mut stored: Item = serde_json::from_slice(&serde_json::to_vec(&item).unwrap()).unwrap();
            stored.insert("_etag".to_owned(), json!("\"1\""));
            stored.insert("_ts".to_owned(), json!(1_700_000_000));
            prop_assert_eq!(all(&to_record(stored).unwrap()), all(&record));
        }

        #[test]
        fn different_keys_have_different_ids(a in "[./~%2E]{1,4}", b in "[./~%2E]{1,4}") {
            let (a, b): (Key, Key) = (a.parse().unwrap(), b.parse().unwrap());
            prop_assert_eq!(a == b, id(&a) == id(&b));
        }
    }

    #[test]
    fn what_the_bridge_did_not_write_is_named() {
        let broken = |name: &str, value: Option<Value>| {
            let mut item = from_record(&any_record(|record| !record.deleted()));
            match value {
                Some(value) => item.insert(name.to_owned(), value),
                None => item.remove(name),
            };
            to_record(item).unwrap_err().attribute
        };
        for name in ["pk", "version", "event_id", "source_region", "timestamp", "op_type", "deleted", "payload"] {
            assert_eq!(broken(name, None), name);
            assert_eq!(broken(name, Some(json!([1]))), name);
        }
        assert_eq!(broken("ttl", Some(json!(-1))), "ttl");
        assert_eq!(broken("version", Some(json!("7"))), "version");
    }
}
