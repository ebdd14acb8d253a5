//! From the bytes of a message to an [`Event`], or to the reason why not.
//!
//! Two envelopes are read: our own (`schema/event.v1.schema.json`) and `CloudEvents` 1.0 in structured JSON mode
//! (`schema/cloudevents.md`). An event is never written here: what is forwarded are the bytes that came in, so that
//! members which this version does not know pass untouched.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use serde_json::Number;
use uuid::Uuid;

use crate::{
    canonical,
    event::{Change, Event, Key, Op, Payload, SiteId, Timestamp},
    json::{self, JsonError, Kind},
    limits,
    marks::Marks,
    portable,
    reason::{Reason, Refusal},
    reserved::RESERVED,
    trace::Carried,
};

/// The contract's version that this code reads.
const SCHEMA_VERSION: &str = "1";

/// What some editors and libraries write in front of a text in UTF-8. RFC 8259, section 8.1, forbids it.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Reads the event in `body`, which a producer wrote; the entity's key stands at the JSON pointer `key_pointer` of its payload
/// unless the event names it.
///
/// # Errors
/// The first rule of the contract that the message breaks.
pub fn decode(body: &[u8], key_pointer: &str) -> Result<Event, Refusal> {
    decode_marked(body, key_pointer, &Marks::default())
}

/// Reads the event in the `body` of a message with these marks: the bridge's own events have reserved keys.
///
/// The answer depends on nothing else, so every site gives the same one.
///
/// # Errors
/// As [`decode`].
pub fn decode_marked(body: &[u8], key_pointer: &str, marks: &Marks) -> Result<Event, Refusal> {
    if body.len() > limits::EVENT_BYTES_MAX {
        let (size, limit) = (body.len(), limits::EVENT_BYTES_MAX);
        return Err(Refusal::new(
            Reason::TooLarge,
            format!("the message has {size} bytes, no event may have over {limit}"),
        ));
    }
    if body.starts_with(BYTE_ORDER_MARK.as_bytes()) {
        let detail = "the body begins with a byte order mark (EF BB BF), which JSON does not have: send it without these three bytes";
        return Err(Refusal::new(Reason::NotJson, detail));
    }
    let text =
        std::str::from_utf8(body).map_err(|error| Refusal::new(Reason::NotJson, format!("not UTF-8: {error}")))?;
    let members = match json::kind(text) {
        Kind::Object => json::members(text).map_err(refuse)?,
        _ => {
            return Err(
                canonical::of(text).map_or_else(refuse, |_| Refusal::new(Reason::NotJson, "JSON, but not an object"))
            );
        }
    };
    let names = Names::of(&members);
    let mut payload = None;
    for (name, text) in &members {
        let text = canonical::of(text).map_err(|error| refuse(error.below(&json::segment_text(name))))?;
        if name == names.payload && json::kind(&text) == Kind::Object {
            payload = Some(Payload::from_canonical(text));
        }
    }
    Fields { names, members, payload }.read(key_pointer, marks)
}

/// What a body says of its event, each field by itself: it may be read though the event as a whole may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glimpse {
    /// The event's name.
    pub id: Option<Uuid>,
    /// The site that accepted the write.
    pub origin: Option<SiteId>,
    /// What was done.
    pub op: Option<Op>,
    /// The entity.
    pub key: Option<Key>,
    /// When the write was accepted.
    pub timestamp: Option<DateTime<Utc>>,
}

impl Glimpse {
    /// Reads what can be read in `body`. A field that occurs twice cannot, and none of a text that is no JSON object.
    pub fn of(body: &[u8], key_pointer: &str) -> Self {
        let Ok(text) = std::str::from_utf8(body) else { return Self::default() };
        let members = json::members_once(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text));
        let fields = Fields { names: Names::of(&members), members, payload: None };
        Self {
            id: fields.id().ok(),
            origin: fields.origin().ok(),
            op: fields.op().ok(),
            key: fields.key(key_pointer, |_| true).ok(),
            timestamp: fields.timestamp().ok().map(|timestamp| timestamp.utc),
        }
    }
}

