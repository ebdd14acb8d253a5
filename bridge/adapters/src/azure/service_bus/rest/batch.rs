//! How messages are written for the REST sender: many in one JSON request, or one with its body as it is.
//!
//! Pure. A JSON request carries texts only, exactly, whatever the names of the properties; a raw one carries any bytes,
//! but its properties are HTTP headers.

use std::fmt::Write;

use bridge_core::port::{Message, Properties};
use bytes::Bytes;
use serde::Serialize;

use crate::azure::service_bus::message::PACKED;

/// Bytes of one JSON request. "Service Bus quotas", read 2026-11: a batch has at most 256 KB in the Standard tier and
/// 1 MB in Premium, even where single messages may be larger.
pub(crate) const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that a request leaves free below the limit: the service counts what it adds to each message.
const HEADROOM_BYTES: usize = 4 * 1024;

/// Messages in one request. "Service Bus quotas", read 2026-11: 100 messages in one transaction.
const REQUEST_MESSAGES_MAX: usize = 100;

/// A request to send, and the positions in the call of the messages that it carries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) indexes: Vec<usize>,
    pub(crate) form: Form,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A JSON array of messages.
    Json(Bytes),
    /// One message, its body as it is: names and values of the headers.
    Raw(Bytes, Vec<(String, String)>),
}

/// What else a message is told to the broker.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct BrokerProperties<'a> {
    #[serde(rename = "MessageId")]
    pub(crate) message_id: &'a str,
    /// When the message is to become visible, RFC 1123.
    #[serde(rename = "ScheduledEnqueueTimeUtc", skip_serializing_if = "Option::is_none")]
    pub(crate) scheduled: Option<&'a str>,
}

#[derive(Serialize)]
struct Item<'a> {
    #[serde(rename = "Body")]
    body: &'a str,
    #[serde(rename = "BrokerProperties")]
    broker_properties: BrokerProperties<'a>,
    #[serde(rename = "UserProperties", skip_serializing_if = "Properties::is_empty")]
    user_properties: &'a Properties,
}

/// Writes messages, given with their positions in the call, into as few requests as fit; one request at a time, so that
/// no more are in memory than are under way.
pub(crate) struct Requests<'a, M> {
    messages: M,
    limit: usize,
    scheduled: Option<&'a str>,
    /// A message that no longer fitted the last request, written.
    next: Option<(usize, Vec<u8>)>,
    /// One that fits no JSON request, and goes after the one that was open when it came.
    raw: Option<Request>,
}

impl<'a, 'm, M: Iterator<Item = (usize, &'m Message)>> Requests<'a, M> {
    pub(crate) fn new(messages: M, message_bytes_max: usize, scheduled: Option<&'a str>) -> Self {
        let limit = message_bytes_max.min(REQUEST_BYTES_MAX).saturating_sub(HEADROOM_BYTES);
        Self { messages, limit, scheduled, next: None, raw: None }
    }

    fn next_item(&mut self) -> Option<(usize, Vec<u8>)> {
        if self.next.is_some() {
            return self.next.take();
        }
        let (index, message) = self.messages.next()?;
        let item = json_item(message, self.scheduled).filter(|item| item.len() + 2 <= self.limit);
        if item.is_none() {
            self.raw = Some(raw(index, message, self.scheduled));
        }
        item.map(|item| (index, item))
    }
}

impl<'m, M: Iterator<Item = (usize, &'m Message)>> Iterator for Requests<'_, M> {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        if let Some(raw) = self.raw.take() {
            return Some(raw);
        }
        let (mut body, mut indexes) = (Vec::new(), Vec::new());
        while let Some((index, item)) = self.next_item() {
            // Two brackets, and a comma for each but the first.
            if body.len() + item.len() + 2 > self.limit || indexes.len() == REQUEST_MESSAGES_MAX {
                self.next = Some((index, item));
                break;
            }
            body.push(if indexes.is_empty() { b'[' } else { b',' });
            body.extend(item);
            indexes.push(index);
        }
        if indexes.is_empty() {
            return self.raw.take();
        }
        body.push(b']');
        Some(Request { indexes, form: Form::Json(body.into()) })
    }
}

/// None if the body is no text.
fn json_item(message: &Message, scheduled: Option<&str>) -> Option<Vec<u8>> {
    let item = Item {
        body: std::str::from_utf8(&message.body).ok()?,
        broker_properties: BrokerProperties { message_id: &message.id, scheduled },
        user_properties: &message.properties,
    };
    Some(serde_json::to_vec(&item).expect("texts and a map of texts can be written"))
}

fn raw(index: usize, message: &Message, scheduled: Option<&str>) -> Request {
    let broker_properties = BrokerProperties { message_id: &message.id, scheduled };
    let mut headers = vec![("brokerproperties".to_owned(), ascii_json(&broker_properties))];
    let (plain, packed): (Properties, Properties) =
        message.properties.clone().into_iter().partition(|(name, _)| survives_as_header(name));
    headers.extend(plain.into_iter().map(|(name, value)| (name, ascii_json(&value))));
    if !packed.is_empty() {
        // A text that holds an object, so that the service keeps it as a text.
        headers.push((PACKED.to_owned(), ascii_json(&ascii_json(&packed))));
    }
    Request { indexes: vec![index], form: Form::Raw(message.body.clone(), headers) }
}

