//! `POST /QUEUE/messages`: one message as it stands, or a batch as JSON.
//!
//! Source: "Send message" and "Send message batch" of the Service Bus runtime REST reference, read 2026-11.

use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{App, Failed, properties, text};
use crate::service_bus::message::Parsed;
use crate::service_bus::queue::Part;
use crate::service_bus::transfer::{message_problem, publish_parsed, size_exceeded};

const BATCH_TYPE: &str = "application/vnd.microsoft.servicebus.json";
const BROKER_PROPERTIES: &str = "brokerproperties";

/// Headers that belong to HTTP and do not become custom properties. HTTP libraries give names in lower case, so custom
/// properties from headers have such names, too; those of a batch keep theirs.
const HTTP_HEADERS: [&str; 26] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    BROKER_PROPERTIES,
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "from",
    "host",
    "keep-alive",
    "origin",
    "pragma",
    "referer",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    #[serde(default)]
    body: Value,
    #[serde(default)]
    broker_properties: Option<serde_json::Map<String, Value>>,
    #[serde(default)]
    user_properties: Option<serde_json::Map<String, Value>>,
}

pub(super) fn send(app: &App, path: &str, parts: &Parts, body: Result<Bytes, Failed>) -> Result<Response, Failed> {
    let place = app.broker.place(path).ok_or_else(|| Failed::no_entity(path))?;
    if place.part == Part::DeadLetter {
        return Err(Failed::bad_request("messages cannot be sent to a dead-letter queue; send to the queue itself"));
    }
    let limit = app.broker.message_bytes_max(&place.cell);
    let body = body?;
    let content_type = text(&parts.headers, "content-type");
    let is_batch = content_type
        .is_some_and(|given| given.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(BATCH_TYPE)));
    let encoded = if is_batch { batch(&body)? } else { vec![single(parts, content_type, &body)?] };
    if let Some(size) = encoded.iter().map(Bytes::len).find(|size| *size > limit) {
        return Err(size_exceeded(size, limit).into());
    }
    let parsed: Result<Vec<_>, _> = encoded.iter().map(|bytes| Parsed::new(bytes)).collect();
    publish_parsed(&app.broker, &place, &parsed.map_err(message_problem)?)?;
    Ok((StatusCode::CREATED, [(header::CONTENT_TYPE, "application/xml; charset=utf-8")]).into_response())
}

fn single(parts: &Parts, content_type: Option<&str>, body: &[u8]) -> Result<Bytes, Failed> {
    let broker = match parts.headers.get(BROKER_PROPERTIES) {
        Some(json) => properties::Broker::from_header(json.as_bytes())?,
        None => properties::Broker::default(),
    };
    let custom = parts.headers.iter().filter(|(name, _)| is_custom(name));
    let custom: Result<Vec<_>, _> =
        custom.map(|(name, value)| properties::custom_from_header(name.as_str(), value.as_bytes())).collect();
    Ok(broker.or_content_type(content_type).encode(&custom?, body))
}

fn is_custom(name: &HeaderName) -> bool {
    let name = name.as_str();
    !HTTP_HEADERS.contains(&name) && !name.starts_with("if-") && !name.starts_with("proxy-")
}

pub(super) fn batch(body: &[u8]) -> Result<Vec<Bytes>, Failed> {
    let items: Vec<Item> = serde_json::from_slice(body)
        .map_err(|error| Failed::bad_request(format!("the batch is not a JSON array of messages: {error}")))?;
    if items.is_empty() {
        return Err(Failed::bad_request("the batch holds no message"));
    }
    items.iter().map(encode_item).collect()
}

fn encode_item(item: &Item) -> Result<Bytes, Failed> {
    let Value::String(body) = &item.body else {
        return Err(Failed::bad_request("the Body of every message of a batch must be a string"));
    };
    let broker = match &item.broker_properties {
        Some(object) => properties::Broker::new(object)?,
        None => properties::Broker::default(),
    };
    let custom = item.user_properties.iter().flatten();
    let custom: Result<Vec<_>, _> = custom.map(|(name, value)| properties::custom(name, value)).collect();
    Ok(broker.encode(&custom?, body.as_bytes()))
}