impl From<&Event> for Glimpse {
    fn from(event: &Event) -> Self {
        Self {
            id: Some(event.id),
            origin: Some(event.origin.clone()),
            op: Some(event.op),
            key: Some(event.key.clone()),
            timestamp: Some(event.timestamp.utc),
        }
    }
}

fn refuse(error: JsonError) -> Refusal {
    let reason = match &error {
        JsonError::Syntax(_) => Reason::NotJson,
        JsonError::DuplicateMember(_) => Reason::DuplicateMember,
        JsonError::Unreadable { .. } => Reason::NotPortable,
    };
    Refusal::new(reason, error)
}

/// The body as every queue can carry it.
///
/// SQS refuses a few characters that JSON strings may hold ("Amazon SQS message quotas": U+FFFE, U+FFFF). They are
/// written as JSON escapes, which means the same to every reader; all other bodies pass byte for byte. `body` must have
/// been [decoded](decode), or the characters might stand outside of a string.
pub fn forwardable(body: &Bytes) -> Bytes {
    let refused = |c: char| matches!(c, '\u{fffe}' | '\u{ffff}');
    match std::str::from_utf8(body) {
        Ok(text) if text.contains(refused) => {
            text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff").into_bytes().into()
        }
        _ => body.clone(),
    }
}

/// What the fields of an event are called in one kind of envelope.
struct Names {
    version: &'static str,
    event_id: &'static str,
    source_region: &'static str,
    op_type: &'static str,
    timestamp: &'static str,
    key: &'static str,
    payload: &'static str,
}

const NATIVE: Names = Names {
    version: "schema_version",
    event_id: "event_id",
    source_region: "source_region",
    op_type: "op_type",
    timestamp: "timestamp",
    key: "key",
    payload: "payload",
};

const CLOUD_EVENT: Names = Names {
    version: "schemaversion",
    event_id: "id",
    source_region: "source",
    op_type: "type",
    timestamp: "time",
    key: "subject",
    payload: "data",
};

impl Names {
    /// Those of the envelope that has these members.
    fn of(members: &BTreeMap<Cow<'_, str>, &str>) -> &'static Self {
        let cloud_event = members.contains_key("specversion") && !members.contains_key("event_id");
        if cloud_event { &CLOUD_EVENT } else { &NATIVE }
    }
}

struct Fields<'a> {
    names: &'static Names,
    /// The text of each member's value.
    members: BTreeMap<Cow<'a, str>, &'a str>,
    /// The payload, if it is an object.
    payload: Option<Payload>,
}

