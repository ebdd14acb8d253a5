//! What AWS Lambda hands to a function: batches of SQS messages, and the ticks of a schedule; and the answer to a batch.
//!
//! Read leniently, as every field is the service's to leave out: what one record lacks spoils that record, not the batch.
//!
//! # Source
//! "Using Lambda with Amazon SQS" and "Handling errors for an SQS event source in Lambda" in the AWS Lambda developer
//! guide, read 2026-11.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use bridge_core::port::{Delivery, Properties, Receipt};
use bytes::Bytes;
use chrono::DateTime;
use serde_json::{Map, Value, json, value::RawValue};

/// One invocation of the function.
#[derive(Debug)]
pub enum LambdaEvent {
    /// Messages of the queue that triggers the function.
    Batch(Vec<LambdaRecord>),
    /// A tick of a schedule: EventBridge's own event, or `{"bridge": "heartbeat"}` from anywhere.
    Heartbeat,
}

/// One record of a batch.
#[derive(Debug)]
pub struct LambdaRecord {
    /// The message; none where the record has no body, which no message of SQS lacks.
    pub delivery: Option<Delivery>,
    /// By what name the record is reported; none where it has none, so that only the whole batch can fail.
    pub message_id: Option<String>,
    /// What the record is from, `eventSourceARN`; every message of SQS has it.
    pub source: Option<String>,
}

/// Bytes of an invocation's payload at most. "Lambda quotas", "invocation payload", read 2026-11: 6 MB for a synchronous
/// invocation, which an event source mapping makes; and room for how the service counts.
pub const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024 + 64 * 1024;

/// Reads an invocation's payload, record by record: no more of it is in memory twice than one record.
///
/// # Errors
/// What the payload is instead, and what triggers this function has to send.
pub fn parse(payload: &str) -> Result<LambdaEvent, String> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(format!(
            "the payload has {} bytes, and Lambda hands over 6 MB at most: the batch stays where it is; give the event source mapping \
             a smaller BatchSize",
            payload.len()
        ));
    }
    let neither = || {
        "the payload is neither a batch of SQS messages (`Records`) nor a schedule's tick \
         (`{\"bridge\": \"heartbeat\"}`); see docs/hosts.md"
            .to_owned()
    };
    let members: BTreeMap<Cow<'_, str>, &RawValue> = match serde_json::from_str(payload) {
        Ok(members) => members,
        Err(error) if error.is_data() => return Err(neither()),
        Err(error) => return Err(format!("the payload is not JSON: {error}")),
    };
    let is = |name: &str, value: &str| {
        members
            .get(name)
            .is_some_and(|raw| serde_json::from_str::<Cow<'_, str>>(raw.get()).is_ok_and(|text| text == value))
    };
    if is("bridge", "heartbeat") || is("detail-type", "Scheduled Event") {
        return Ok(LambdaEvent::Heartbeat);
    }
    let records: Vec<&RawValue> =
        members.get("Records").and_then(|raw| serde_json::from_str(raw.get()).ok()).ok_or_else(neither)?;
    let read = |raw: &&RawValue| record(&serde_json::from_str(raw.get()).unwrap_or_default());
    Ok(LambdaEvent::Batch(records.iter().map(read).collect()))
}

/// The answer to a batch: the messages that must not be removed.
///
/// None where a failed record has no name to report, so that the invocation as a whole must fail.
pub fn answer<'a>(failed: impl IntoIterator<Item = &'a LambdaRecord>) -> Option<Value> {
    let ids: Option<BTreeSet<&str>> = failed.into_iter().map(|record| record.message_id.as_deref()).collect();
    let failures: Vec<Value> = ids?.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
    Some(json!({ "batchItemFailures": failures }))
}

fn record(record: &Value) -> LambdaRecord {
    let text = |name: &str| record.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let message_id = text("messageId").map(str::to_owned);
    let empty = Map::new();
    let object = |name: &str| record.get(name).and_then(Value::as_object).unwrap_or(&empty);
    let system = object("attributes");
    let number = |name: &str| system.get(name).and_then(|value| value.as_str()?.parse::<i64>().ok());
    let delivery = text("body").map(|body| {
        let properties = properties(object("messageAttributes"));
        let deliveries = number("ApproximateReceiveCount").and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
        let sent = number("SentTimestamp").and_then(DateTime::from_timestamp_millis);
        Delivery {
            receipt: Receipt(text("receiptHandle").unwrap_or_default().to_owned()),
            message_id: message_id.clone().unwrap_or_default(),
            attempt: deliveries.max(1),
            first_seen: sent,
            body: Bytes::copy_from_slice(body.as_bytes()),
            properties,
        }
    });
    let source = text("eventSourceARN").map(str::to_owned);
    LambdaRecord { delivery, message_id, source }
}

