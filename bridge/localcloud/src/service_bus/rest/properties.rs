//! Broker properties and custom properties: JSON and headers on one side, the sections of an AMQP message on the other.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

use super::Failed;
use crate::service_bus::encoding;
use crate::service_bus::message::{APPLICATION_PROPERTIES, DATA, PROPERTIES};

type Object = serde_json::Map<String, Value>;

/// What a sender says about a message, besides its body.
///
/// # Source
/// "Message headers and properties" of the Service Bus runtime REST reference, read 2026-11. What only the service can
/// know (a sequence number, a lock token) is passed over, so that the properties of a received message can be sent again.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Broker {
    message_id: Option<String>,
    to: Option<String>,
    label: Option<String>,
    reply_to: Option<String>,
    correlation_id: Option<String>,
    content_type: Option<String>,
    session_id: Option<String>,
    reply_to_session_id: Option<String>,
    partition_key: Option<String>,
    /// Milliseconds.
    time_to_live: Option<u64>,
    /// Milliseconds since 1970.
    scheduled: Option<i64>,
}

impl Broker {
    pub(super) fn new(object: &Object) -> Result<Self, Failed> {
        let text = |name: &str| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(Failed::bad_request(format!("BrokerProperties: {name} must be a string"))),
        };
        Ok(Self {
            message_id: text("MessageId")?,
            to: text("To")?,
            label: text("Label")?,
            reply_to: text("ReplyTo")?,
            correlation_id: text("CorrelationId")?,
            content_type: text("ContentType")?,
            session_id: text("SessionId")?,
            reply_to_session_id: text("ReplyToSessionId")?,
            partition_key: text("PartitionKey")?,
            time_to_live: time_to_live(object)?,
            scheduled: text("ScheduledEnqueueTimeUtc")?.map(|at| point_in_time(&at)).transpose()?,
        })
    }

    /// From the header of that name.
    pub(super) fn from_header(json: &[u8]) -> Result<Self, Failed> {
        let object: Object = serde_json::from_slice(json).map_err(|error| {
            Failed::bad_request(format!("the header BrokerProperties is not a JSON object: {error}"))
        })?;
        Self::new(&object)
    }

    pub(super) fn or_content_type(mut self, content_type: Option<&str>) -> Self {
        self.content_type = self.content_type.or_else(|| content_type.map(str::to_owned));
        self
    }

    /// The whole message as a client would send it over AMQP.
    pub(super) fn encode(&self, custom: &[(String, Bytes)], body: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(512 + body.len());
        if let Some(milliseconds) = self.time_to_live {
            encoding::put_descriptor(&mut out, 0x70);
            let fields = encoding::encoded(|out| {
                encoding::put_bool(out, true);
                encoding::put_null(out);
                encoding::put_uint(out, u32::try_from(milliseconds).unwrap_or(u32::MAX));
            });
            encoding::put_list(&mut out, 3, &fields);
        }
        self.put_annotations(&mut out);
        encoding::put_descriptor(&mut out, PROPERTIES);
        encoding::put_list(&mut out, 13, &self.fields());
        if !custom.is_empty() {
            let mut content = BytesMut::new();
            for (name, value) in custom {
                encoding::put_text(&mut content, name);
                content.put_slice(value);
            }
            encoding::put_descriptor(&mut out, APPLICATION_PROPERTIES);
            encoding::put_map(&mut out, custom.len() * 2, &content);
        }
        encoding::put_descriptor(&mut out, DATA);
        encoding::put_binary(&mut out, body);
        out.freeze()
    }

    fn put_annotations(&self, out: &mut BytesMut) {
        let mut content = BytesMut::new();
        let mut count = 0;
        if let Some(at) = self.scheduled {
            encoding::put_symbol(&mut content, "x-opt-scheduled-enqueue-time");
            encoding::put_timestamp(&mut content, at);
            count += 2;
        }
        if let Some(key) = &self.partition_key {
            encoding::put_symbol(&mut content, "x-opt-partition-key");
            encoding::put_text(&mut content, key);
            count += 2;
        }
        if count > 0 {
            encoding::put_descriptor(out, 0x72);
            encoding::put_map(out, count, &content);
        }
    }

    fn fields(&self) -> BytesMut {
        let mut out = BytesMut::new();
        let put = |out: &mut BytesMut, text: &Option<String>| match text {
            Some(text) => encoding::put_text(out, text),
            None => encoding::put_null(out),
        };
        // The service gives every message an id.
        let id = self.message_id.clone().unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        encoding::put_text(&mut out, &id);
        encoding::put_null(&mut out); // user-id
        put(&mut out, &self.to);
        put(&mut out, &self.label);
        put(&mut out, &self.reply_to);
        put(&mut out, &self.correlation_id);
        match &self.content_type {
            Some(content_type) => encoding::put_symbol(&mut out, content_type),
            None => encoding::put_null(&mut out),
        }
        encoding::put_null(&mut out); // content-encoding
        // Lifetimes over 49 days do not fit the header's field; their ends are told by two points in time.
        match self.time_to_live.filter(|milliseconds| *milliseconds > u64::from(u32::MAX)) {
            Some(milliseconds) => {
                encoding::put_timestamp(&mut out, i64::try_from(milliseconds).unwrap_or(i64::MAX));
                encoding::put_timestamp(&mut out, 0);
            }
            None => {
                encoding::put_null(&mut out);
                encoding::put_null(&mut out);
            }
        }
        put(&mut out, &self.session_id);
        encoding::put_null(&mut out); // group-sequence
        put(&mut out, &self.reply_to_session_id);
        out
    }
}

