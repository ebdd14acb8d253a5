//! What the Azure Functions host posts: one message, or a batch.

use bridge_adapters::azure::invocation::parse;
use serde_json::Value;

/// At least one message or an error, never nothing: an empty answer would have the host complete what nobody has read. A
/// batch has a message for each of its bodies.
pub(crate) fn run(bytes: &[u8]) {
    match parse(bytes) {
        Ok(messages) => {
            assert!(!messages.is_empty());
            assert!(messages.iter().all(|message| message.attempt > 0 && message.receipt.0.is_empty()));
            let payload: Value = serde_json::from_slice(bytes).unwrap();
            let data = payload["Data"].as_object().and_then(|data| data.values().next()).unwrap();
            let bodies = data.as_array().map_or(1, Vec::len);
            assert!(
                messages.len() == 1 || bodies == messages.len() || data.is_string(),
                "{} of {bodies}",
                messages.len()
            );
        }
        Err(what) => assert!(what.len() < 512, "not the whole of a long payload again"),
    }
}
