//! A Service Bus message as the port's delivery: body byte for byte, properties as texts, attempts over all copies.
//!
//! A sender may write any value into most sections, nested at will. So a message is read where it lies, and what is not
//! asked for is not looked into.

use bridge_core::port::{Delivery, Properties, Receipt};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use fe2o3_amqp::{
    link::delivery::DeliveryInfo,
    types::messaging::{Batch, Data},
};
use uuid::Uuid;

use super::amqp::encoding::{Item, Malformed, described, item, pairs, split, values};
use crate::delivery::{Counted, counted};

/// Holds, as one JSON object, properties whose names HTTP cannot carry; see [`super::rest`].
pub(super) const PACKED: &str = "bridge_properties";

/// What a link hands over: a message as it was encoded, wrapped frame by frame; see [`super::amqp::frames`].
pub(super) type Wrapped = Batch<Data>;

/// The message that was wrapped.
pub(super) fn unwrapped(wrapped: Wrapped) -> Bytes {
    let mut parts = wrapped.into_iter().map(|Data(bytes)| bytes.into_vec());
    let first = parts.next().unwrap_or_default();
    let rest: Vec<Vec<u8>> = parts.collect();
    if rest.is_empty() { first.into() } else { [&[first][..], &rest].concat().concat().into() }
}

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
///
/// A message that cannot be read is a delivery too, of the bytes as they came: no event begins with the byte that an AMQP
/// section does, so it is set aside with a reason, and the queue goes on.
pub(super) fn arrived(info: DeliveryInfo, encoded: Bytes) -> Result<Arrived, DeliveryInfo> {
    let Ok(tag) = <[u8; 16]>::try_from(&info.delivery_tag()[..]) else { return Err(info) };
    let lock = Uuid::from_bytes_le(tag);
    let peeked = read(encoded);
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

/// Reads an encoded message; one that cannot be read stays as it is, as its own body.
pub(super) fn read(encoded: Bytes) -> Peeked {
    match Sections::of(&encoded) {
        Ok(sections) => sections.read(&encoded),
        Err(error) => {
            tracing::warn!(%error, bytes = encoded.len(), "a Service Bus message is not encoded as AMQP says");
            let message_id = "unreadable".to_owned();
            let properties = Properties::new();
            Peeked { sequence_number: 0, message_id, attempts: 0, first_seen: None, body: encoded, properties }
        }
    }
}

/// The sections of a message that are of interest. AMQP 1.0, part 3, section 3.2.
#[derive(Default)]
pub(super) struct Sections<'a> {
    header: Option<&'a [u8]>,
    message_annotations: Option<&'a [u8]>,
    properties: Option<&'a [u8]>,
    application_properties: Option<&'a [u8]>,
    body: Vec<(Body, &'a [u8])>,
}

#[derive(Clone, Copy, PartialEq)]
enum Body {
    Data,
    Sequence,
    Value,
}

impl<'a> Sections<'a> {
    pub(super) fn of(mut encoded: &'a [u8]) -> Result<Self, Malformed> {
        let mut sections = Self::default();
        while let Some(&first) = encoded.first() {
            let section = split(&mut encoded)?;
            let (descriptor, value) = described(section).ok_or(Malformed::Unexpected(first))?;
            match descriptor {
                Item::Unsigned(0x70) | Item::Symbol("amqp:header:list") => sections.header = Some(value),
                Item::Unsigned(0x72) | Item::Symbol("amqp:message-annotations:map") => {
                    sections.message_annotations = Some(value);
                }
                Item::Unsigned(0x73) | Item::Symbol("amqp:properties:list") => sections.properties = Some(value),
                Item::Unsigned(0x74) | Item::Symbol("amqp:application-properties:map") => {
                    sections.application_properties = Some(value);
                }
                Item::Unsigned(0x75) | Item::Symbol("amqp:data:binary") => sections.body.push((Body::Data, value)),
                Item::Unsigned(0x76) | Item::Symbol("amqp:amqp-sequence:list") => {
                    sections.body.push((Body::Sequence, value));
                }
                Item::Unsigned(0x77) | Item::Symbol("amqp:amqp-value:*") => sections.body.push((Body::Value, value)),
                // Delivery annotations, and the footer.
                Item::Unsigned(0x71 | 0x78) | Item::Symbol("amqp:delivery-annotations:map" | "amqp:footer:map") => {}
                _ => return Err(Malformed::Unexpected(first)),
            }
        }
        Ok(sections)
    }

    fn read(&self, encoded: &Bytes) -> Peeked {
        let enqueued = match self.annotation("x-opt-enqueued-time") {
            Some(Item::Timestamp(at)) => DateTime::from_timestamp_millis(at),
            _ => None,
        };
        let sequence_number = match self.annotation("x-opt-sequence-number") {
            Some(Item::Signed(number)) => number,
            _ => 0,
        };
        let delivered = match field(self.header, HEADER_DELIVERY_COUNT) {
            Some(Item::Unsigned(count)) => u32::try_from(count).unwrap_or(u32::MAX),
            _ => 0,
        };
        let Counted { attempt, first_seen, properties } =
            counted(self.named_texts(), delivered.saturating_add(1), enqueued);
        let message_id = field(self.properties, PROPERTIES_MESSAGE_ID).and_then(id_text);
        Peeked {
            sequence_number,
            // Not every sender gives an id, but the broker gives every message a number.
            message_id: message_id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("sequence-{sequence_number}")),
            attempts: attempt.saturating_sub(1),
            first_seen,
            body: self.body(encoded),
            properties,
        }
    }

    fn annotation(&self, name: &str) -> Option<Item<'a>> {
        let mut pairs = pairs(self.message_annotations?).ok()?.flatten();
        pairs.find(|(key, _)| item(key) == Item::Symbol(name)).map(|(_, value)| item(value))
    }

    /// The application properties, as texts.
    fn named_texts(&self) -> Properties {
        let Some(Ok(pairs)) = self.application_properties.map(pairs) else { return Properties::new() };
        let named = |(key, value): (&[u8], &[u8])| match item(key) {
            Item::Text(name) | Item::Symbol(name) => Some((name.to_owned(), text(value)?)),
            _ => None,
        };
        let mut texts = pairs.flatten().filter_map(named).collect();
        unpack(&mut texts);
        texts
    }

    /// Bytes and texts are a body; any other value stays as it was encoded, and so reaches a dead letter unharmed.
    fn body(&self, encoded: &Bytes) -> Bytes {
        let part = |(body, value): &(Body, &'a [u8])| match (body, item(value)) {
            (Body::Data | Body::Value, Item::Binary(bytes)) => bytes,
            (Body::Value, Item::Text(text)) => text.as_bytes(),
            (Body::Value, Item::Null) => &[],
            (Body::Sequence, _) => content(value),
            _ => *value,
        };
        match &self.body[..] {
            [one] => encoded.slice_ref(part(one)),
            parts => parts.iter().flat_map(part).copied().collect(),
        }
    }
}

