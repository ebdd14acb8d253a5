//! A message as the service keeps it: the bytes that the sender wrote, and where in them the few things are that change.
//!
//! The bare message (properties, application properties, body, footer) is never decoded and encoded again, so what was
//! sent is received byte for byte. A delivery writes a new header and new annotations in front of it.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use super::encoding::{self, EncodingError, Item};
use super::store::Store;

const HEADER: u8 = 0x70;
const DELIVERY_ANNOTATIONS: u8 = 0x71;
const MESSAGE_ANNOTATIONS: u8 = 0x72;
pub(crate) const PROPERTIES: u8 = 0x73;
pub(crate) const APPLICATION_PROPERTIES: u8 = 0x74;
pub(crate) const DATA: u8 = 0x75;
const FOOTER: u8 = 0x78;

/// Annotations that only the service sets; a sender's own are dropped.
const SERVICE_ANNOTATIONS: [&str; 6] = [
    "x-opt-enqueued-time",
    "x-opt-sequence-number",
    "x-opt-enqueue-sequence-number",
    "x-opt-message-state",
    "x-opt-locked-until",
    "x-opt-deadletter-source",
];
const SCHEDULED_TIME: &str = "x-opt-scheduled-enqueue-time";

/// Source: Service Bus quotas, "message ID", "message session ID", "message partition key", read 2026-11.
const ID_CHARACTERS_MAX: usize = 128;
/// Source: Service Bus quotas, "message property size", read 2026-11: 32 KiB for each, 64 KiB for all together.
const PROPERTY_BYTES_MAX: usize = 32 * 1024;
const PROPERTIES_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("the message is not a valid AMQP message: {0}")]
    Malformed(#[from] EncodingError),
    #[error("the message has its sections in the wrong order")]
    SectionOrder,
    #[error("{what} is {length} characters long; the limit is {ID_CHARACTERS_MAX}")]
    IdTooLong { what: &'static str, length: usize },
    #[error("a property takes {bytes} bytes; the limit is {PROPERTY_BYTES_MAX}")]
    PropertyTooLarge { bytes: usize },
    #[error("the properties take {bytes} bytes; the limit is {PROPERTIES_BYTES_MAX}")]
    PropertiesTooLarge { bytes: usize },
}

/// What the header says that outlives the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) durable: bool,
    pub(crate) priority: u8,
    /// Milliseconds.
    pub(crate) time_to_live: Option<u64>,
}

/// A message that has been checked but not yet taken into a queue.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    pub(crate) header: Header,
    pub(crate) message_id: Option<String>,
    pub(crate) session_id: Option<String>,
    /// When it is to be enqueued, in milliseconds since 1970.
    pub(crate) scheduled: Option<i64>,
    annotations: Vec<(&'a [u8], &'a [u8])>,
    bare: &'a [u8],
    application: Range<usize>,
}

/// A message in a queue.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The sender's annotations as the inside of a map, then the bare message.
    bytes: Bytes,
    annotations_end: u32,
    annotation_elements: u32,
    /// The section of application properties; an empty range where it would stand.
    application: Range<u32>,
    pub(crate) header: Header,
}

/// What the service knows about a message when it hands it out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp<'a> {
    pub(crate) sequence: i64,
    pub(crate) enqueued_sequence: i64,
    /// Milliseconds since 1970.
    pub(crate) enqueued: i64,
    pub(crate) delivery_count: u32,
    /// 0 active, 1 deferred, 2 scheduled.
    pub(crate) state: i32,
    /// The token, and when the lock ends in milliseconds since 1970.
    pub(crate) lock: Option<(Uuid, i64)>,
    pub(crate) dead_letter_source: Option<&'a str>,
}

/// Encoded values to set as application properties.
pub(crate) type Changes = Vec<(String, Bytes)>;

