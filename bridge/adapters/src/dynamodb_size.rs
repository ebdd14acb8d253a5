//! How large a record is as a DynamoDB item, counted on the record itself: memory refuses what DynamoDB would refuse, and
//! wants no SDK for it. Held to the count of the real form (`aws/dynamodb_item.rs`) by the test below.

use bridge_core::{canonical, record::Record};
use serde_json::{Map, Value};

use crate::stored::{applied_second, life_seconds};

/// Bytes of an item at most. "Quotas in Amazon DynamoDB", "Item size": 400 KB, read 2026-11.
pub(crate) const ITEM_BYTES_MAX: u64 = 400 * 1024;

/// Bytes of the item that holds `record`. "DynamoDB item sizes and formats", read 2026-11: names and values in UTF-8, a
/// number about one byte per two digits and one more, lists and maps three bytes and one for each member.
pub(crate) fn item_bytes(record: &Record) -> u64 {
    let texts = [
        ("pk", record.key.as_str()),
        ("version", record.version.as_str()),
        ("event_id", &record.event_id.to_string()),
        ("source_region", record.source_region.as_str()),
        ("timestamp", &record.timestamp),
        ("op_type", record.op.as_str()),
        ("applied_at", &record.applied_at),
        ("applied_by", record.applied_by.as_str()),
    ];
    let texts: usize = texts.iter().map(|(name, text)| name.len() + text.len()).sum();
    let deleted = "deleted".len() + 1;
    let payload = record.payload.as_ref().map_or(0, |payload| "payload".len() as u64 + members_bytes(payload));
    let expiry = record.expires_after.map_or(0, |life| {
        let expires_at = applied_second(&record.applied_at).unwrap_or_default() + life_seconds(life);
        "expires_at".len() as u64 + number_bytes(&expires_at.to_string())
    });
    (texts + deleted) as u64 + payload + expiry
}

fn members_bytes(members: &Map<String, Value>) -> u64 {
    3 + members.iter().map(|(name, value)| 1 + name.len() as u64 + value_bytes(value)).sum::<u64>()
}

fn value_bytes(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => match canonical::number(number) {
            number if number.is_f64() => number_bytes(&format!("{:e}", number.as_f64().unwrap_or_default())),
            number => number_bytes(&number.to_string()),
        },
        Value::String(text) => text.len() as u64,
        Value::Array(items) => 3 + items.iter().map(|item| 1 + value_bytes(item)).sum::<u64>(),
        Value::Object(members) => members_bytes(members),
    }
}

/// Two digits to a byte, one byte more, and one for a minus. Digits before and after the point do not share a byte, so
/// at most one byte more than that: counted always, as too much does no harm here and too little does.
pub(crate) fn number_bytes(number: &str) -> u64 {
    let mantissa = number.split(['e', 'E']).next().unwrap_or(number);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count() as u64;
    let whole = !number.contains(['.', 'e', 'E']);
    digits.div_ceil(2) + 1 + u64::from(!whole) + u64::from(number.starts_with('-'))
}

#[cfg(all(test, feature = "clouds"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{aws::dynamodb_item, stored::strategies::record};

    proptest! {
        #[test]
        fn memory_counts_as_the_real_form_does(record in record()) {
            let item = dynamodb_item::from_record(&record).unwrap();
            prop_assert_eq!(item_bytes(&record), dynamodb_item::size_bytes(&item));
        }
    }
}