/// Seconds as a number, or a time span of .NET (`d.hh:mm:ss.f`).
fn time_to_live(object: &Object) -> Result<Option<u64>, Failed> {
    let wrong = || Failed::bad_request("BrokerProperties: TimeToLive must be a positive number of seconds");
    let seconds = match (object.get("TimeToLiveTimeSpan"), object.get("TimeToLive")) {
        (Some(Value::String(span)), _) => time_span(span).ok_or_else(wrong)?,
        (_, Some(Value::Number(number))) => number.as_f64().ok_or_else(wrong)?,
        (_, Some(Value::String(text))) => text.parse().map_err(|_| wrong())?,
        (_, None | Some(Value::Null)) => return Ok(None),
        _ => return Err(wrong()),
    };
    if !seconds.is_finite() || seconds <= 0.0 {
        return Err(wrong());
    }
    // The service's "for ever" is .NET's TimeSpan.MaxValue, about 9.2e11 seconds.
    let lifetime = Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds < 9.2e11);
    Ok(lifetime.and_then(|lifetime| u64::try_from(lifetime.as_millis()).ok()))
}

fn time_span(text: &str) -> Option<f64> {
    let mut parts = text.rsplit(':');
    let (seconds, minutes) = (parts.next()?.parse::<f64>().ok()?, parts.next()?.parse::<f64>().ok()?);
    let hours = parts.next()?;
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    let (days, hours) = (days.parse::<f64>().ok()?, hours.parse::<f64>().ok()?);
    parts.next().is_none().then_some(((days * 24.0 + hours) * 60.0 + minutes) * 60.0 + seconds)
}

/// RFC 1123 as the service writes it, or RFC 3339.
fn point_in_time(text: &str) -> Result<i64, Failed> {
    DateTime::parse_from_rfc2822(text)
        .or_else(|_| DateTime::parse_from_rfc3339(text))
        .map(|at| at.timestamp_millis())
        .map_err(|_| Failed::bad_request(format!("BrokerProperties: '{text}' is not a time as RFC 1123 writes it")))
}

