//! How large a record is, as DynamoDB counts ("DynamoDB item sizes and formats", read 2026-11). Cosmos DB takes five
//! times as much, so its count never decides.

use crate::{
    canonical,
    event::{Event, Op, Payload},
    payload::{Token, unescaped_bytes},
};

/// The attributes of a record beside its key and payload: their names, and values at their longest.
const FIXED_BYTES: usize = 512;

/// Bytes of the record that `event` leaves.
pub fn record_bytes(event: &Event) -> usize {
    let payload = if event.op == Op::Delete { 0 } else { payload_bytes(&event.payload) };
    FIXED_BYTES + event.key.as_str().len() + event.timestamp.text.len() + payload
}

/// Bytes of a payload: names and values in UTF-8, lists and maps three bytes and one for each member.
pub fn payload_bytes(payload: &Payload) -> usize {
    let mut bytes = 0;
    // A member or item is the first one, or there is a comma before it.
    let mut begun = false;
    for token in payload.tokens() {
        bytes += usize::from(begun && !matches!(token, Token::ObjectEnd | Token::ArrayEnd));
        begun = matches!(token, Token::Object | Token::Array);
        bytes += match token {
            Token::Object | Token::Array => 3,
            Token::Name(text) | Token::String(text) => unescaped_bytes(text),
            Token::Number(number) => number_bytes(number),
            Token::Bool(_) | Token::Null | Token::Comma => 1,
            Token::ObjectEnd | Token::ArrayEnd => 0,
        };
    }
    bytes
}

/// Two digits to a byte, one byte more, and one for a minus. Digits before and after the point do not share a byte, so
/// at most one byte more than that: counted always, as too much does no harm here and too little does.
pub fn number_bytes(number: &str) -> usize {
    let mantissa = number.split('e').next().unwrap_or(number);
    let integer = canonical::is_integer(number);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = if integer { &digits } else { digits.trim_matches('0') };
    digits.len().div_ceil(2) + 1 + usize::from(!integer) + usize::from(number.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_as_documented() {
        for (value, bytes) in [
            ("null", 1),
            ("0", 2),
            ("255", 3),
            ("-1234.5", 6),
            ("0.001", 3),
            ("1e300", 3),
            ("\"é\"", 2),
            ("\"\\n\\u0001\"", 2),
            ("[]", 3),
            ("[0,0]", 3 + 2 * 3),
            ("[[],{}]", 3 + 2 * (1 + 3)),
            (r#"{"ab":"c"}"#, 3 + 1 + 2 + 1),
            (r#"{"a":[true,null],"bc":"xyz"}"#, 3 + (1 + 1 + 3 + 2 + 2) + (1 + 2 + 3)),
        ] {
            let payload: Payload = format!(r#"{{"v":{value}}}"#).parse().unwrap();
            assert_eq!(payload_bytes(&payload), 3 + 1 + 1 + bytes, "{value}");
        }
        assert_eq!(payload_bytes(&Payload::new()), 3);
    }

    #[test]
    fn a_record_is_its_key_its_timestamp_and_its_payload() {
        let event = |op: &str| {
            let text = format!(
                r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"aws:us-east-1","op_type":"{op}","payload":{{"id":"order"}},"timestamp":"2026-11-21T01:02:03Z"}}"#
            );
            crate::envelope::decode(text.as_bytes(), "/id").unwrap()
        };
        let payload = 3 + 1 + 2 + 5;
        assert_eq!(record_bytes(&event("upsert")), FIXED_BYTES + 5 + 20 + payload);
        assert_eq!(record_bytes(&event("delete")), FIXED_BYTES + 5 + 20, "a tombstone has none");
    }
}
