//! A Service Bus message as the port's delivery: body byte for byte, properties as texts, attempts over all copies.

use bridge_core::port::{Delivery, Properties, Receipt};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use fe2o3_amqp::{
    link::delivery::DeliveryInfo,
    types::{
        messaging::{
            AmqpValue, Body, Data, Message, MessageAnnotations, MessageId, annotations::OwnedKey,
            message::__private::Deserializable,
        },
        primitives::{LazyValue, SimpleValue, Value},
    },
};
use uuid::Uuid;

use super::{failure::Failure, well_formed::well_formed_message};
use crate::delivery;

/// Marks a copy that [`Queue::retry`](bridge_core::port::Queue::retry) scheduled, with the id of the message that it
/// replaced. A copy's own properties are those of the first message: what the bridge added is taken off again.
pub(super) const COPY_OF: &str = "bridge_copy_of";

/// Holds, as one JSON object, properties whose names HTTP cannot carry; see [`super::rest`].
pub(super) const PACKED: &str = "bridge_properties";

/// A body is left encoded until it is known to be bytes or text: an application may send any value, nested at will.
pub(super) type Encoded = Message<Body<LazyValue>>;

/// A message that came over a link and is locked for it.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) lock: Uuid,
    pub(super) info: DeliveryInfo,
    pub(super) delivery: Delivery,
}

/// A message that was looked at and not taken.
#[derive(Clone, Debug)]
pub struct Peeked {
    /// Its place in the queue: peek from this plus one for what comes after it.
    pub sequence_number: i64,
    /// The broker's name for the message.
    pub message_id: String,
    /// Deliveries so far, copies included.
    pub attempts: u32,
    /// When the message, or the first of its copies, came into the queue.
    pub first_seen: Option<DateTime<Utc>>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The texts beside the body; in a dead-letter sub-queue also `DeadLetterReason` and `DeadLetterErrorDescription`.
    pub properties: Properties,
}

/// Reads a delivery. The tag of a delivery is its lock, in the byte order of .NET.
pub(super) fn arrived(info: DeliveryInfo, message: Encoded) -> Result<Arrived, DeliveryInfo> {
    let Ok(tag) = <[u8; 16]>::try_from(&info.delivery_tag()[..]) else { return Err(info) };
    let lock = Uuid::from_bytes_le(tag);
    let peeked = peeked(message);
    let delivery = Delivery {
        receipt: Receipt(lock.to_string()),
        message_id: peeked.message_id,
        attempt: peeked.attempts.saturating_add(1),
        first_seen: peeked.first_seen,
        body: peeked.body,
        properties: peeked.properties,
    };
    Ok(Arrived { lock, info, delivery })
}

/// Reads an encoded message.
pub(super) fn decode(bytes: &[u8]) -> Result<Peeked, Failure> {
    if !well_formed_message(bytes) {
        return Err(Failure::unavailable("a message that is not encoded as AMQP is"));
    }
    let message: Deserializable<Encoded> = serde_amqp::from_slice(bytes).map_err(Failure::unavailable)?;
    Ok(peeked(message.0))
}

fn peeked(message: Encoded) -> Peeked {
    let annotations = message.message_annotations.unwrap_or_default();
    let enqueued = match annotation(&annotations, "x-opt-enqueued-time") {
        Some(Value::Timestamp(at)) => DateTime::from_timestamp_millis(at.milliseconds()),
        _ => None,
    };
    let mut properties = Properties::new();
    for (name, value) in message.application_properties.unwrap_or_default().0 {
        if let Some(text) = text(value) {
            properties.insert(name, text);
        }
    }
    let delivered = message.header.map_or(0, |header| header.delivery_count);
    let Counted { attempt, first_seen, properties } = counted(properties, delivered.saturating_add(1), enqueued);
    let attempts = attempt.saturating_sub(1);
    let sequence_number = match annotation(&annotations, "x-opt-sequence-number") {
        Some(Value::Long(number)) => *number,
        _ => 0,
    };
    let message_id = message.properties.and_then(|properties| properties.message_id).map(id_text);
    Peeked {
        sequence_number,
        // Not every sender gives an id, but the broker gives every message a number.
        message_id: message_id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("sequence-{sequence_number}")),
        attempts,
        first_seen,
        body: body(message.body),
        properties,
    }
}

/// A delivery's account over all copies of its message.
pub(crate) struct Counted {
    pub(crate) attempt: u32,
    pub(crate) first_seen: Option<DateTime<Utc>>,
    /// Those of the first message.
    pub(crate) properties: Properties,
}

/// Takes off what the bridge added to a message's properties, and counts it in: `deliveries` of this copy, which came
/// into the queue at `enqueued`.
pub(crate) fn counted(mut properties: Properties, deliveries: u32, enqueued: Option<DateTime<Utc>>) -> Counted {
    unpack(&mut properties);
    let attempt = delivery::attempt(&properties, deliveries);
    let first_seen = delivery::first_seen(&properties, enqueued);
    if properties.remove(COPY_OF).is_some() {
        properties.remove(delivery::ATTEMPT);
        properties.remove(delivery::FIRST_SEEN);
    }
    Counted { attempt, first_seen, properties }
}

