//! A record as a DynamoDB item: one table row per key, `pk` its partition key.
//!
//! | attribute | type | |
//! |---|---|---|
//! | `pk` | S | the entity's key |
//! | `version` | S | what the condition of a write compares |
//! | `event_id`, `source_region`, `timestamp`, `op_type` | S | of the winning event |
//! | `payload` | M | the entity's state; absent on a tombstone |
//! | `deleted` | BOOL | tombstone |
//! | `expires_at` | N | the table's TTL attribute, in seconds since 1970; on tombstones only |
//! | `applied_at`, `applied_by` | S | when and by whose worker |

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use bridge_core::{event::Key, record::Record, version::Version};

use super::payload;
use crate::stored::{NotARecord, Stored, applied_second, life_seconds};

/// The table's TTL attribute.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// A row of the table.
pub type Item = HashMap<String, AttributeValue>;

/// The primary key of a record's item.
pub fn primary_key(key: &Key) -> Item {
    [("pk".to_owned(), AttributeValue::S(key.as_str().to_owned()))].into()
}

/// The item that holds `record`, with an empty map for its payload, in whose place [`payload`] writes the payload itself.
///
/// # Errors
/// If the record says of itself that it was applied at no point in time.
pub fn from_record(record: &Record) -> Result<Item, NotARecord> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mut item: Item = [
        ("pk", text(record.key.as_str())),
        ("version", text(record.version.as_str())),
        ("event_id", text(&record.event_id.to_string())),
        ("source_region", text(record.source_region.as_str())),
        ("timestamp", text(&record.timestamp)),
        ("op_type", text(record.op.as_str())),
        ("deleted", AttributeValue::Bool(record.deleted())),
        ("applied_at", text(&record.applied_at)),
        ("applied_by", text(record.applied_by.as_str())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if record.payload.is_some() {
        item.insert("payload".to_owned(), AttributeValue::M(Item::new()));
    }
    if let Some(life) = record.expires_after {
        // What a store gave back may live for longer than there is time.
        let expires_at = applied_second(&record.applied_at)?.saturating_add(life_seconds(life));
        item.insert(EXPIRES_AT.to_owned(), AttributeValue::N(expires_at.to_string()));
    }
    Ok(item)
}

/// The record that `item` holds.
///
/// # Errors
/// What is missing, or not as the bridge writes it.
pub fn to_record(item: &Item) -> Result<Record, NotARecord> {
    let payload = item.get("payload").map(payload::read).transpose();
    let payload = payload.map_err(|what| NotARecord::new("payload", &what))?;
    let applied_at = text(item, "applied_at")?;
    let expires_after = match item.get(EXPIRES_AT) {
        None => None,
        Some(AttributeValue::N(at)) => {
            let at: u64 =
                at.parse().map_err(|_| NotARecord::new(EXPIRES_AT, &format!("{at} is not a whole second")))?;
            Some(Duration::from_secs(at.saturating_sub(applied_second(applied_at)?)))
        }
        Some(_) => return Err(NotARecord::new(EXPIRES_AT, "not a number")),
    };
    let deleted = match item.get("deleted") {
        Some(AttributeValue::Bool(deleted)) => *deleted,
        _ => return Err(NotARecord::new("deleted", "missing, or not a boolean")),
    };
    Record::try_from(Stored {
        pk: text(item, "pk")?,
        version: text(item, "version")?,
        event_id: text(item, "event_id")?,
        source_region: text(item, "source_region")?,
        timestamp: text(item, "timestamp")?,
        op_type: text(item, "op_type")?,
        deleted,
        payload,
        expires_after,
        applied_at,
        applied_by: text(item, "applied_by")?,
    })
}

/// The version that `item` holds.
///
/// # Errors
/// If it holds none.
pub fn version(item: &Item) -> Result<Version, NotARecord> {
    text(item, "version")?.parse().map_err(|what| NotARecord::new("version", &what))
}

fn text<'a>(item: &'a Item, attribute: &'static str) -> Result<&'a str, NotARecord> {
    match item.get(attribute) {
        Some(AttributeValue::S(text)) => Ok(text),
        Some(_) => Err(NotARecord::new(attribute, "not a string")),
        None => Err(NotARecord::new(attribute, "missing")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        aws::fuzzing::as_read,
        stored::strategies::{all, any_record, record},
    };

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(record in record()) {
            let item = from_record(&record).unwrap();
            prop_assert_eq!(item.contains_key("expires_at"), record.deleted());
            prop_assert_eq!(item.contains_key("payload"), !record.deleted());
            prop_assert_eq!(all(&to_record(&as_read(&record)).unwrap()), all(&record));
        }
    }

    #[test]
    fn what_the_bridge_did_not_write_is_named() {
        let broken = |name: &str, value: Option<AttributeValue>| {
            let mut item = from_record(&any_record(|record| !record.deleted())).unwrap();
            match value {
                Some(value) => item.insert(name.to_owned(), value),
                None => item.remove(name),
            };
            to_record(&item).unwrap_err().attribute
        };
        for name in ["pk", "version", "event_id", "source_region", "timestamp", "op_type", "deleted", "payload"] {
            assert_eq!(broken(name, None), name);
            assert_eq!(broken(name, Some(AttributeValue::Ss(vec!["a".to_owned()]))), name);
        }
        assert_eq!(broken("deleted", Some(AttributeValue::Bool(true))), "deleted");
        assert_eq!(broken("expires_at", Some(AttributeValue::N("soon".to_owned()))), "expires_at");
        assert_eq!(broken("version", Some(AttributeValue::S("7".to_owned()))), "version");
    }

    /// Cosmos DB's form has room for it, and a repair writes what the other store has.
    #[test]
    fn a_life_longer_than_time_is_no_panic() {
        let record = Record { expires_after: Some(Duration::MAX), ..any_record(Record::deleted) };
        assert_eq!(from_record(&record).unwrap()[EXPIRES_AT], AttributeValue::N(u64::MAX.to_string()));
    }
}
