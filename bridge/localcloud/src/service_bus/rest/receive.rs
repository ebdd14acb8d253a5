//! Receiving over HTTP: lock the first message, or take it; then complete, unlock or renew by its lock token.
//!
//! Source: "Peek-lock message", "Receive and delete message", "Delete message", "Unlock message", "Renew lock" of the
//! Service Bus runtime REST reference, read 2026-11.

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{App, Failed, query};
use crate::http::http_date;
use crate::service_bus::broker::Place;
use crate::service_bus::encoding::{self, Item};
use crate::service_bus::message::{APPLICATION_PROPERTIES, Changes, DATA, PROPERTIES};
use crate::service_bus::queue::{Delivery, LockLost, Mode, Verdict};

/// Source: "Peek-lock message", "timeout": 60 seconds unless asked otherwise, read 2026-11.
const WAIT: Duration = Duration::from_mins(1);

pub(super) async fn receive(app: &App, path: &str, parts: &Parts, delete: bool) -> Result<Response, Failed> {
    if !delete && parts.method != Method::POST {
        return Err(Failed::new(StatusCode::METHOD_NOT_ALLOWED, "POST locks the first message, DELETE takes it"));
    }
    let place = app.broker.place(path).ok_or_else(|| Failed::no_entity(path))?;
    let seconds = query(parts, "timeout").and_then(|text| text.parse().ok());
    let wait = seconds.map_or(WAIT, |seconds| Duration::from_secs(seconds).min(WAIT));
    let mode = if delete { Mode::ReceiveAndDelete } else { Mode::PeekLock };
    let waiter = Waiter { place, notify: Arc::default() };
    let delivery = tokio::time::timeout(wait, async {
        loop {
            if let Some(delivery) = app.broker.take(&waiter.place, mode, &waiter.notify) {
                return delivery;
            }
            waiter.notify.notified().await;
        }
    });
    match delivery.await {
        Ok(delivery) => Ok(respond(parts, path, &delivery, delete)),
        Err(_) => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Passes on what it was woken for when it goes before it could take it.
struct Waiter {
    place: Place,
    notify: Arc<Notify>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.place.leave(&self.notify);
    }
}

pub(super) fn settle(app: &App, path: &str, parts: &Parts, token: &str) -> Result<Response, Failed> {
    let place = app.broker.place(path).ok_or_else(|| Failed::no_entity(path))?;
    let token: Uuid = token.parse().map_err(|_| Failed::bad_request("the lock token is not a UUID"))?;
    let part = place.part;
    let outcome = app.broker.with(&place.cell, |queue, now| match parts.method {
        Method::DELETE => Some(queue.settle(now, part, token, Verdict::Complete)),
        Method::PUT => {
            let unlock = Verdict::Return { failed: true, changes: Changes::new() };
            Some(queue.settle(now, part, token, unlock))
        }
        Method::POST => Some(queue.renew(now, part, &[token]).map(drop)),
        _ => None,
    });
    match outcome {
        Some(Ok(())) => Ok(StatusCode::OK.into_response()),
        Some(Err(LockLost)) => Err(Failed::new(StatusCode::NOT_FOUND, "40403: the lock is unknown or has expired")),
        None => Err(Failed::new(StatusCode::METHOD_NOT_ALLOWED, "DELETE completes, PUT unlocks, POST renews the lock")),
    }
}

fn respond(parts: &Parts, path: &str, delivery: &Delivery, delete: bool) -> Response {
    let received = Received::new(delivery);
    let mut broker = received.broker;
    let id = broker.get("MessageId").and_then(Value::as_str).unwrap_or("").to_owned();
    broker.insert("SequenceNumber".into(), delivery.sequence.into());
    if !delete {
        broker.insert("LockToken".into(), delivery.token.to_string().into());
        let until = std::time::UNIX_EPOCH + Duration::from_millis(delivery.locked_until.unsigned_abs());
        broker.insert("LockedUntilUtc".into(), http_date(until).into());
    }
    let status = if delete { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = (status, received.body.freeze()).into_response();
    let headers = response.headers_mut();
    let mut put = |name: &str, value: &str| {
        // Names and values that HTTP cannot hold are left out.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    };
    for (name, value) in &received.custom {
        put(name, value);
    }
    put("content-type", received.content_type.as_deref().unwrap_or("application/octet-stream"));
    put("brokerproperties", &Value::Object(broker).to_string());
    if !delete {
        let host = super::text(&parts.headers, "host").unwrap_or("localhost");
        put(header::LOCATION.as_str(), &format!("http://{host}/{path}/messages/{id}/{}", delivery.token));
    }
    response
}

/// A delivery, as far as HTTP shows it.
#[derive(Default)]
struct Received {
    broker: serde_json::Map<String, Value>,
    content_type: Option<String>,
    custom: Vec<(String, String)>,
    body: BytesMut,
}

impl Received {
    fn new(delivery: &Delivery) -> Self {
        let mut received = Self::default();
        let whole: Bytes = [&delivery.bytes.0[..], &delivery.bytes.1[..]].concat().into();
        // Whatever is in a queue has been checked, so what cannot be read is not there.
        let _ = received.read(&whole);
        received
    }

    fn read(&mut self, mut rest: &[u8]) -> Result<(), encoding::EncodingError> {
        while !rest.is_empty() {
            let (descriptor, value) = encoding::described(encoding::split(&mut rest)?)?;
            match descriptor {
                Item::Unsigned(0x70) => self.read_header(value)?,
                Item::Unsigned(code) if code == u64::from(PROPERTIES) => self.read_properties(value)?,
                Item::Unsigned(code) if code == u64::from(APPLICATION_PROPERTIES) => {
                    for (name, value) in encoding::pairs(value)? {
                        if let Item::Text(name) = encoding::read(name)? {
                            self.custom.push((name.to_owned(), header_value(encoding::read(value)?, value)));
                        }
                    }
                }
                Item::Unsigned(code) if code == u64::from(DATA) => {
                    if let Item::Binary(bytes) = encoding::read(value)? {
                        self.body.extend_from_slice(bytes);
                    }
                }
                // A body that is a value: text and binary as they are, anything else as it is encoded.
                Item::Unsigned(0x77) => match encoding::read(value)? {
                    Item::Text(text) => self.body.extend_from_slice(text.as_bytes()),
                    Item::Binary(bytes) => self.body.extend_from_slice(bytes),
                    Item::Null => {}
                    _ => self.body.extend_from_slice(value),
                },
                _ => {}
            }
        }
        Ok(())
    }

    fn read_header(&mut self, value: &[u8]) -> Result<(), encoding::EncodingError> {
        let (_, mut fields) = encoding::elements(value)?;
        for index in 0.. {
            if fields.is_empty() {
                break;
            }
            match (index, encoding::next(&mut fields)?) {
                (2, Item::Unsigned(milliseconds)) => {
                    let seconds = Duration::from_millis(milliseconds).as_secs_f64();
                    self.broker.insert("TimeToLive".into(), json!(seconds));
                }
                // Over HTTP the first delivery is number one.
                (4, Item::Unsigned(count)) => {
                    self.broker.insert("DeliveryCount".into(), json!(count + 1));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_properties(&mut self, value: &[u8]) -> Result<(), encoding::EncodingError> {
        let (_, mut fields) = encoding::elements(value)?;
        for index in 0.. {
            if fields.is_empty() {
                break;
            }
            let text = match encoding::next(&mut fields)? {
                Item::Text(text) => text.to_owned(),
                Item::Unsigned(number) => number.to_string(),
                Item::Uuid(uuid) => Uuid::from_bytes(uuid).to_string(),
                _ => continue,
            };
            let name = match index {
                0 => "MessageId",
                2 => "To",
                3 => "Label",
                4 => "ReplyTo",
                5 => "CorrelationId",
                10 => "SessionId",
                12 => "ReplyToSessionId",
                6 => {
                    self.content_type = Some(text);
                    continue;
                }
                _ => continue,
            };
            self.broker.insert(name.into(), text.into());
        }
        Ok(())
    }
}

fn header_value(item: Item<'_>, value: &[u8]) -> String {
    match item {
        Item::Text(text) => Value::from(text).to_string(),
        Item::Bool(value) => value.to_string(),
        Item::Unsigned(number) => number.to_string(),
        Item::Signed(number) => number.to_string(),
        Item::Timestamp(at) => {
            let at = std::time::UNIX_EPOCH + Duration::from_millis(at.unsigned_abs());
            Value::from(http_date(at)).to_string()
        }
        Item::Uuid(uuid) => Value::from(Uuid::from_bytes(uuid).to_string()).to_string(),
        Item::Null => "null".to_owned(),
        Item::Binary(_) | Item::Other => match value.split_first() {
            Some((0x82, double)) => f64::from_be_bytes(double.try_into().unwrap_or_default()).to_string(),
            Some((0x72, float)) => f32::from_be_bytes(float.try_into().unwrap_or_default()).to_string(),
            _ => "\"\"".to_owned(),
        },
    }
}