/// Where the fields of these sections stand. AMQP 1.0, part 3, sections 3.2.1 and 3.2.4.
const HEADER_DELIVERY_COUNT: usize = 4;
const PROPERTIES_MESSAGE_ID: usize = 0;

fn field(list: Option<&[u8]>, at: usize) -> Option<Item<'_>> {
    values(list?).ok()?.nth(at)?.ok().map(item)
}

/// The encoded values of a list, without what is around them.
fn content(list: &[u8]) -> &[u8] {
    match list.first() {
        Some(0xc0) => list.get(3..).unwrap_or_default(),
        Some(0xd0) => list.get(9..).unwrap_or_default(),
        _ => &[],
    }
}

/// A property as a text; none if it is null, or no simple value, as properties must be.
fn text(value: &[u8]) -> Option<String> {
    Some(match item(value) {
        Item::Text(text) | Item::Symbol(text) => text.to_owned(),
        Item::Bool(value) => value.to_string(),
        Item::Unsigned(value) => value.to_string(),
        Item::Signed(value) => value.to_string(),
        Item::Float(value) => value.to_string(),
        Item::Double(value) => value.to_string(),
        Item::Char(value) => value.to_string(),
        Item::Uuid(value) => Uuid::from_bytes(value).to_string(),
        Item::Timestamp(at) => DateTime::from_timestamp_millis(at)?.to_rfc3339_opts(SecondsFormat::Millis, true),
        Item::Binary(bytes) => base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes),
        Item::Null | Item::Other => return None,
    })
}

