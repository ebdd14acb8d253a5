//! A payload in DynamoDB's JSON, from text to text: as the SDK's tree of values it would take up to a hundred times its bytes.
//!
//! The SDK sends and reads everything else. Its requests are built with an empty map for the payload, in whose place `Spliced` writes the real
//! one; and of an answer that brings an item it sees an empty map again, as a write needs no more of an item than what it is and
//! which version it has.

use std::{
    collections::BTreeMap,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut},
    },
    error::BoxError,
    types::AttributeValue,
};
use aws_smithy_types::body::SdkBody;
use bridge_core::{canonical, event::Payload, payload::Token};
use bytes::Bytes;
use http_body::{Body, Frame};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Number, value::RawValue};

/// The payload's attribute.
const PAYLOAD: &str = "payload";

/// How the SDK writes the payload's attribute with an empty map. Nowhere else in a request: quotes within texts are escaped.
const EMPTY: &str = r#""payload":{"M":{}}"#;

/// Room that is made for an answer before it has come. Ours: an item of 400 KB has 4 MB in DynamoDB's JSON at most.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Appends the attribute value that holds `payload`.
pub fn write(payload: &Payload, text: &mut String) {
    for token in payload.tokens() {
        match token {
            Token::Object => text.push_str(r#"{"M":{"#),
            Token::Array => text.push_str(r#"{"L":["#),
            Token::ObjectEnd => text.push_str("}}"),
            Token::ArrayEnd => text.push_str("]}"),
            Token::Comma => text.push(','),
            Token::Name(name) => push(text, ["\"", name, "\":"]),
            Token::String(string) => push(text, [r#"{"S":""#, string, r#""}"#]),
            Token::Number(number) if canonical::is_integer(number) => push(text, [r#"{"N":""#, number, r#""}"#]),
            Token::Number(number) => push(text, [r#"{"N":""#, &decimal(number), r#""}"#]),
            Token::Bool(value) => push(text, [r#"{"BOOL":"#, value, "}"]),
            Token::Null => text.push_str(r#"{"NULL":true}"#),
        }
    }
}

fn push(text: &mut String, parts: [&str; 3]) {
    for part in parts {
        text.push_str(part);
    }
}

/// A double in its shortest form, which is far shorter than 21 digits for 1e20.
fn decimal(number: &str) -> String {
    number.parse::<f64>().map_or_else(|_| number.to_owned(), |double| format!("{double:e}"))
}

/// The payload that an attribute holds.
///
/// # Errors
/// What JSON has no form for.
pub fn read(value: &AttributeValue) -> Result<Payload, String> {
    let AttributeValue::M(_) = value else { return Err("not a map".to_owned()) };
    let mut text = Vec::new();
    write_json(value, &mut text)?;
    String::from_utf8(text).expect("it is put together of texts").parse()
}

fn write_json(value: &AttributeValue, text: &mut Vec<u8>) -> Result<(), String> {
    match value {
        AttributeValue::Null(_) => text.extend_from_slice(b"null"),
        AttributeValue::Bool(value) => text.extend_from_slice(value.to_string().as_bytes()),
        AttributeValue::N(decimal) => text.extend_from_slice(number(decimal)?.to_string().as_bytes()),
        AttributeValue::S(string) => canonical::write_string(string, text),
        AttributeValue::L(items) => {
            text.push(b'[');
            for (at, item) in items.iter().enumerate() {
                text.extend_from_slice(if at > 0 { b"," } else { b"" });
                write_json(item, text)?;
            }
            text.push(b']');
        }
        AttributeValue::M(members) => {
            text.push(b'{');
            for (at, (name, value)) in members.iter().enumerate() {
                text.extend_from_slice(if at > 0 { b"," } else { b"" });
                canonical::write_string(name, text);
                text.push(b':');
                write_json(value, text)?;
            }
            text.push(b'}');
        }
        other => return Err(format!("{} has no form in JSON", kind(other))),
    }
    Ok(())
}

fn number(decimal: &str) -> Result<Number, String> {
    if let Ok(integer) = decimal.parse::<i64>() {
        return Ok(integer.into());
    }
    let double = decimal.parse::<f64>().ok().and_then(Number::from_f64);
    double.ok_or_else(|| format!("{decimal} is not a number"))
}

/// The name of a type that JSON lacks; the value itself stays out of messages.
fn kind(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::B(_) => "a binary",
        AttributeValue::Bs(_) | AttributeValue::Ns(_) | AttributeValue::Ss(_) => "a set",
        _ => "a type",
    }
}

/// Puts the payload into a request that was built without it, and takes it out of the answer.
#[derive(Debug)]
pub(crate) struct Spliced(pub(crate) Option<Payload>);

impl Intercept for Spliced {
    fn name(&self) -> &'static str {
        "payload as text"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(payload) = &self.0 else { return Ok(()) };
        let request = context.request_mut();
        let body = request.body().bytes().and_then(|body| std::str::from_utf8(body).ok());
        let body = body.and_then(|body| spliced(body, payload)).ok_or("the request has no place for the payload")?;
        request.headers_mut().insert("content-length", body.len().to_string());
        *request.body_mut() = SdkBody::from(body);
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let body = response.take_body();
        let bytes = body.content_length().and_then(|bytes| usize::try_from(bytes).ok());
        let held = Vec::with_capacity(bytes.unwrap_or_default().min(ANSWER_BYTES_MAX));
        *response.body_mut() = SdkBody::from_body_1_x(Lightened { body, held });
        Ok(())
    }
}

/// The request with `payload` in the place of the empty one; none if there is no such place.
fn spliced(request: &str, payload: &Payload) -> Option<String> {
    let (before, after) = request.split_once(EMPTY)?;
    let mut body = String::with_capacity(request.len() + payload.as_str().len() * 2);
    push(&mut body, [before, "\"", PAYLOAD]);
    body.push_str("\":");
    write(payload, &mut body);
    body.push_str(after);
    // Some are sent at once, and each is kept for a second attempt.
    body.shrink_to_fit();
    Some(body)
}

/// An answer's body, which passes on at its end what is left without the payload.
struct Lightened {
    body: SdkBody,
    held: Vec<u8>,
}

impl Body for Lightened {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.held.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if self.held.is_empty() => return Poll::Ready(None),
                None => {
                    let held = mem::take(&mut self.held);
                    let light = lightened(&held).unwrap_or(held);
                    return Poll::Ready(Some(Ok(Frame::data(light.into()))));
                }
            }
        }
    }
}

/// The answer to a write, with an empty map for the payload of the item that it brings. None if it brings none: then it is left as it is.
fn lightened(answer: &[u8]) -> Option<Vec<u8>> {
    /// A map, whatever is in it.
    #[derive(Deserialize)]
    struct OfMap {
        #[serde(rename = "M")]
        _members: IgnoredAny,
    }
    let empty = RawValue::from_string(r#"{"M":{}}"#.to_owned()).ok()?;
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(answer).ok()?;
    // As a success names it, and as a refusal does.
    let (name, item) = ["Attributes", "Item"].into_iter().find_map(|name| members.remove_entry(name))?;
    let mut item: BTreeMap<String, &RawValue> = serde_json::from_str(item.get()).ok()?;
    let payload = item.get_mut(PAYLOAD)?;
    serde_json::from_str::<OfMap>(payload.get()).ok()?;
    *payload = &empty;
    let item = serde_json::value::to_raw_value(&item).ok()?;
    members.insert(name, &item);
    serde_json::to_vec(&members).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn payload(members: &Value) -> Payload {
        members.to_string().parse().unwrap()
    }

    fn written(members: &Value) -> Value {
        let mut text = String::new();
        write(&payload(members), &mut text);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn values_are_written_as_dynamodb_has_them() {
        let all =
            json!({"s": "a\"\\\n\u{1}é🦀", "n": [0, -1, 2.5], "b": [true, false], "z": null, "m": {"": {}}, "l": []});
        let expected = json!({"M": {
            "s": {"S": "a\"\\\n\u{1}é🦀"},
            "n": {"L": [{"N": "0"}, {"N": "-1"}, {"N": "2.5e0"}]},
            "b": {"L": [{"BOOL": true}, {"BOOL": false}]},
            "z": {"NULL": true},
            "m": {"M": {"": {"M": {}}}},
            "l": {"L": []},
        }});
        assert_eq!(written(&all), expected);
        assert_eq!(written(&json!({})), json!({"M": {}}));
    }

    #[test]
    fn numbers_keep_their_decimal_value() {
        let decimals = [
            (json!(0.1), "1e-1"),
            (json!(1e20), "1e20"),
            (json!(1e21), "1e21"),
            (json!(1_152_921_504_606_846_976_u64), "1.152921504606847e18"),
            (json!(9_007_199_254_740_991_i64), "9007199254740991"),
            (json!(-1.5), "-1.5e0"),
            (json!(1e-130), "1e-130"),
        ];
        let held =
            |decimal: &str| read(&AttributeValue::M([("n".to_owned(), AttributeValue::N(decimal.to_owned()))].into()));
        for (number, decimal) in decimals {
            assert_eq!(written(&json!({ "n": number }))["M"]["n"]["N"], decimal);
            assert_eq!(held(decimal), Ok(payload(&json!({ "n": number }))));
        }
        assert_eq!(held("1000000000000000000000"), held("1e21"), "as DynamoDB gives it back");
        assert!(held("soon").is_err());
    }

    #[test]
    fn a_request_gets_its_payload_and_no_other_gets_one() {
        let of = payload(&json!({"a": 1}));
        let request =
            r#"{"TableName":"t","Item":{"pk":{"S":"\"payload\":{\"M\":{}}"},"payload":{"M":{}},"x":{"S":""}}}"#;
        let body: Value = serde_json::from_str(&spliced(request, &of).unwrap()).unwrap();
        assert_eq!(body["Item"]["payload"], json!({"M": {"a": {"N": "1"}}}));
        assert_eq!(body["Item"]["pk"]["S"], r#""payload":{"M":{}}"#);
        assert_eq!(spliced(r#"{"Item":{"payload":{"S":"x"}}}"#, &of), None);
    }

    #[test]
    fn an_answer_brings_an_empty_map_for_a_map_and_all_else_as_it_is() {
        for name in ["Attributes", "Item"] {
            let answer = |payload: Value| json!({"__type": "x", name: {"pk": {"S": "k"}, "payload": payload}});
            let light = lightened(answer(json!({"M": {"a": {"N": "1"}}})).to_string().as_bytes()).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&light).unwrap(), answer(json!({"M": {}})));
            for other in [json!({"S": "text"}), json!({"L": []}), json!({"NULL": true}), json!(null)] {
                assert_eq!(lightened(answer(other).to_string().as_bytes()), None);
            }
        }
        for other in ["", "{}", "[1]", r#"{"Attributes":{"pk":{"S":"k"}}}"#, r#"{"Item":7}"#, "not JSON"] {
            assert_eq!(lightened(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn what_json_lacks_is_named() {
        let of = |value| read(&AttributeValue::M([("a".to_owned(), AttributeValue::L(vec![value]))].into()));
        assert!(of(AttributeValue::Ss(vec!["x".to_owned()])).unwrap_err().contains("a set has no form"));
        assert!(read(&AttributeValue::Bool(true)).unwrap_err().contains("not a map"));
    }
}
