//! The operations of `<queue>/$management`: peek, renew, settle by token, receive by number, schedule, cancel.
//!
//! Source: AMQP 1.0 in Azure Service Bus: request-response-based operations, read 2026-11.

use fe2o3_amqp_types::messaging::{AmqpValue, Body};
use serde_amqp::Value;
use serde_amqp::primitives::{Array, Binary, OrderedMap, Timestamp, Uuid as AmqpUuid};
use uuid::Uuid;

use super::broker::{Broker, Place};
use super::message::{Changes, Parsed};
use super::problem::{self, ARGUMENT_ERROR, LOCK_LOST, LOCK_LOST_TEXT, MESSAGE_NOT_FOUND};
use super::queue::{Delivery, LockLost, Mode, NotDeferred, Verdict};
use super::requests::Content;
use super::settle::change;
use super::transfer::{message_problem, publish_parsed, size_exceeded};

pub(super) type Map = OrderedMap<Value, Value>;
type Outcome = Result<(i32, Map), Denial>;

/// Bytes of one answer to a peek, more or less; the client asks again for the rest.
const PEEK_BYTES_MAX: usize = 256 * 1024;

/// An answer with an error.
#[derive(Debug)]
pub(super) struct Denial {
    pub(super) code: i32,
    pub(super) condition: String,
    pub(super) description: String,
}

impl Denial {
    pub(super) fn new(code: i32, condition: &str, description: impl Into<String>) -> Self {
        Self { code, condition: condition.to_owned(), description: description.into() }
    }
}

impl From<LockLost> for Denial {
    fn from(_: LockLost) -> Self {
        Self::new(410, LOCK_LOST, LOCK_LOST_TEXT)
    }
}

impl From<NotDeferred> for Denial {
    fn from(NotDeferred(sequence): NotDeferred) -> Self {
        Self::new(404, MESSAGE_NOT_FOUND, format!("There is no deferred message with the sequence number {sequence}."))
    }
}

impl From<fe2o3_amqp_types::definitions::Error> for Denial {
    fn from(error: fe2o3_amqp_types::definitions::Error) -> Self {
        let condition = problem::name(&error);
        let code = match condition.as_str() {
            "amqp:link:message-size-exceeded" => 413,
            "amqp:resource-limit-exceeded" => 403,
            "amqp:not-found" => 404,
            _ => 400,
        };
        Self { code, condition, description: error.description.unwrap_or_default() }
    }
}

/// The name under which an operation can be made to fail.
pub(super) fn fault_name(operation: &str) -> Option<&'static str> {
    match operation {
        "com.microsoft:peek-message" => Some("peek"),
        "com.microsoft:renew-lock" => Some("renew"),
        "com.microsoft:update-disposition" => Some("settle"),
        "com.microsoft:receive-by-sequence-number" => Some("receive"),
        "com.microsoft:schedule-message" => Some("schedule"),
        "com.microsoft:cancel-scheduled-message" => Some("cancel"),
        _ => None,
    }
}

pub(super) fn manage(broker: &Broker, place: &Place, operation: &str, request: &Content) -> Outcome {
    let nothing = Map::new();
    let body = match &request.body {
        Body::Value(AmqpValue(Value::Map(map))) => map,
        _ => &nothing,
    };
    if place.cell.is_removed() {
        return Err(Denial::new(404, "amqp:not-found", "The messaging entity has been deleted."));
    }
    match operation {
        "com.microsoft:peek-message" => peek(broker, place, body),
        "com.microsoft:renew-lock" => renew(broker, place, body),
        "com.microsoft:update-disposition" => settle(broker, place, body),
        "com.microsoft:receive-by-sequence-number" => receive(broker, place, body),
        "com.microsoft:schedule-message" => schedule(broker, place, body),
        "com.microsoft:cancel-scheduled-message" => {
            let sequences = integers(body, "sequence-numbers")?;
            broker.with(&place.cell, |queue, now| queue.cancel(now, &sequences));
            Ok((200, Map::new()))
        }
        other => {
            let shown: String = other.chars().take(100).collect();
            Err(Denial::new(501, "amqp:not-implemented", format!("the operation '{shown}' is not available here")))
        }
    }
}

fn peek(broker: &Broker, place: &Place, body: &Map) -> Outcome {
    let from = integer(body, "from-sequence-number")?;
    let count = usize::try_from(integer(body, "message-count")?).unwrap_or(0);
    let found = broker.with(&place.cell, |queue, now| queue.peek(now, place.part, from, count, PEEK_BYTES_MAX));
    if found.is_empty() {
        return Ok((204, Map::new()));
    }
    let messages = found.into_iter().map(|bytes| map([("message", message(&bytes))])).collect();
    Ok((200, entries([("messages", Value::List(messages))])))
}

fn renew(broker: &Broker, place: &Place, body: &Map) -> Outcome {
    let tokens = tokens(body)?;
    let until = broker.with(&place.cell, |queue, now| queue.renew(now, place.part, &tokens))?;
    let until = until.into_iter().map(|at| Value::Timestamp(Timestamp::from(at))).collect();
    Ok((200, entries([("expirations", Value::Array(Array(until)))])))
}

