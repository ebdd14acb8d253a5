//! How large a record is, as DynamoDB counts ("DynamoDB item sizes and formats", read 2026-11). Cosmos DB takes five
//! times as much, so its count never decides.

use serde_json::{Map, Value};

use crate::event::{Event, Op};

/// The attributes of a record beside its key and payload: their names, and values at their longest.
const FIXED_BYTES: usize = 512;

/// Bytes of the record that `event` leaves.
pub fn record_bytes(event: &Event) -> usize {
    let payload = if event.op == Op::Delete { 0 } else { object_bytes(&event.payload) };
    FIXED_BYTES + event.key.as_str().len() + event.timestamp.text.len() + payload
}

fn object_bytes(members: &Map<String, Value>) -> usize {
    3 + members.iter().map(|(name, value)| 1 + name.len() + value_bytes(value)).sum::<usize>()
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        // One byte per two significant digits, one more, and one for a sign. A zero too many does not matter here.
        Value::Number(number) => {
            let text = number.to_string();
            let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
            let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
            1 + digits.div_ceil(2) + usize::from(mantissa.starts_with('-'))
        }
        Value::String(text) => text.len(),
        Value::Array(items) => 3 + items.iter().map(|item| 1 + value_bytes(item)).sum::<usize>(),
        Value::Object(members) => object_bytes(members),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_counted_as_documented() {
        for (value, bytes) in [
            (json!(null), 1),
            (json!(0), 2),
            (json!(-1234.5), 5),
            (json!("é"), 2),
            (json!([]), 3),
            (json!([0, 0]), 3 + 2 * 3),
            (json!({"ab": "c"}), 3 + 1 + 2 + 1),
        ] {
            assert_eq!(value_bytes(&value), bytes, "{value}");
        }
    }
    #[test]
    fn a_record_is_its_key_its_timestamp_and_its_payload() {
        let event = |op: &str| {
            let text = format!(
                r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"aws:us-east-1","op_type":"{op}","payload":{{"id":"order"}},"timestamp":"2026-11-21T01:02:03Z"}}"#
            );
            crate::envelope::decode(text.as_bytes(), "/id").unwrap()
        };
        let payload = 3 + 1 + 2 + 5;
        assert_eq!(record_bytes(&event("upsert")), FIXED_BYTES + 5 + 20 + payload);
        assert_eq!(record_bytes(&event("delete")), FIXED_BYTES + 5 + 20, "a tombstone has none");
    }
}