impl<'a> Parsed<'a> {
    /// Checks an encoded message and finds its parts.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, MessageError> {
        let mut parsed = Self {
            header: Header { durable: true, priority: 4, time_to_live: None },
            message_id: None,
            session_id: None,
            scheduled: None,
            annotations: Vec::new(),
            bare: &[],
            application: 0..0,
        };
        let mut rest = bytes;
        let (mut last, mut seen) = (0, 0_u16);
        let mut bare_start = None;
        let mut lifetime = None;
        while !rest.is_empty() {
            let start = bytes.len() - rest.len();
            let section = encoding::cut(&mut rest)?;
            let end = bytes.len() - rest.len();
            let (descriptor, value) = encoding::described(section)?;
            let code = section_code(descriptor)?;
            if !(0x75..=0x77).contains(&code) {
                encoding::check(value)?;
            }
            // Annotations stand at the head of the bare message, and AMQP 1.0, 3.2, sets no order among them. Only data and sequence sections
            // may repeat, and bodies do not mix; readers disagree about anything else.
            let place = code.max(MESSAGE_ANNOTATIONS);
            let repeats = code == last && matches!(code, 0x75 | 0x76);
            let second_body = (0x75..=0x77).contains(&code) && (0x75..=0x77).contains(&last) && !repeats;
            let bit = 1 << (code - HEADER);
            if place < last || (seen & bit != 0 && !repeats) || second_body {
                return Err(MessageError::SectionOrder);
            }
            (last, seen) = (place, seen | bit);
            if code >= PROPERTIES && bare_start.is_none() {
                bare_start = Some(start);
            }
            let origin = bare_start.unwrap_or(start);
            match code {
                HEADER => parsed.read_header(value)?,
                MESSAGE_ANNOTATIONS => parsed.read_annotations(value)?,
                PROPERTIES => {
                    lifetime = parsed.read_properties(value)?;
                    parsed.application = end - origin..end - origin;
                }
                APPLICATION_PROPERTIES => {
                    parsed.application = start - origin..end - origin;
                    check_properties(value)?;
                }
                _ => {}
            }
        }
        parsed.bare = &bytes[bare_start.unwrap_or(bytes.len())..];
        // Lifetimes over 49 days do not fit the header's field, so clients write two points in time as well.
        parsed.header.time_to_live = lifetime.or(parsed.header.time_to_live);
        Ok(parsed)
    }

    fn read_header(&mut self, value: &[u8]) -> Result<(), MessageError> {
        let (_, mut fields) = encoding::elements(value)?;
        let mut next = || if fields.is_empty() { Ok(Item::Null) } else { encoding::next(&mut fields) };
        if let Item::Bool(durable) = next()? {
            self.header.durable = durable;
        }
        if let Item::Unsigned(priority) = next()? {
            self.header.priority = u8::try_from(priority).unwrap_or(u8::MAX);
        }
        if let Item::Unsigned(time_to_live) = next()? {
            self.header.time_to_live = Some(time_to_live);
        }
        Ok(())
    }

    fn read_annotations(&mut self, value: &'a [u8]) -> Result<(), MessageError> {
        for (key, value) in encoding::pairs(value)? {
            let name = match encoding::read(key)? {
                Item::Text(name) => name,
                _ => "",
            };
            match (name, encoding::read(value)?) {
                (SCHEDULED_TIME, Item::Timestamp(at)) => self.scheduled = Some(at),
                ("x-opt-partition-key", Item::Text(key)) => check_id("the partition key", key)?,
                _ => {}
            }
            if !SERVICE_ANNOTATIONS.contains(&name) {
                self.annotations.push((key, value));
            }
        }
        Ok(())
    }

    /// Returns the lifetime in milliseconds, if the sender wrote when the message was made and when it expires.
    fn read_properties(&mut self, value: &[u8]) -> Result<Option<u64>, MessageError> {
        let (_, mut fields) = encoding::elements(value)?;
        let mut index = 0;
        let (mut expiry, mut creation) = (None, None);
        while !fields.is_empty() {
            let item = encoding::next(&mut fields)?;
            match (index, item) {
                (0, item) => self.message_id = id_text(item),
                (8, Item::Timestamp(at)) => expiry = Some(at),
                (9, Item::Timestamp(at)) => creation = Some(at),
                (10, Item::Text(session)) => {
                    check_id("the session id", session)?;
                    self.session_id = Some(session.to_owned());
                }
                _ => {}
            }
            index += 1;
        }
        if let Some(id) = &self.message_id {
            check_id("the message id", id)?;
        }
        let (Some(expiry), Some(creation)) = (expiry, creation) else { return Ok(None) };
        Ok(expiry.checked_sub(creation).and_then(|lifetime| u64::try_from(lifetime).ok()))
    }

    /// Bytes that the message will take in the queue.
    pub(crate) fn size(&self) -> usize {
        self.bare.len() + self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
    }

    /// Copies the message into `store`.
    pub(crate) fn keep(&self, store: &mut Store) -> Message {
        let annotations: usize = self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        let bytes = store.keep(annotations + self.bare.len(), |out| {
            for (key, value) in &self.annotations {
                out.put_slice(key);
                out.put_slice(value);
            }
            out.put_slice(self.bare);
        });
        let place = |offset: usize| offset_of(annotations + offset);
        Message {
            bytes,
            annotations_end: offset_of(annotations),
            annotation_elements: offset_of(self.annotations.len() * 2),
            application: place(self.application.start)..place(self.application.end),
            header: self.header,
        }
    }
}

