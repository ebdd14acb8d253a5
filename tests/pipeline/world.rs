//! A few sites on memory, driven by hand: the simulation's own world, without its faults and waits.

pub(crate) use bridge_simulation::{
    site::Site,
    world::{START, World, message, policy},
};
use serde_json::{Value, json};

/// The body of an event: `second` is after the world's beginning.
pub(crate) fn event(id: u128, origin: &str, op: &str, key: &str, second: i64) -> Value {
    let timestamp = START.parse::<chrono::DateTime<chrono::Utc>>().unwrap() + chrono::TimeDelta::seconds(second);
    json!({
        "event_id": uuid::Uuid::from_u128(id).to_string(),
        "source_region": origin,
        "op_type": op,
        "payload": { "id": key, "from": origin, "number": id.to_string() },
        "timestamp": timestamp.to_rfc3339(),
    })
}
