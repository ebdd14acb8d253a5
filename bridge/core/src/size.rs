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
        // One byte per two significant digits, one more, and one for a sign.
        Value::Number(number) => 3 + number.to_string().len().div_ceil(2),
        Value::String(text) => text.len(),
        Value::Array(items) => 3 + items.iter().map(|item| 1 + value_bytes(item)).sum::<usize>(),
        Value::Object(members) => object_bytes(members),
    }
}