fn settle(broker: &Broker, place: &Place, body: &Map) -> Outcome {
    let verdict = verdict(body)?;
    for token in tokens(body)? {
        broker.with(&place.cell, |queue, now| queue.settle(now, place.part, token, verdict.clone()))?;
    }
    Ok((200, Map::new()))
}

fn receive(broker: &Broker, place: &Place, body: &Map) -> Outcome {
    let sequences = integers(body, "sequence-numbers")?;
    // 0 is "first": the message is settled, and so deleted, as it is handed out.
    let mode = match field(body, "receiver-settle-mode").and_then(as_integer) {
        Some(0) => Mode::ReceiveAndDelete,
        _ => Mode::PeekLock,
    };
    let found = broker.with(&place.cell, |queue, now| queue.take_deferred(now, place.part, &sequences, mode))?;
    let messages = found.into_iter().map(|Delivery { token, bytes, .. }| {
        map([("lock-token", Value::Uuid(AmqpUuid::from(token))), ("message", message(&bytes))])
    });
    Ok((200, entries([("messages", Value::List(messages.collect()))])))
}

fn schedule(broker: &Broker, place: &Place, body: &Map) -> Outcome {
    let limit = broker.message_bytes_max(&place.cell);
    let mut batch = Vec::new();
    for item in items(body, "messages")? {
        let Value::Map(item) = item else { return Err(bad_request("messages")) };
        let Some(Value::Binary(bytes)) = field(item, "message") else { return Err(bad_request("message")) };
        if bytes.len() > limit {
            return Err(size_exceeded(bytes.len(), limit).into());
        }
        let parsed = Parsed::new(bytes).map_err(message_problem)?;
        if parsed.scheduled.is_none() {
            return Err(Denial::new(400, ARGUMENT_ERROR, "x-opt-scheduled-enqueue-time is missing"));
        }
        batch.push(parsed);
    }
    let sequences = publish_parsed(broker, place, &batch)?;
    let sequences = sequences.into_iter().map(Value::Long).collect();
    Ok((200, entries([("sequence-numbers", Value::Array(Array(sequences)))])))
}

fn verdict(body: &Map) -> Result<Verdict, Denial> {
    let text = |key| match field(body, key) {
        Some(Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    let changes = match field(body, "properties-to-modify") {
        Some(Value::Map(map)) => map.iter().filter_map(|(key, value)| change(name(key), value)).collect(),
        _ => Changes::new(),
    };
    match text("disposition-status").as_deref() {
        Some("completed") => Ok(Verdict::Complete),
        Some("abandoned") => Ok(Verdict::Return { failed: true, changes }),
        // Spelt so by the service.
        Some("defered") => Ok(Verdict::Defer { changes }),
        Some("suspended") => {
            let (reason, description) = (text("deadletter-reason"), text("deadletter-description"));
            Ok(Verdict::DeadLetter { reason, description, changes })
        }
        _ => Err(bad_request("disposition-status")),
    }
}

fn bad_request(field: &str) -> Denial {
    Denial::new(400, "amqp:invalid-field", format!("{field} is missing or malformed"))
}

/// The clients differ in whether keys are strings or symbols.
fn name(key: &Value) -> &str {
    match key {
        Value::String(text) => text,
        Value::Symbol(symbol) => symbol.as_str(),
        _ => "",
    }
}

fn field<'a>(body: &'a Map, key: &str) -> Option<&'a Value> {
    body.iter().find(|(candidate, _)| name(candidate) == key).map(|(_, value)| value)
}

/// The clients also differ in whether they send a list or an array, and a lone value stands for a list of one.
fn items<'a>(body: &'a Map, key: &str) -> Result<&'a [Value], Denial> {
    match field(body, key) {
        Some(Value::List(list)) => Ok(list),
        Some(Value::Array(array)) => Ok(&array.0),
        Some(single) => Ok(std::slice::from_ref(single)),
        None => Err(bad_request(key)),
    }
}

fn integers(body: &Map, key: &str) -> Result<Vec<i64>, Denial> {
    items(body, key)?.iter().map(|value| as_integer(value).ok_or_else(|| bad_request(key))).collect()
}

fn integer(body: &Map, key: &str) -> Result<i64, Denial> {
    field(body, key).and_then(as_integer).ok_or_else(|| bad_request(key))
}

fn as_integer(value: &Value) -> Option<i64> {
    match *value {
        Value::Long(number) => Some(number),
        Value::Int(number) => Some(number.into()),
        Value::Uint(number) => Some(number.into()),
        Value::Ubyte(number) => Some(number.into()),
        Value::Ulong(number) => number.try_into().ok(),
        _ => None,
    }
}

fn tokens(body: &Map) -> Result<Vec<Uuid>, Denial> {
    let token = |value: &Value| match value {
        Value::Uuid(uuid) => Ok(Uuid::from_bytes(*uuid.as_inner())),
        _ => Err(bad_request("lock-tokens")),
    };
    items(body, "lock-tokens")?.iter().map(token).collect()
}

fn message((head, bare): &(bytes::Bytes, bytes::Bytes)) -> Value {
    Value::Binary(Binary::from([&head[..], &bare[..]].concat()))
}

fn entries<const N: usize>(pairs: [(&str, Value); N]) -> Map {
    let mut map = Map::new();
    for (key, value) in pairs {
        map.insert(Value::from(key), value);
    }
    map
}

fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(entries(pairs))
}