fn annotation<'a>(annotations: &'a MessageAnnotations, name: &str) -> Option<&'a Value> {
    let named = |key: &OwnedKey| matches!(key, OwnedKey::Symbol(symbol) if symbol.0 == name);
    annotations.0.iter().find(|(key, _)| named(key)).map(|(_, value)| value)
}

fn body(body: Body<LazyValue>) -> Bytes {
    match body {
        Body::Data(parts) => {
            let mut parts = parts.into_iter().map(|Data(bytes)| bytes.into_vec());
            let first = parts.next().unwrap_or_default();
            parts.fold(first, |whole, part| [whole, part].concat()).into()
        }
        Body::Value(AmqpValue(encoded)) => value_body(encoded),
        Body::Sequence(rows) => {
            let rows = rows.into_iter().flat_map(|row| row.0).flat_map(|value| value.into_bytes().to_vec());
            rows.collect::<Vec<u8>>().into()
        }
        Body::Empty => Bytes::new(),
    }
}

/// Bytes and texts are a body; any other value stays as it was encoded, and so reaches a dead letter unharmed.
fn value_body(encoded: LazyValue) -> Bytes {
    /// AMQP 1.0, part 1, section 1.6: binary of two lengths, string of two lengths, null.
    const FLAT: [u8; 5] = [0xa0, 0xb0, 0xa1, 0xb1, 0x40];
    let bytes = encoded.into_bytes();
    if !bytes.first().is_some_and(|code| FLAT.contains(code)) {
        return bytes;
    }
    match serde_amqp::from_slice::<Value>(&bytes) {
        Ok(Value::Binary(body)) => body.into_vec().into(),
        Ok(Value::String(text)) => text.into(),
        Ok(Value::Null) => Bytes::new(),
        _ => bytes,
    }
}

/// A property as a text; none if it is null.
fn text(value: SimpleValue) -> Option<String> {
    Some(match value {
        SimpleValue::Null => return None,
        SimpleValue::String(text) => text,
        SimpleValue::Symbol(symbol) => symbol.0,
        SimpleValue::Bool(value) => value.to_string(),
        SimpleValue::Ubyte(value) => value.to_string(),
        SimpleValue::Ushort(value) => value.to_string(),
        SimpleValue::Uint(value) => value.to_string(),
        SimpleValue::Ulong(value) => value.to_string(),
        SimpleValue::Byte(value) => value.to_string(),
        SimpleValue::Short(value) => value.to_string(),
        SimpleValue::Int(value) => value.to_string(),
        SimpleValue::Long(value) => value.to_string(),
        SimpleValue::Float(value) => value.to_string(),
        SimpleValue::Double(value) => value.to_string(),
        SimpleValue::Char(value) => value.to_string(),
        SimpleValue::Uuid(value) => Uuid::from_bytes(value.into_inner()).to_string(),
        SimpleValue::Timestamp(at) => {
            DateTime::from_timestamp_millis(at.milliseconds())?.to_rfc3339_opts(SecondsFormat::Millis, true)
        }
        SimpleValue::Binary(bytes) => base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes),
        other => format!("{other:?}"),
    })
}

/// Undoes what [`super::rest`] did to names that HTTP cannot carry. What does not read as such is somebody else's.
fn unpack(properties: &mut Properties) {
    let packed = properties.get(PACKED).and_then(|text| serde_json::from_str::<Properties>(text).ok());
    if let Some(packed) = packed {
        properties.remove(PACKED);
        properties.extend(packed);
    }
}