/// A custom property from JSON: strings, numbers and booleans keep their type.
pub(super) fn custom(name: &str, value: &Value) -> Result<(String, Bytes), Failed> {
    let encoded = match value {
        Value::Null => encoding::encoded(encoding::put_null),
        Value::Bool(value) => encoding::encoded(|out| encoding::put_bool(out, *value)),
        Value::String(text) => encoding::encoded(|out| encoding::put_text(out, text)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => match i32::try_from(integer) {
                Ok(small) => encoding::encoded(|out| encoding::put_int(out, small)),
                Err(_) => encoding::encoded(|out| encoding::put_long(out, integer)),
            },
            None => encoding::encoded(|out| encoding::put_double(out, number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::Array(_) | Value::Object(_) => {
            return Err(Failed::bad_request(format!("the property '{name}' must be a string, a number or a boolean")));
        }
    };
    Ok((name.to_owned(), encoded))
}

/// A custom property from a header: quoted it is a string, else a number or a boolean if it looks like one.
pub(super) fn custom_from_header(name: &str, value: &[u8]) -> Result<(String, Bytes), Failed> {
    let value = serde_json::from_slice(value).unwrap_or_else(|_| String::from_utf8_lossy(value).into_owned().into());
    custom(name, &value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service_bus::encoding::Item;
    use crate::service_bus::message::Parsed;

    fn broker(json: &str) -> Result<Broker, Failed> {
        Broker::from_header(json.as_bytes())
    }

    fn encoded(json: &str) -> Bytes {
        broker(json).unwrap().encode(&[], b"body")
    }

    #[test]
    fn broker_properties_reach_the_message() {
        let bytes = encoded(
            r#"{"MessageId":"m","SessionId":"s","TimeToLive":10.5,"ScheduledEnqueueTimeUtc":"Sat, 21 Nov 2026 01:02:03 GMT"}"#,
        );
        let parsed = Parsed::new(&bytes).unwrap();
        assert_eq!((parsed.message_id.as_deref(), parsed.session_id.as_deref()), (Some("m"), Some("s")));
        assert_eq!(parsed.header.time_to_live, Some(10_500));
        assert_eq!(parsed.scheduled, Some(1_795_222_923_000));
    }

    #[test]
    fn a_message_without_an_id_gets_one() {
        let ids: Vec<_> = (0..2).map(|_| Parsed::new(&encoded("{}")).unwrap().message_id.unwrap()).collect();
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn a_lifetime_longer_than_the_header_can_say_survives() {
        let bytes = encoded(r#"{"TimeToLive":5000000}"#);
        assert_eq!(Parsed::new(&bytes).unwrap().header.time_to_live, Some(5_000_000_000));
        assert_eq!(broker(r#"{"TimeToLive":922337203685.4775807}"#).unwrap().time_to_live, None);
        assert_eq!(broker(r#"{"TimeToLiveTimeSpan":"1.02:03:04.5"}"#).unwrap().time_to_live, Some(93_784_500));
    }

    #[test]
    fn wrong_broker_properties_are_refused() {
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"MessageId":{}}"#,
            r#"{"TimeToLive":"soon"}"#,
            r#"{"TimeToLive":-1}"#,
            r#"{"TimeToLive":true}"#,
            r#"{"TimeToLiveTimeSpan":"1:2"}"#,
            r#"{"ScheduledEnqueueTimeUtc":"tomorrow"}"#,
        ] {
            assert_eq!(broker(wrong).unwrap_err().status, axum::http::StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    #[test]
    fn custom_properties_keep_their_types() {
        let read = |value: &[u8]| custom_from_header("n", value).unwrap().1;
        assert_eq!(encoding::read(&read(br#""7""#)).unwrap(), Item::Text("7"));
        assert_eq!(encoding::read(&read(b"7")).unwrap(), Item::Signed(7));
        assert_eq!(encoding::read(&read(b"-5000000000")).unwrap(), Item::Signed(-5_000_000_000));
        assert_eq!(encoding::read(&read(b"true")).unwrap(), Item::Bool(true));
        assert_eq!(encoding::read(&read(b"plain words")).unwrap(), Item::Text("plain words"));
        assert_eq!(&read(b"1.5")[..], [&[0x82][..], &1.5_f64.to_be_bytes()].concat());
        assert!(custom_from_header("n", b"[1]").is_err());
    }
}