impl Fields<'_> {
    fn read(mut self, key_pointer: &str, marks: &Marks) -> Result<Event, Refusal> {
        if self.is_cloud_event() {
            // "CloudEvents 1.0.1, JSON format", 2.2: an attribute that is null is unset.
            self.members.retain(|name, text| *text != "null" || name == CLOUD_EVENT.payload);
        }
        self.check_versions()?;
        let names = self.names;
        let id = self.id()?;
        let origin = self.origin()?;
        let op = self.op()?;
        let timestamp = self.timestamp()?;
        let payload = self.take_payload()?;
        let key = self.key(key_pointer, |key| marks.allow(key, &origin))?;
        let path = format!("/{}", names.payload);
        if op != Op::Delete {
            portable::check(&payload, self.members[names.payload], &path)
                .map_err(|error| Refusal::new(Reason::NotPortable, error))?;
        }
        // A malformed trace context starts a new trace ("W3C Trace Context", 3.2); it is no reason to refuse an event.
        let member = |name: &str| self.members.get(name).and_then(|text| json::string(text));
        let trace = Carried::of(member("traceparent").as_deref(), member("tracestate").as_deref());
        Ok(Change { id, origin, op, key, payload, timestamp, trace }.into())
    }

    fn check_versions(&self) -> Result<(), Refusal> {
        let unsupported = |name: &str, value: &str, known: &str| {
            Refusal::new(
                Reason::UnsupportedSchemaVersion,
                format!("/{name}: {value} is not {known}, the only version known here"),
            )
        };
        if self.is_cloud_event() {
            let spec = self.members["specversion"];
            if json::string(spec).as_deref() != Some("1.0") {
                return Err(unsupported("specversion", spec, "\"1.0\""));
            }
            self.check_content_type()?;
        }
        match self.members.get(self.names.version) {
            Some(version) if !is_known(version) => Err(unsupported(self.names.version, version, SCHEMA_VERSION)),
            _ => Ok(()),
        }
    }

    fn check_content_type(&self) -> Result<(), Refusal> {
        if self.members.contains_key("data_base64") {
            return Err(invalid("data_base64", "the payload must be a JSON object in data"));
        }
        let Some(given) = self.members.get("datacontenttype") else { return Ok(()) };
        let media_type = json::string(given).and_then(|text| Some(text.split(';').next()?.trim().to_ascii_lowercase()));
        match media_type {
            Some(media_type) if media_type.ends_with("/json") || media_type.ends_with("+json") => Ok(()),
            _ => Err(invalid("datacontenttype", format!("{given} is not JSON"))),
        }
    }

    fn is_cloud_event(&self) -> bool {
        self.names.event_id == CLOUD_EVENT.event_id
    }

    fn text(&self, name: &str, kind: &str) -> Result<Cow<'_, str>, Refusal> {
        match self.members.get(name) {
            Some(text) => {
                json::string(text).ok_or_else(|| invalid(name, format!("must be {kind}, is {}", json::kind(text))))
            }
            None => Err(invalid(name, format!("is missing; it must be {kind}"))),
        }
    }

    fn id(&self) -> Result<Uuid, Refusal> {
        let name = self.names.event_id;
        let id = self.text(name, "a UUID")?;
        parse_uuid(&id).ok_or_else(|| invalid(name, format!("{id:?} is not a UUID in hyphenated form")))
    }

    fn origin(&self) -> Result<SiteId, Refusal> {
        let name = self.names.source_region;
        self.text(name, "a site, cloud:region")?.parse().map_err(|error| invalid(name, error))
    }

    fn timestamp(&self) -> Result<Timestamp, Refusal> {
        let name = self.names.timestamp;
        parse_timestamp(&self.text(name, "an RFC 3339 timestamp")?).map_err(|error| invalid(name, error))
    }

    fn op(&self) -> Result<Op, Refusal> {
        let name = self.names.op_type;
        let text = self.text(name, "one of create, update, upsert, delete")?;
        let word = if self.is_cloud_event() { text.rsplit('.').next().unwrap_or(&text) } else { &text };
        let word = match word {
            "created" | "updated" | "upserted" | "deleted" if self.is_cloud_event() => {
                // create-d and update-d, but upsert-ed.
                word.strip_suffix("ed").filter(|stem| *stem == "upsert").unwrap_or(&word[..word.len() - 1])
            }
            word => word,
        };
        word.parse().map_err(|error| invalid(name, error))
    }

    /// The entity's key, if it is `allowed`: the others are reserved.
    fn key(&self, key_pointer: &str, allowed: impl FnOnce(&Key) -> bool) -> Result<Key, Refusal> {
        let pointer = format!("/{}{key_pointer}", self.names.payload);
        let (path, value) = match self.members.get(self.names.key) {
            Some(value) => (format!("/{}", self.names.key), Some(*value)),
            None => (pointer, self.members.get(self.names.payload).and_then(|text| json::pointer(text, key_pointer))),
        };
        let refused = |what: String| Refusal::new(Reason::InvalidKey, format!("{path}: {what}"));
        let Some(value) = value else { return Err(refused("there is no key".to_owned())) };
        let integer = || serde_json::from_str(value).ok().filter(|number: &Number| number.is_i64() || number.is_u64());
        let text = json::string(value).or_else(|| Some(integer()?.to_string().into()));
        let kind = json::kind(value);
        let text = text.ok_or_else(|| refused(format!("a key must be a string or an integer, is {kind}")))?;
        let key: Key = text.parse().map_err(|error: crate::event::KeyError| refused(error.to_string()))?;
        if !allowed(&key) {
            return Err(refused(format!("keys that begin with {RESERVED} are the bridge's own; choose another key")));
        }
        Ok(key)
    }

    fn take_payload(&mut self) -> Result<Payload, Refusal> {
        let name = self.names.payload;
        self.payload.take().ok_or_else(|| match self.members.get(name) {
            Some(other) => invalid(name, format!("must be a JSON object, is {}", json::kind(other))),
            None => invalid(name, "is missing; it must be a JSON object"),
        })
    }
}