impl Message {
    /// Bytes that the message takes in the queue.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Gives the message bytes of its own, so that it can stay long without keeping its neighbours' memory.
    pub(crate) fn detach(&mut self) {
        self.bytes = Bytes::copy_from_slice(&self.bytes);
    }

    /// The encoded message in two parts, the second shared with the queue.
    pub(crate) fn encode(&self, stamp: &Stamp<'_>) -> (Bytes, Bytes) {
        let mut out = BytesMut::with_capacity(256 + self.annotations_end as usize);
        self.put_header(stamp, &mut out);
        let mut entries = BytesMut::with_capacity(192 + self.annotations_end as usize);
        if let Some((token, _)) = stamp.lock {
            encoding::put_symbol(&mut entries, "x-opt-lock-token");
            encoding::put_uuid(&mut entries, token);
            encoding::put_descriptor(&mut out, DELIVERY_ANNOTATIONS);
            encoding::put_map(&mut out, 2, &entries);
            entries.clear();
        }
        entries.put_slice(&self.bytes[..self.annotations_end as usize]);
        let mut count = self.annotation_elements as usize + 8;
        encoding::put_symbol(&mut entries, "x-opt-enqueued-time");
        encoding::put_timestamp(&mut entries, stamp.enqueued);
        encoding::put_symbol(&mut entries, "x-opt-sequence-number");
        encoding::put_long(&mut entries, stamp.sequence);
        encoding::put_symbol(&mut entries, "x-opt-enqueue-sequence-number");
        encoding::put_long(&mut entries, stamp.enqueued_sequence);
        encoding::put_symbol(&mut entries, "x-opt-message-state");
        encoding::put_int(&mut entries, stamp.state);
        if let Some((_, until)) = stamp.lock {
            encoding::put_symbol(&mut entries, "x-opt-locked-until");
            encoding::put_timestamp(&mut entries, until);
            count += 2;
        }
        if let Some(source) = stamp.dead_letter_source {
            encoding::put_symbol(&mut entries, "x-opt-deadletter-source");
            encoding::put_text(&mut entries, source);
            count += 2;
        }
        encoding::put_descriptor(&mut out, MESSAGE_ANNOTATIONS);
        encoding::put_map(&mut out, count, &entries);
        (out.freeze(), self.bytes.slice(self.annotations_end as usize..))
    }

