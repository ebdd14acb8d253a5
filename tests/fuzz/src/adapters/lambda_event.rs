//! What AWS Lambda hands to the function.

use bridge_adapters::aws::invocation::{LambdaEvent, answer, parse};
use serde_json::Value;

use crate::text;

/// A record for each of the batch's, none of them left out; the answer names those that have a name, and only those.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match parse(text) {
        Ok(LambdaEvent::Batch(records)) => {
            // What cannot be read as a value, a lone surrogate for one, spoils its own record and not the payload.
            if let Ok(payload) = serde_json::from_str::<Value>(text) {
                assert_eq!(Some(records.len()), payload["Records"].as_array().map(Vec::len));
            }
            let named = records.iter().all(|record| record.message_id.is_some());
            assert_eq!(answer(&records).is_some(), named, "a failure that nobody can report fails the whole batch");
            for record in &records {
                assert!(
                    record.delivery.as_ref().is_none_or(|delivery| delivery.attempt > 0 && !delivery.body.is_empty())
                );
            }
        }
        Ok(LambdaEvent::Heartbeat) => {}
        Err(what) => assert!(what.len() < 512, "not the whole of a long payload again"),
    }
}
