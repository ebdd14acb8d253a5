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
use bridge_core::{canonical, event::Key, record::Record, version::Version};
use serde_json::{Map, Number, Value};

use crate::{
    dynamodb_size::number_bytes,
    stored::{NotARecord, Stored, applied_second, life_seconds},
};

/// The table's TTL attribute.
pub(super) const EXPIRES_AT: &str = "expires_at";

/// A row of the table.
pub type Item = HashMap<String, AttributeValue>;

/// The primary key of a record's item.
pub fn primary_key(key: &Key) -> Item {
    [("pk".to_owned(), AttributeValue::S(key.as_str().to_owned()))].into()
}

/// The item that holds `record`.
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
    if let Some(payload) = &record.payload {
        item.insert("payload".to_owned(), AttributeValue::M(members_from_json(payload)));
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
pub fn to_record(item: Item) -> Result<Record, NotARecord> {
    let mut item = item;
    let payload = match item.remove("payload") {
        None => None,
        Some(AttributeValue::M(members)) => {
            Some(members_to_json(members).map_err(|what| NotARecord::new("payload", &what))?)
        }
        Some(_) => return Err(NotARecord::new("payload", "not a map")),
    };
    let applied_at = text(&item, "applied_at")?;
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
        pk: text(&item, "pk")?,
        version: text(&item, "version")?,
        event_id: text(&item, "event_id")?,
        source_region: text(&item, "source_region")?,
        timestamp: text(&item, "timestamp")?,
        op_type: text(&item, "op_type")?,
        deleted,
        payload,
        expires_after,
        applied_at,
        applied_by: text(&item, "applied_by")?,
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

/// By reference, as a payload of many small values takes a hundred times its bytes, and once is enough.
fn members_from_json(members: &Map<String, Value>) -> HashMap<String, AttributeValue> {
    members.iter().map(|(name, value)| (name.clone(), from_json(value))).collect()
}

fn from_json(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::Number(number) => AttributeValue::N(decimal(&canonical::number(number))),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(items) => AttributeValue::L(items.iter().map(from_json).collect()),
        Value::Object(members) => AttributeValue::M(members_from_json(members)),
    }
}

/// The number as DynamoDB reads it: an integer in digits, anything else in its shortest form that is the same double.
fn decimal(number: &Number) -> String {
    match number.as_f64() {
        Some(double) if number.is_f64() => format!("{double:e}"),
        _ => number.to_string(),
    }
}

fn members_to_json(members: HashMap<String, AttributeValue>) -> Result<Map<String, Value>, String> {
    members.into_iter().map(|(name, value)| Ok((name, to_json(value)?))).collect()
}

fn to_json(value: AttributeValue) -> Result<Value, String> {
    Ok(match value {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(value) => Value::Bool(value),
        AttributeValue::N(number) => Value::Number(to_number(&number)?),
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::L(items) => Value::Array(items.into_iter().map(to_json).collect::<Result<_, _>>()?),
        AttributeValue::M(members) => Value::Object(members_to_json(members)?),
        other => return Err(format!("{} has no form in JSON", kind(&other))),
    })
}

fn to_number(decimal: &str) -> Result<Number, String> {
    if let Ok(integer) = decimal.parse::<i64>() {
        return Ok(integer.into());
    }
    let double = decimal.parse::<f64>().ok().and_then(Number::from_f64);
    double.ok_or_else(|| format!("{decimal} is not a number"))
}

/// The name of a type that JSON lacks; the value itself stays out of messages.
fn kind(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::B(_) => "a binary",
        AttributeValue::Bs(_) | AttributeValue::Ns(_) | AttributeValue::Ss(_) => "a set",
        _ => "a type",
    }
}

/// Bytes of an item as DynamoDB counts them. "DynamoDB item sizes and formats", read 2026-11: names and values in
/// UTF-8, a number about one byte per two digits and one more, lists and maps three bytes and one for each member.
pub fn size_bytes(item: &Item) -> u64 {
    item.iter().map(|(name, value)| name.len() as u64 + value_bytes(value)).sum()
}

fn value_bytes(value: &AttributeValue) -> u64 {
    match value {
        AttributeValue::S(text) => text.len() as u64,
        AttributeValue::N(number) => number_bytes(number),
        AttributeValue::L(items) => 3 + items.iter().map(|item| 1 + value_bytes(item)).sum::<u64>(),
        AttributeValue::M(members) => {
            3 + members.iter().map(|(name, value)| 1 + name.len() as u64 + value_bytes(value)).sum::<u64>()
        }
        _ => 1,
    }
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
            let item = from_record(&record).unwrap();
            prop_assert_eq!(item.contains_key("expires_at"), record.deleted());
            prop_assert_eq!(item.contains_key("payload"), !record.deleted());
            prop_assert_eq!(all(&to_record(item).unwrap()), all(&record));
        }
    }

    #[test]
    fn numbers_keep_their_decimal_value() {
        let decimals = [
            (json!(0.1), "1e-1"),
            (json!(1e21), "1e21"),
            (json!(9_007_199_254_740_991_i64), "9007199254740991"),
            (json!(-1.5), "-1.5e0"),
            (json!(1e-130), "1e-130"),
        ];
        for (number, decimal) in decimals {
            assert_eq!(from_json(&number), AttributeValue::N(decimal.to_owned()));
            assert_eq!(to_json(AttributeValue::N(decimal.to_owned())), Ok(number));
        }
        let spelled_out = "1000000000000000000000".to_owned();
        assert_eq!(to_json(AttributeValue::N(spelled_out)), Ok(json!(1e21)), "as DynamoDB gives it back");
    }

    #[test]
    fn what_the_bridge_did_not_write_is_named() {
        let broken = |name: &str, value: Option<AttributeValue>| {
            let mut item = from_record(&any_record(|record| !record.deleted())).unwrap();
            match value {
                Some(value) => item.insert(name.to_owned(), value),
                None => item.remove(name),
            };
            to_record(item).unwrap_err().attribute
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

    #[test]
    fn size_is_counted_as_documented() {
        let item: Item = [
            ("pk".to_owned(), AttributeValue::S("é".to_owned())),
            ("n".to_owned(), AttributeValue::N("-1234.5".to_owned())),
            ("m".to_owned(), from_json(&json!({"a": [true, null], "bc": "xyz"}))),
        ]
        .into();
        let list = 3 + (1 + 1) + (1 + 1);
        let map = 3 + (1 + 1 + list) + (1 + 2 + 3);
        assert_eq!(size_bytes(&item), (2 + 2) + (1 + 3 + 1 + 1 + 1) + (1 + map));
        assert_eq!(value_bytes(&from_json(&json!(255))), 2 + 1);
    }
}