/// Undoes what [`super::rest`] did to names that HTTP cannot carry. What does not read as such is somebody else's.
pub(crate) fn unpack(properties: &mut Properties) {
    let packed = properties.get(PACKED).and_then(|text| serde_json::from_str::<Properties>(text).ok());
    if let Some(packed) = packed {
        properties.remove(PACKED);
        properties.extend(packed);
    }
}

/// A message's id, or that of the message it answers.
pub(super) fn id_text(id: Item<'_>) -> Option<String> {
    match id {
        Item::Text(text) => Some(text.to_owned()),
        Item::Unsigned(number) => Some(number.to_string()),
        Item::Uuid(id) => Some(Uuid::from_bytes(id).to_string()),
        Item::Binary(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::{
        messaging::{
            ApplicationProperties, Header, Message, MessageAnnotations, MessageId, message::__private::Serializable,
        },
        primitives::{Binary, LazyValue, SimpleValue, Symbol, Timestamp, Value},
    };

    use super::*;

    fn decode(encoded: &[u8]) -> Peeked {
        read(Bytes::copy_from_slice(encoded))
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
        let peeked = decode(&encode(message));
        assert_eq!((peeked.sequence_number, peeked.message_id.as_str(), peeked.attempts), (7, "m", 2));
        assert_eq!(peeked.first_seen, DateTime::from_timestamp_millis(1_763_686_800_500));
        assert_eq!(peeked.body[..], [0, 0xff]);
        let texts = [("n", "-5"), ("é", "ü")];
        assert!(peeked.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(texts));
    }

    #[test]
    fn a_copy_goes_on_counting_and_looks_like_the_first() {
        let properties = [
            ("bridge_attempt", string("4")),
            ("bridge_first_seen", string("2025-11-20T00:00:00Z")),
            ("bridge_copy_of", string("m")),
            ("own", string("x")),
        ];
        let copy = |properties: &[(&str, SimpleValue)]| {
            let message = Message::builder()
                .header(Header { delivery_count: 1, ..Header::default() })
                .message_annotations(annotations())
                .application_properties(named(properties))
                .data(Binary::from(vec![]));
            decode(&encode(message.build()))
        };
        let peeked = copy(&properties);
        assert_eq!(peeked.attempts, 5);
        assert_eq!(peeked.first_seen, Some("2025-11-20T00:00:00Z".parse().unwrap()));
        assert_eq!(peeked.properties.into_iter().collect::<Vec<_>>(), [("own".to_owned(), "x".to_owned())]);
        let own = copy(&properties[..2]);
        assert_eq!((own.attempts, own.first_seen), (1, DateTime::from_timestamp_millis(1_763_686_800_500)));
        assert_eq!(own.properties.len(), 2, "a sender's own is not believed, and stays");
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
        assert!(packed.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(texts));
        let foreign = Message::builder()
            .application_properties(named(&[(PACKED, string("[1]"))]))
            .value(LazyValue::from_reader(&mut serde_amqp::read::SliceReader::new(&[0x40])).unwrap())
            .build();
        assert_eq!(decode(&encode(foreign)).properties[PACKED], "[1]");
    }

    #[test]
    fn bodies_are_bytes_whatever_section_they_came_in() {
        let body = |bytes: Vec<u8>| decode(&bytes).body;
        let parts = Batch::from(vec![Data(Binary::from(b"ab".to_vec())), Data(Binary::from(b"cd".to_vec()))]);
        assert_eq!(body(encode(Message::builder().data_batch(parts).build()))[..], *b"abcd");
        assert_eq!(body(encode(Message::builder().value(Value::String("text".to_owned())).build()))[..], *b"text");
        assert_eq!(body(encode(Message::builder().value(Value::Binary(Binary::from(vec![1]))).build()))[..], [1]);
        assert!(body(encode(Message::builder().value(Value::Null).build())).is_empty());
        assert_eq!(body(encode(Message::builder().value(Value::Int(5)).build()))[..], [0x54, 5]);
    }

    /// Whoever may send to the queue can send these. What is asked for is read, and the rest neither harms nor is lost.
    #[test]
    fn nesting_without_end_costs_nothing_that_is_asked_for() {
        let deep = [&[0x00, 0x44].repeat(500_000)[..], &[0x40]].concat();
        let section = |code: u8, value: &[u8]| [&[0x00, 0x53, code][..], value].concat();
        let map = |pairs: &[&[u8]]| {
            let content = pairs.concat();
            let length = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
            let count = u32::try_from(pairs.len()).unwrap().to_be_bytes();
            [&[0xd1][..], &length, &count, &content].concat()
        };
        let (number, text) = ([0x55, 7], [0xa1, 1, b'v']);
        let annotations = map(&[&[0xa3, 1, b'a'], &deep, b"\xa3\x15x-opt-sequence-number", &number]);
        let properties = map(&[&[0xa1, 1, b'p'], &deep, &[0xa1, 1, b'k'], &text]);
        let message = [
            section(0x71, &map(&[&[0xa3, 1, b'a'], &deep])),
            section(0x72, &annotations),
            section(0x74, &properties),
            section(0x75, &[0xa0, 4, b'b', b'o', b'd', b'y']),
            section(0x78, &map(&[&[0xa3, 1, b'a'], &deep])),
        ];
        let read = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || decode(&message.concat()));
        let peeked = read.unwrap().join().unwrap();
        assert_eq!((peeked.sequence_number, peeked.message_id.as_str()), (7, "sequence-7"));
        assert_eq!(peeked.properties.into_iter().collect::<Vec<_>>(), [("k".to_owned(), "v".to_owned())]);
        assert_eq!(peeked.body[..], *b"body");
        let value = [0x00, 0x44].repeat(500_000);
        let value = [&value[..], &[0x40]].concat();
        assert_eq!(decode(&section(0x77, &value)).body, value, "an event it is not, and a letter has it as it came");
    }

    #[test]
    fn what_is_no_message_is_handed_over_as_it_came() {
        for encoded in
            [&b"{}"[..], &[0x00, 0x53, 0x77], &[0x00, 0x53, 0x99, 0x40], &[0x40], &[0x00, 0x53, 0x75, 0xa0, 9]]
        {
            let peeked = decode(encoded);
            assert_eq!((&peeked.body[..], peeked.attempts, peeked.message_id.as_str()), (encoded, 0, "unreadable"));
        }
        assert!(decode(&[]).body.is_empty(), "a message without sections has no body");
    }

    #[test]
    fn a_message_in_many_frames_is_put_together() {
        let part = |bytes: &[u8]| Data(Binary::from(bytes.to_vec()));
        let wrapped = |parts: Vec<Data>| unwrapped(Batch::from(parts));
        assert_eq!(wrapped(vec![])[..], *b"");
        assert_eq!(wrapped(vec![part(b"ab")])[..], *b"ab");
        assert_eq!(wrapped(vec![part(b"ab"), part(b""), part(b"cd")])[..], *b"abcd");
    }
}