/// As [`message`](super::sqs::message) reads them: a foreign sender's binary is shown in the base64 that it comes in.
fn properties(attributes: &Map<String, Value>) -> Properties {
    let text = |value: &Value| {
        let text = |name| value.get(name).and_then(Value::as_str);
        text("stringValue").or_else(|| text("binaryValue")).unwrap_or_default().to_owned()
    };
    attributes.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(payload: &Value) -> Vec<LambdaRecord> {
        match parse(&payload.to_string()) {
            Ok(LambdaEvent::Batch(records)) => records,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_record_is_read_as_the_guide_shows_it() {
        let records = batch(&json!({ "Records": [{
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            "body": "Test message.",
            "attributes": {
                "ApproximateReceiveCount": "3",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185"
            },
            "messageAttributes": {
                "bridge_attempt": { "stringValue": "2", "stringListValues": [], "binaryListValues": [], "dataType": "String" },
                "raw": { "binaryValue": "AAEC", "dataType": "Binary" }
            },
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
            "awsRegion": "us-east-2"
        }] }));
        let record = &records[0];
        assert_eq!(record.source.as_deref(), Some("arn:aws:sqs:us-east-2:123456789012:my-queue"));
        let delivery = record.delivery.as_ref().unwrap();
        assert_eq!(delivery.receipt.0, "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...");
        assert_eq!(delivery.attempt, 3, "the service counts, whatever a property says");
        assert_eq!(delivery.first_seen.unwrap().timestamp_millis(), 1_545_082_649_183);
        assert_eq!(&delivery.body[..], b"Test message.");
        assert_eq!(delivery.properties["raw"], "AAEC");
    }

    #[test]
    fn what_a_record_lacks_spoils_that_record_alone() {
        let records = batch(&json!({ "Records": [
            { "bad": 1 }, null, 7, { "messageId": "a" }, { "messageId": "b", "body": null }, { "body": "x" },
            { "messageId": "c", "body": "x", "attributes": null, "messageAttributes": [1], "receiptHandle": 5 },
        ] }));
        let read: Vec<_> = records.iter().map(|r| (r.message_id.as_deref(), r.delivery.is_some())).collect();
        assert_eq!(
            read,
            [
                (None, false),
                (None, false),
                (None, false),
                (Some("a"), false),
                (Some("b"), false),
                (None, true),
                (Some("c"), true)
            ]
        );
        assert_eq!(answer(&records), None, "one of them has no name");
        let named = answer(records.iter().filter(|record| record.message_id.is_some()));
        let item = |id: &str| json!({ "itemIdentifier": id });
        assert_eq!(named, Some(json!({ "batchItemFailures": [item("a"), item("b"), item("c")] })));
        assert_eq!(answer([]), Some(json!({ "batchItemFailures": [] })));
    }

    /// Nobody knows its name, so the whole batch fails and stays where it is.
    #[test]
    fn a_record_that_cannot_be_read_fails_its_batch() {
        let payload = r#"{"Records":[{"messageId":"a","body":"x"},{"messageId":"b","body":"\ud800"}]}"#;
        let Ok(LambdaEvent::Batch(records)) = parse(payload) else { panic!("a batch") };
        assert_eq!((records.len(), records[1].delivery.is_none(), answer(&records)), (2, true, None));
    }

    #[test]
    fn ticks_are_told_from_batches_and_anything_else_is_named() {
        let tick = r#"{"version":"0","source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#;
        for payload in [tick, r#"{"bridge":"heartbeat"}"#] {
            assert!(matches!(parse(payload), Ok(LambdaEvent::Heartbeat)), "{payload}");
        }
        for payload in ["", "{", "null", "[]", "{}", r#"{"Records":null}"#, r#"{"Records":{}}"#, "\"text\""] {
            assert!(parse(payload).is_err(), "{payload}");
        }
        assert!(parse(r#"{"Records":[{}],"x":}"#).unwrap_err().contains("not JSON"));
        assert!(parse("[]").unwrap_err().contains("neither a batch"));
    }

    #[test]
    fn a_payload_over_lambdas_limit_is_refused_with_what_to_do() {
        let of = |bytes: usize| format!("{{\"Records\":[],\"x\":\"{}\"}}", "x".repeat(bytes - 21));
        assert!(parse(&of(PAYLOAD_BYTES_MAX)).is_ok());
        let error = parse(&of(PAYLOAD_BYTES_MAX + 1)).unwrap_err();
        assert!(error.starts_with("the payload has 6356993 bytes") && error.contains("BatchSize"), "{error}");
    }
}