/// Whether a property may travel as a header: HTTP takes few characters, loses the case of letters, and has uses of its
/// own for many names. Those with an underscore are none of them.
fn survives_as_header(name: &str) -> bool {
    const OWN: [&str; 12] = [
        "accept",
        "authorization",
        "brokerproperties",
        "connection",
        "date",
        "expect",
        "host",
        "te",
        "trailer",
        "upgrade",
        "via",
        "warning",
    ];
    let kept = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.bytes().all(kept) && !OWN.contains(&name) && name != PACKED
}

/// JSON in ASCII alone, as headers want it.
fn ascii_json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("texts and maps of texts can be written");
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if (' '..='~').contains(&c) {
            ascii.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(ascii, "\\u{unit:04x}").expect("a String takes all");
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const LIMIT: usize = 256 * 1024;

    fn message(id: &str, body: impl Into<Bytes>, properties: &[(&str, &str)]) -> Message {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Message { id: id.to_owned(), body: body.into(), properties }
    }

    fn written(messages: &[Message], limit: usize) -> Vec<Request> {
        Requests::new(messages.iter().enumerate(), limit, None).collect()
    }

    fn parsed(request: &Request) -> Value {
        let Form::Json(body) = &request.form else { panic!("{request:?} is not JSON") };
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn texts_share_a_request_exactly_as_they_are() {
        let messages = [message("1", "{\"a\":\"é\\n\"}", &[("Größe", "größer\"\u{0}")]), message("2", "", &[])];
        let requests = written(&messages, LIMIT);
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].indexes, [0, 1]);
        let expected = json!([
            {"Body": "{\"a\":\"é\\n\"}", "BrokerProperties": {"MessageId": "1"}, "UserProperties": {"Größe": "größer\"\u{0}"}},
            {"Body": "", "BrokerProperties": {"MessageId": "2"}},
        ]);
        assert_eq!(parsed(&requests[0]), expected);
    }

    #[test]
    fn every_message_is_in_one_request_and_no_request_is_over_the_limit() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let limit = rng.usize(HEADROOM_BYTES + 200..20_000);
            let count = rng.usize(1..300);
            let messages: Vec<Message> = (0..count)
                .map(|_| match rng.u8(..20) {
                    0 => message("id", vec![0xff; rng.usize(1..600)], &[]),
                    _ => message("id", "\"x".repeat(rng.usize(0..600)), &[]),
                })
                .collect();
            let requests = written(&messages, limit);
            let mut indexes: Vec<usize> = requests.iter().flat_map(|request| request.indexes.clone()).collect();
            for request in requests.iter().filter(|request| matches!(request.form, Form::Json(_))) {
                let Form::Json(body) = &request.form else { continue };
                assert!(body.len() <= limit - HEADROOM_BYTES && request.indexes.len() <= REQUEST_MESSAGES_MAX);
                assert_eq!(parsed(request).as_array().map(Vec::len), Some(request.indexes.len()));
            }
            indexes.sort_unstable();
            assert!(indexes.into_iter().eq(0..messages.len()));
        }
    }

    #[test]
    fn a_request_has_a_hundred_messages_at_most() {
        let messages: Vec<Message> = (0..250).map(|_| message("id", "x", &[])).collect();
        let counts: Vec<usize> = written(&messages, LIMIT).iter().map(|request| request.indexes.len()).collect();
        assert_eq!(counts, [100, 100, 50]);
    }

    #[test]
    fn quotes_count_as_they_are_written() {
        // 150,000 quotes are 300,000 bytes of JSON: too many for a JSON request, not for a raw one.
        let requests = written(&[message("q", "\"".repeat(150_000), &[])], LIMIT);
        assert!(matches!(&requests[0].form, Form::Raw(body, _) if body.len() == 150_000));
    }

    #[test]
    fn bytes_go_raw_with_headers_in_ascii() {
        let requests = written(&[message("é", vec![0xff, 0], &[("detail", "naïve 🦀\n"), ("Owed", "b")])], LIMIT);
        let Form::Raw(body, headers) = &requests[0].form else { panic!("bytes are no text") };
        assert_eq!(body[..], [0xff, 0]);
        let expected = [
            ("brokerproperties", r#"{"MessageId":"\u00e9"}"#),
            ("detail", r#""na\u00efve \ud83e\udd80\n""#),
            (PACKED, r#""{\"Owed\":\"b\"}""#),
        ];
        assert_eq!(headers[..], expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn names_that_http_would_change_are_packed() {
        for name in ["attempt", "first_seen", "reason", "x1"] {
            assert!(survives_as_header(name), "{name}");
        }
        for name in ["", "Upper", "content-type", "host", "authorization", "größe", "a b", "a:b", PACKED] {
            assert!(!survives_as_header(name), "{name}");
        }
    }

    #[test]
    fn a_schedule_is_told_in_either_form() {
        let messages = [message("1", "text", &[]), message("2", vec![0xff], &[])];
        let at = "Sat, 21 Nov 2026 01:02:03 GMT";
        let requests: Vec<Request> = Requests::new(messages.iter().enumerate(), LIMIT, Some(at)).collect();
        let Form::Raw(_, headers) = &requests[1].form else { panic!("bytes are no text") };
        assert_eq!(headers[0].1, format!(r#"{{"MessageId":"2","ScheduledEnqueueTimeUtc":"{at}"}}"#));
        assert_eq!(parsed(&requests[0])[0]["BrokerProperties"]["ScheduledEnqueueTimeUtc"], at);
    }
}
