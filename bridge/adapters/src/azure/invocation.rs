//! What the Azure Functions host posts to a custom handler for a Service Bus trigger, and the answer to it.
//!
//! # Source
//! Read in the host's own code (`ScriptInvocationContextExtensions`, `HttpScriptInvocationContextExtensions`,
//! `ServiceBusTriggerBindingStrategy`), 2026-11, as the documentation page shows another encoding. Both are understood: a
//! value may be JSON, or JSON text inside a JSON string, any number of it may be missing, and bodies come as text or in
//! base64. `docs/hosts.md` has the table.

use base64::{Engine, engine::general_purpose::STANDARD};
use bridge_core::port::{Delivery, Properties, Receipt};
use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value};

use super::service_bus::unpack;
use crate::delivery::{Counted, counted};

/// The answer that lets the host complete what it handed over. Never `null` and never empty: the host would wait for its
/// time limit, then kill the worker and all that runs in it.
pub const DONE: &str = r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#;

/// What a batch has beside its bodies, and a single message has not.
const BATCH_COLUMNS: [&str; 4] = ["MessageIdArray", "DeliveryCountArray", "SequenceNumberArray", "LockTokenArray"];

/// Reads the messages of one invocation: one, or a batch where the trigger's cardinality is many.
///
/// They have no receipts: the host settles them.
///
/// # Errors
/// What the payload is instead.
pub fn parse(payload: &[u8]) -> Result<Vec<Delivery>, String> {
    let payload: Value =
        serde_json::from_slice(payload).map_err(|error| format!("the payload is not JSON: {error}"))?;
    let data = payload.get("Data").and_then(Value::as_object).ok_or("the payload has no object `Data`")?;
    let value = match data.len() {
        1 => data.values().next().unwrap_or(&Value::Null),
        number => return Err(format!("`Data` has {number} members; a Service Bus trigger fills one")),
    };
    let empty = Map::new();
    let metadata = payload.get("Metadata").and_then(Value::as_object).unwrap_or(&empty);
    // A body may be an array itself, so the columns beside it tell a batch.
    if BATCH_COLUMNS.iter().any(|column| metadata.contains_key(*column)) {
        return batch(metadata, &decoded(value));
    }
    match value {
        Value::Null => Err("the message has no body".to_owned()),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::String(body)) => Ok(vec![single(metadata, body.into())]),
            Ok(Value::Object(_)) => Ok(vec![single(metadata, Bytes::copy_from_slice(text.as_bytes()))]),
            _ => {
                Ok(vec![single(metadata, from_base64(text).unwrap_or_else(|| Bytes::copy_from_slice(text.as_bytes())))])
            }
        },
        other => Ok(vec![single(metadata, other.to_string().into())]),
    }
}

fn single(metadata: &Map<String, Value>, body: Bytes) -> Delivery {
    let of = |name: &str| metadata.get(name).map(decoded);
    let properties = of("ApplicationProperties").or_else(|| of("UserProperties"));
    delivery(of("MessageId").as_ref(), of("DeliveryCount").as_ref(), of("EnqueuedTimeUtc").as_ref(), properties, body)
}

/// The messages of a batch. Whether bodies come as text or in base64 is the trigger's setting, so it is the same for
/// all of them; text that is an event is never base64, as that has no braces.
fn batch(metadata: &Map<String, Value>, items: &Value) -> Result<Vec<Delivery>, String> {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() || !items.iter().all(Value::is_string) {
        return Err("`Metadata` is that of a batch, and `Data` has no array of texts".to_owned());
    }
    let column = |name: &str| match metadata.get(name).map(decoded) {
        Some(Value::Array(column)) => column,
        _ => Vec::new(),
    };
    let (ids, counts) = (column("MessageIdArray"), column("DeliveryCountArray"));
    let (times, properties) = (column("EnqueuedTimeUtcArray"), column("ApplicationPropertiesArray"));
    let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
    let binary: Option<Vec<Bytes>> = texts.iter().map(|text| from_base64(text)).collect();
    let bodies = binary.unwrap_or_else(|| texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect());
    let one = |(at, body)| delivery(ids.get(at), counts.get(at), times.get(at), properties.get(at).cloned(), body);
    Ok(bodies.into_iter().enumerate().map(one).collect())
}

fn delivery(
    message_id: Option<&Value>,
    deliveries: Option<&Value>,
    enqueued: Option<&Value>,
    properties: Option<Value>,
    body: Bytes,
) -> Delivery {
    let mut properties = match properties {
        Some(Value::Object(members)) => {
            members.into_iter().filter_map(|(name, value)| Some((name, text(&value)?))).collect()
        }
        _ => Properties::new(),
    };
    unpack(&mut properties);
    let deliveries = deliveries.and_then(text).and_then(|text| text.parse().ok()).unwrap_or(1);
    let enqueued = enqueued.and_then(Value::as_str).and_then(time);
    let Counted { attempt, first_seen, properties } = counted(properties, deliveries, enqueued);
    let message_id = message_id.and_then(text).unwrap_or_default();
    Delivery { receipt: Receipt(String::new()), message_id, attempt, first_seen, body, properties }
}