fn invalid(name: &str, what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::InvalidEvent, format!("/{name}: {what}"))
}

/// Whether a value is the number of the contract's version. JSON Schema takes 1.0 for 1, and so does this.
fn is_known(version: &str) -> bool {
    json::kind(version) == Kind::Number && canonical::of(version).is_ok_and(|number| *number == *SCHEMA_VERSION)
}

/// Only the hyphenated form: the `uuid` crate also reads braces, URNs and bare digits, other sites' tools do not.
fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// Reads an RFC 3339 timestamp with an offset and at most nine digits of a second.
///
/// A leap second counts as the next second, as POSIX time does: stores and clocks of both clouds know none.
pub fn parse_timestamp(text: &str) -> Result<Timestamp, String> {
    let wrong = |what: &str| format!("{:?} {what}", text.chars().take(40).collect::<String>());
    let fraction = text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    if fraction > limits::FRACTION_DIGITS_MAX {
        return Err(wrong("has more than nine digits of a second"));
    }
    let shape = || wrong("is not an RFC 3339 timestamp with an offset, as in 2026-11-21T01:02:03.5Z");
    if !text.is_ascii() || !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
        return Err(shape());
    }
    let parsed: DateTime<Utc> = DateTime::parse_from_rfc3339(text).map_err(|_| shape())?.into();
    let nanoseconds = parsed.nanosecond();
    let utc = match nanoseconds.checked_sub(1_000_000_000) {
        Some(within) => parsed.with_nanosecond(within).ok_or_else(shape)? + TimeDelta::seconds(1),
        None => parsed,
    };
    if (0..=9999).contains(&utc.year()) { Ok(Timestamp { utc, text: text.to_owned() }) } else { Err(shape()) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn native() -> Value {
        serde_json::json!({
            "event_id": "01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11",
            "source_region": "aws:us-east-1",
            "op_type": "update",
            "payload": { "id": "order-42", "total": 1999 },
            "timestamp": "2026-11-21T01:02:03.123456Z",
        })
    }

    /// What is read of a good event is the event; of others the fields that can be read, each by itself.
    #[test]
    fn a_glimpse_shows_what_can_be_read() {
        let event = read(&native()).unwrap();
        assert_eq!(Glimpse::of(native().to_string().as_bytes(), "/id"), Glimpse::from(&event));
        let cloud_event = r#"{"specversion":"1.0","id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source":"aws:us-east-1",
            "type":"x.updated","time":"2026-11-21T01:02:03.123456Z","data":{"id":"order-42"},"data":{}}"#;
        let all = Glimpse::from(&event);
        assert_eq!(Glimpse::of(cloud_event.as_bytes(), "/id"), Glimpse { key: None, ..all.clone() });
        let text = native().to_string();
        let cases = [
            (text.replace("1999", "9007199254740993"), all.clone()),
            (format!("\u{feff}{text}"), all.clone()),
            (text.replace("\"id\"", "\"n\":1,\"n\":2,\"id\""), all.clone()),
            (text.replace("\"id\"", "\"id\":\"other\",\"id\""), Glimpse { key: None, ..all.clone() }),
            (text.replace("\"op_type\"", "\"event_id\":1,\"op_type\""), Glimpse { id: None, ..all.clone() }),
            (text.replace("order-42", ""), Glimpse { key: None, ..all.clone() }),
            (text.replace("\"update\"", "7"), Glimpse { op: None, ..all.clone() }),
            (text.replace("2026-11-21T", "yesterday "), Glimpse { timestamp: None, ..all.clone() }),
            (text.replace("aws:", ""), Glimpse { origin: None, ..all.clone() }),
            (text.replace("payload", "load"), Glimpse { key: None, ..all }),
            (format!("{text} x"), Glimpse::default()),
            ("[]".to_owned(), Glimpse::default()),
        ];
        for (body, expected) in cases {
            assert!(decode(body.as_bytes(), "/id").is_err(), "{body}");
            assert_eq!(Glimpse::of(body.as_bytes(), "/id"), expected, "{body}");
        }
        assert_eq!(Glimpse::of(b"\xff{}", "/id"), Glimpse::default());
    }

    #[test]
    fn a_byte_order_mark_is_named() {
        let refusal = decode(format!("\u{feff}{}", native()).as_bytes(), "/id").unwrap_err();
        assert!(refusal.reason == Reason::NotJson && refusal.detail.contains("byte order mark"), "{refusal}");
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut event = native();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
        event
    }

    fn read(event: &Value) -> Result<Event, Refusal> {
        decode(event.to_string().as_bytes(), "/id")
    }

    #[test]
    fn an_event_is_read() {
        let event = read(&native()).unwrap();
        assert_eq!(event.key.as_str(), "order-42");
        assert_eq!(event.op, Op::Update);
        assert_eq!(
            event.version().as_str(),
            "2026-11-21T01:02:03.123456000Z aws:us-east-1                    01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11 \
             ab8bcf1f65a85840"
        );
    }

    /// What a JSON library or an envelope is free to do makes no other write of it; any content does.
    #[test]
    fn the_same_content_is_the_same_version_and_another_content_is_not() {
        let version = |body: &str| decode(body.as_bytes(), "/id").unwrap().version().clone();
        let one = version(&native().to_string());
        for same in [
            r#"{"timestamp":"2026-11-21T01:02:03.123456Z","payload":{"total":1999.0,"id":"order-42"},"op_type":"update",
                "source_region":"aws:us-east-1","event_id":"01936D6E-8A3C-7C61-9D0B-0F3A5A3C9E11","unknown":1}"#,
            r#"{"specversion":"1.0","id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source":"aws:us-east-1","type":"x.updated",
                "time":"2026-11-21T01:02:03.123456Z","data":{"total":1.999e3,"id":"\u006frder-42"},"subject":"order-42"}"#,
        ] {
            assert_eq!(version(same), one, "{same}");
        }
        for other in [
            with("/payload/total", 2000.into()),
            with("/payload/more", Value::Null),
            with("/op_type", "upsert".into()),
            with("/op_type", "delete".into()),
            with("/key", "order-43".into()),
            with("/timestamp", "2026-11-21T01:02:03.1234560Z".into()),
        ] {
            let other = version(&other.to_string());
            assert!(other != one && other.same_event(&one), "{other} is not {one}");
        }
        let [mut delete, mut same] = [with("/op_type", "delete".into()), with("/op_type", "delete".into())];
        (delete["payload"], same["payload"]) =
            (serde_json::json!({"id": "order-42"}), serde_json::json!({"id": "order-42", "n": 1}));
        assert_eq!(version(&delete.to_string()), version(&same.to_string()), "only the key of a delete counts");
    }

    #[test]
    fn a_cloud_event_is_the_same_event() {
        let cloud_event = |kind: &str| {
            serde_json::json!({
                "specversion": "1.0",
                "id": "01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11",
                "source": "aws:us-east-1",
                "type": kind,
                "time": "2026-11-21T01:02:03.123456Z",
                "datacontenttype": "application/json; charset=utf-8",
                "data": { "id": "order-42", "total": 1999 },
            })
        };
        for kind in ["update", "com.example.order.updated", "bridge.update"] {
            assert_eq!(read(&cloud_event(kind)).unwrap(), read(&native()).unwrap());
        }
        for (kind, op) in [("a.created", Op::Create), ("a.upserted", Op::Upsert), ("a.deleted", Op::Delete)] {
            assert_eq!(read(&cloud_event(kind)).unwrap().op, op);
        }
        assert_eq!(read(&cloud_event("a.changed")).unwrap_err().reason, Reason::InvalidEvent);
        let mut unset = cloud_event("update");
        for attribute in ["subject", "datacontenttype", "schemaversion", "data_base64", "dataschema"] {
            unset[attribute] = Value::Null;
        }
        assert_eq!(read(&unset).unwrap(), read(&native()).unwrap());
        for required in ["id", "source", "time", "data"] {
            let mut unset = cloud_event("update");
            unset[required] = Value::Null;
            assert_eq!(read(&unset).unwrap_err().reason, Reason::InvalidEvent, "{required}");
        }
        let mut big = cloud_event("update");
        big["data"]["n"] = 9_007_199_254_740_993_u64.into();
        assert_eq!(read(&big).unwrap_err().reason, Reason::NotPortable);
    }

    #[test]
    fn no_event_has_over_a_mebibyte() {
        let padded = |bytes: usize| {
            let event = native().to_string();
            decode(format!("{event}{}", " ".repeat(bytes - event.len())).as_bytes(), "/id")
        };
        assert!(padded(1024 * 1024).is_ok());
        assert_eq!(padded(1024 * 1024 + 1).unwrap_err().reason, Reason::TooLarge);
        assert_eq!(padded(1024 * 1024 + 2).unwrap_err().reason, Reason::TooLarge);
    }

    #[test]
    fn the_first_broken_rule_is_named() {
        let cases = [
            (with("/event_id", "{01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11}".into()), Reason::InvalidEvent, "/event_id"),
            (with("/source_region", 7.into()), Reason::InvalidEvent, "/source_region: must be a site"),
            (with("/op_type", "UPDATE".into()), Reason::InvalidEvent, "/op_type"),
            (with("/payload", Value::Null), Reason::InvalidEvent, "/payload: must be a JSON object, is null"),
            (with("/payload", serde_json::json!({})), Reason::InvalidKey, "/payload/id: there is no key"),
            (with("/payload/id", 1.5.into()), Reason::InvalidKey, "/payload/id: a key must be"),
            (with("/payload/id", "".into()), Reason::InvalidKey, "empty"),
            (with("/payload/id", "/".repeat(342).into()), Reason::InvalidKey, "1026 bytes"),
            (with("/schema_version", "1".into()), Reason::UnsupportedSchemaVersion, "/schema_version"),
            (with("/timestamp", "yesterday".into()), Reason::InvalidEvent, "/timestamp: \"yesterday\" is not"),
            (with("/payload/n", 9_007_199_254_740_993_u64.into()), Reason::NotPortable, "/payload/n: 9007199254740993"),
        ];
        for (event, reason, detail) in cases {
            let refusal = read(&event).unwrap_err();
            assert_eq!(refusal.reason, reason, "{event}");
            assert!(refusal.detail.contains(detail), "{} should contain {detail}", refusal.detail);
        }
    }

    #[test]
    fn only_the_key_of_a_delete_counts() {
        let mut delete = with("/op_type", "delete".into());
        delete["payload"]["n"] = 9_007_199_254_740_993_u64.into();
        assert_eq!(read(&delete).unwrap().op, Op::Delete);
    }

    #[test]
    fn a_key_may_be_named_and_may_be_an_integer() {
        assert_eq!(read(&with("/key", "other".into())).unwrap().key.as_str(), "other");
        assert_eq!(read(&with("/payload/id", 42.into())).unwrap().key.as_str(), "42");
        let nested = with("/payload/order", serde_json::json!({ "no": "7" }));
        assert_eq!(decode(nested.to_string().as_bytes(), "/order/no").unwrap().key.as_str(), "7");
    }

    #[test]
    fn timestamps_are_compared_in_utc_to_the_nanosecond() {
        let utc = |text: &str| parse_timestamp(text).unwrap().utc;
        assert_eq!(utc("2026-11-21T06:32:03.5+05:30"), utc("2026-11-21t01:02:03.500000000z"));
        assert_eq!(utc("2016-12-31T23:59:60.25Z"), utc("2017-01-01T00:00:00.25Z"));
        for text in [
            "2026-11-21T01:02:03",
            "2026-11-21",
            "2026-11-21 01:02:03Z",
            "2026-11-21T01:02:03.1234567890Z",
            "2026-13-21T01:02:03Z",
            "2026-02-30T01:02:03Z",
            "0000-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2026-11-21T01:02:03\u{2212}01:00",
            "",
            "2026-11-21T24:00:00Z",
        ] {
            assert!(parse_timestamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_sqs_refuses_travels_as_an_escape() {
        let body = Bytes::from("{\"a\":\"x\u{ffff}\"}");
        assert_eq!(forwardable(&body), Bytes::from("{\"a\":\"x\\uffff\"}"));
        let plain = Bytes::from_static(b"{ }");
        assert_eq!(forwardable(&plain).as_ptr(), plain.as_ptr(), "no copy is made of what passes anyway");
    }
}