    /// All five fields, because the clients show a missing delivery count as "none" instead of 0.
    fn put_header(&self, stamp: &Stamp<'_>, out: &mut BytesMut) {
        let mut fields = BytesMut::with_capacity(32);
        encoding::put_bool(&mut fields, self.header.durable);
        encoding::put_ubyte(&mut fields, self.header.priority);
        match self.header.time_to_live {
            Some(milliseconds) => encoding::put_uint(&mut fields, u32::try_from(milliseconds).unwrap_or(u32::MAX)),
            None => encoding::put_null(&mut fields),
        }
        encoding::put_bool(&mut fields, false);
        encoding::put_uint(&mut fields, stamp.delivery_count);
        encoding::put_descriptor(out, HEADER);
        encoding::put_list(out, 5, &fields);
    }

    /// Sets application properties, replacing those of the same name.
    pub(crate) fn set_properties(&mut self, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        let place = self.application.start as usize..self.application.end as usize;
        let old = encoding::described(&self.bytes[place.clone()]).and_then(|(_, map)| encoding::pairs(map));
        let mut content = BytesMut::new();
        let mut count = 0;
        for (key, value) in old.unwrap_or_default() {
            let replaced =
                matches!(encoding::read(key), Ok(Item::Text(name)) if changes.iter().any(|(new, _)| new == name));
            if !replaced {
                content.put_slice(key);
                content.put_slice(value);
                count += 2;
            }
        }
        for (name, value) in changes {
            encoding::put_text(&mut content, name);
            content.put_slice(value);
            count += 2;
        }
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + content.len() + 16);
        bytes.put_slice(&self.bytes[..place.start]);
        encoding::put_descriptor(&mut bytes, APPLICATION_PROPERTIES);
        encoding::put_map(&mut bytes, count, &content);
        self.application.end = offset_of(bytes.len());
        bytes.put_slice(&self.bytes[place.end..]);
        self.bytes = bytes.freeze();
    }
}

/// Messages end far below 4 GiB, so half a word is enough for each place in them.
fn offset_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Accepts the numeric and the symbolic form of a section's descriptor.
fn section_code(descriptor: Item<'_>) -> Result<u8, EncodingError> {
    let code = match descriptor {
        Item::Unsigned(code) => u8::try_from(code).unwrap_or(0),
        Item::Text("amqp:header:list") => HEADER,
        Item::Text("amqp:delivery-annotations:map") => DELIVERY_ANNOTATIONS,
        Item::Text("amqp:message-annotations:map") => MESSAGE_ANNOTATIONS,
        Item::Text("amqp:properties:list") => PROPERTIES,
        Item::Text("amqp:application-properties:map") => APPLICATION_PROPERTIES,
        Item::Text("amqp:data:binary") => DATA,
        Item::Text("amqp:amqp-sequence:list") => 0x76,
        Item::Text("amqp:amqp-value:*") => 0x77,
        Item::Text("amqp:footer:map") => FOOTER,
        _ => 0,
    };
    if (HEADER..=FOOTER).contains(&code) { Ok(code) } else { Err(EncodingError::Unexpected("a section of a message")) }
}

fn check_properties(value: &[u8]) -> Result<(), MessageError> {
    if value.len() > PROPERTIES_BYTES_MAX {
        return Err(MessageError::PropertiesTooLarge { bytes: value.len() });
    }
    for (key, value) in encoding::pairs(value)? {
        if !matches!(encoding::read(key)?, Item::Text(_)) {
            return Err(EncodingError::Unexpected("text as the name of an application property").into());
        }
        if value.len() > PROPERTY_BYTES_MAX {
            return Err(MessageError::PropertyTooLarge { bytes: value.len() });
        }
    }
    Ok(())
}

fn check_id(what: &'static str, id: &str) -> Result<(), MessageError> {
    let length = id.chars().count();
    if length > ID_CHARACTERS_MAX { Err(MessageError::IdTooLong { what, length }) } else { Ok(()) }
}

fn id_text(item: Item<'_>) -> Option<String> {
    match item {
        Item::Text(id) => Some(id.to_owned()),
        Item::Unsigned(id) => Some(id.to_string()),
        Item::Uuid(id) => Some(Uuid::from_bytes(id).to_string()),
        Item::Binary(id) => Some(id.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