/// A value, out of the JSON text that it may be wrapped in.
fn decoded(value: &Value) -> Value {
    let inner = value.as_str().and_then(|text| serde_json::from_str(text).ok());
    inner.unwrap_or_else(|| value.clone())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A time in UTC, which the host writes without saying so.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let with_offset = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    with_offset.or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|time| time.and_utc())).ok()
}

fn from_base64(text: &str) -> Option<Bytes> {
    STANDARD.decode(text).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EVENT: &str = r#"{"event_id":"x","payload":{"a":"ü"}}"#;

    fn read(payload: &Value) -> Vec<Delivery> {
        parse(payload.to_string().as_bytes()).unwrap()
    }

    fn metadata() -> Value {
        json!({
            "MessageReceiver": {}, "Client": { "FullyQualifiedNamespace": "ns.servicebus.windows.net" },
            "DeliveryCount": "3", "LockToken": "\"6f1c\"", "SequenceNumber": "42", "MessageId": "\"m-1\"",
            "EnqueuedTimeUtc": "2026-11-21T01:39:42", "EnqueuedTime": "2026-11-21T01:39:42+00:00",
            "ApplicationProperties": { "traceparent": "00-1", "n": 5, "b": true, "z": null },
        })
    }

    #[test]
    fn a_message_is_read_however_its_body_is_wrapped() {
        let wrapped = Value::from(EVENT).to_string();
        for data in [json!(STANDARD.encode(EVENT)), json!(wrapped), json!(EVENT)] {
            let read = read(&json!({ "Data": { "message": data }, "Metadata": metadata() }));
            let [delivery] = &read[..] else { panic!("{read:?}") };
            assert_eq!(&delivery.body[..], EVENT.as_bytes(), "{data}");
            assert_eq!((delivery.message_id.as_str(), delivery.attempt), ("m-1", 3));
            assert_eq!(delivery.first_seen, Some("2026-11-21T01:39:42Z".parse().unwrap()));
            let properties: Vec<_> = delivery.properties.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(properties, [("b", "true"), ("n", "5"), ("traceparent", "00-1")]);
        }
        let native = read(&json!({ "Data": { "message": { "a": 1 } } }));
        assert_eq!(&native[0].body[..], br#"{"a":1}"#);
    }

    #[test]
    fn bodies_that_are_no_events_come_through_byte_for_byte() {
        for body in [&b""[..], b"null", b"[]", b"[\"a\"]", b"\"text\"", b"1234", b"\xff\xfe\0", b"e30=", b"{\"a\":"] {
            let binary = read(&json!({ "Data": { "m": STANDARD.encode(body) } }));
            assert_eq!(binary[0].body, body, "{:?}", String::from_utf8_lossy(body));
            if let Ok(text) = std::str::from_utf8(body) {
                let wrapped = read(&json!({ "Data": { "m": Value::from(text).to_string() } }));
                assert_eq!(wrapped[0].body, body, "{text}");
            }
        }
    }

    #[test]
    fn a_batch_is_read_in_columns() {
        let bodies = |encode: fn(&str) -> String| json!([encode(EVENT), encode("2")]).to_string();
        let columns = json!({
            "MessageIdArray": "[\"m1\",\"m2\"]", "DeliveryCountArray": "[1,7]",
            "EnqueuedTimeUtcArray": "[\"2026-11-21T01:39:42.123\"]",
            "ApplicationPropertiesArray": "[{\"k\":\"v\"},{\"bridge_attempt\":\"4\",\"bridge_copy_of\":\"m0\"}]",
        });
        for bodies in [bodies(|text| STANDARD.encode(text)), bodies(str::to_owned)] {
            let read = read(&json!({ "Data": { "messages": bodies }, "Metadata": columns }));
            let seen: Vec<_> = read.iter().map(|d| (&d.body[..], d.message_id.as_str(), d.attempt)).collect();
            assert_eq!(seen, [(EVENT.as_bytes(), "m1", 1), (&b"2"[..], "m2", 11)]);
            assert_eq!(read[0].first_seen, Some("2026-11-21T01:39:42.123Z".parse().unwrap()));
            assert!(read[1].properties.is_empty(), "what a copy carries is counted in and taken off");
        }
    }

    #[test]
    fn metadata_may_lack_anything_and_be_of_any_kind() {
        // As the documentation page encodes them: once. None of these may pass for a batch, least of all an empty one.
        for body in ["[]", "[\"a\"]", "[1]"] {
            let once = read(&json!({ "Data": { "m": body } }));
            assert_eq!((once.len(), &once[0].body[..]), (1, body.as_bytes()));
        }
        for items in ["[]", "[1]", "7"] {
            let payload = json!({ "Data": { "m": items }, "Metadata": { "MessageIdArray": "[]" } });
            assert!(parse(payload.to_string().as_bytes()).is_err(), "{items}");
        }
        for metadata in [json!(null), json!({}), json!(7), json!({ "DeliveryCount": null, "MessageId": [] })] {
            let read = read(&json!({ "Data": { "m": "e30=" }, "Metadata": metadata }));
            assert_eq!((read[0].attempt, read[0].first_seen, &read[0].body[..]), (1, None, &b"{}"[..]));
        }
        for wrong in ["{", "null", "[]", "{}", r#"{"Data":null}"#, r#"{"Data":{}}"#, r#"{"Data":{"m":null}}"#] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