pub(super) fn id_text(id: MessageId) -> String {
    match id {
        MessageId::String(text) => text,
        MessageId::Ulong(number) => number.to_string(),
        MessageId::Uuid(id) => Uuid::from_bytes(id.into_inner()).to_string(),
        MessageId::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::{
        messaging::{ApplicationProperties, Batch, Header, message::__private::Serializable},
        primitives::{Binary, Symbol, Timestamp},
    };

    use super::*;

    /// Whoever may send to the queue can send this; it must not end the worker.
    #[test]
    fn the_deepest_message_is_read_on_the_stack_that_is_asked_for() {
        const LEVEL: [u8; 3] = [0x00, 0x53, 0x00];
        let value = [&[0xa3, 1, b'a'][..], &LEVEL.repeat(256 * 1024 / LEVEL.len()), &[0x40]].concat();
        let length = |more: usize| u32::try_from(value.len() + more).unwrap().to_be_bytes();
        let message = [&[0x00, 0x53, 0x72, 0xd1][..], &length(4), &[0, 0, 0, 2], &value].concat();
        assert!(decode(&message).is_err(), "too deep to be looked at");
        let decoder = std::thread::Builder::new().stack_size(super::super::STACK_BYTES);
        let read = decoder.spawn(move || serde_amqp::from_slice::<Deserializable<Encoded>>(&message).is_ok());
        assert!(read.unwrap().join().unwrap());
    }

    fn encode<B: fe2o3_amqp::types::messaging::SerializableBody>(message: Message<B>) -> Vec<u8> {
        serde_amqp::to_vec(&Serializable(message)).unwrap()
    }

    fn named(properties: &[(&str, SimpleValue)]) -> ApplicationProperties {
        ApplicationProperties(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn string(text: &str) -> SimpleValue {
        SimpleValue::String(text.to_owned())
    }

    fn annotations() -> MessageAnnotations {
        let at = Timestamp::from_milliseconds(1_763_686_800_500);
        let entries = [("x-opt-sequence-number", Value::Long(7)), ("x-opt-enqueued-time", Value::Timestamp(at))];
        MessageAnnotations(entries.into_iter().map(|(name, value)| (Symbol::from(name).into(), value)).collect())
    }

    #[test]
    fn a_message_is_read_whole() {
        let message = Message::builder()
            .header(Header { delivery_count: 2, ..Header::default() })
            .message_annotations(annotations())
            .properties(fe2o3_amqp::types::messaging::Properties {
                message_id: Some(MessageId::String("m".to_owned())),
                ..Default::default()
            })
            .application_properties(named(&[
                ("é", string("ü")),
                ("n", SimpleValue::Int(-5)),
                ("null", SimpleValue::Null),
            ]))
            .data(Binary::from(vec![0, 0xff]))
            .build();
        let peeked = decode(&encode(message)).unwrap();
        assert_eq!((peeked.sequence_number, peeked.message_id.as_str(), peeked.attempts), (7, "m", 2));
        assert_eq!(peeked.first_seen, DateTime::from_timestamp_millis(1_763_686_800_500));
        assert_eq!(peeked.body[..], [0, 0xff]);
        let texts = [("n", "-5"), ("é", "ü")];
        assert!(peeked.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(texts));
    }

    #[test]
    fn a_copy_goes_on_counting_and_looks_like_the_first() {
        let properties = [
            (delivery::ATTEMPT, string("4")),
            (delivery::FIRST_SEEN, string("2025-11-20T00:00:00Z")),
            (COPY_OF, string("m")),
            ("own", string("x")),
        ];
        let copy = |properties: &[(&str, SimpleValue)]| {
            let message = Message::builder()
                .header(Header { delivery_count: 1, ..Header::default() })
                .message_annotations(annotations())
                .application_properties(named(properties))
                .data(Binary::from(vec![]));
            decode(&encode(message.build())).unwrap()
        };
        let peeked = copy(&properties);
        assert_eq!(peeked.attempts, 5);
        assert_eq!(peeked.first_seen, Some("2025-11-20T00:00:00Z".parse().unwrap()));
        assert_eq!(peeked.properties.into_iter().collect::<Vec<_>>(), [("own".to_owned(), "x".to_owned())]);
        let letter = copy(&properties[..2]);
        assert_eq!(letter.attempts, 5);
        assert_eq!(letter.properties.len(), 2, "what a sender wrote stays, though it has the same names");
    }

    #[test]
    fn packed_properties_are_unpacked() {
        let packed = decode(&encode(
            Message::builder()
                .application_properties(named(&[(PACKED, string(r#"{"Owed":"b","a b":"c"}"#)), ("plain", string("p"))]))
                .data(Binary::from(vec![]))
                .build(),
        ));
        let texts = [("Owed", "b"), ("a b", "c"), ("plain", "p")];
        assert!(packed.unwrap().properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(texts));
        let foreign = Message::builder()
            .application_properties(named(&[(PACKED, string("[1]"))]))
            .value(LazyValue::from_reader(&mut serde_amqp::read::SliceReader::new(&[0x40])).unwrap())
            .build();
        assert_eq!(decode(&encode(foreign)).unwrap().properties[PACKED], "[1]");
    }

    #[test]
    fn bodies_are_bytes_whatever_section_they_came_in() {
        let body = |bytes: Vec<u8>| decode(&bytes).unwrap().body;
        let parts = Batch::from(vec![Data(Binary::from(b"ab".to_vec())), Data(Binary::from(b"cd".to_vec()))]);
        assert_eq!(body(encode(Message::builder().data_batch(parts).build()))[..], *b"abcd");
        assert_eq!(body(encode(Message::builder().value(Value::String("text".to_owned())).build()))[..], *b"text");
        assert_eq!(body(encode(Message::builder().value(Value::Binary(Binary::from(vec![1]))).build()))[..], [1]);
        assert!(body(encode(Message::builder().value(Value::Null).build())).is_empty());
        assert_eq!(body(encode(Message::builder().value(Value::Int(5)).build()))[..], [0x54, 5]);
    }

    /// Decoding such a value would need a stack frame for each level.
    #[test]
    fn a_value_nested_a_hundred_thousand_times_is_left_as_it_is() {
        // Lists of one, each with nine bytes before its item: code, size and count. The innermost item is an empty list.
        let levels = (0..100_000u32).rev().flat_map(|inside| {
            let size = inside * 9 + 5;
            [&[0xd0][..], &size.to_be_bytes(), &1u32.to_be_bytes()].concat()
        });
        let value: Vec<u8> = levels.chain([0x45]).collect();
        let encoded = [&[0x00, 0x53, 0x77][..], &value].concat();
        assert_eq!(decode(&encoded).unwrap().body, value);
    }
}
