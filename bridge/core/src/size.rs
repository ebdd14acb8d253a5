//! How large a record is, as DynamoDB counts ("DynamoDB item sizes and formats", read 2026-11): names and values in UTF-8. Cosmos DB takes
//! five times as much, so its count never decides. The one count: the origin refuses by it, memory refuses by it, and the adapter tells by it
//! what DynamoDB refuses.

use crate::{
    canonical,
    event::{Event, Op, Payload},
    payload::{Token, unescaped_bytes},
    record::Record,
};

/// The attributes of a record beside its key and payload: their names, and values at their longest.
const FIXED_BYTES: usize = 512;

/// The attribute of an expiry: a time in seconds, which has ten digits until the year 2286.
const EXPIRY_BYTES: usize = "expires_at".len() + 10 / 2 + 1;

/// Bytes of the item that holds `record`.
pub fn item_bytes(record: &Record) -> u64 {
    let texts = [
        ("pk", record.key.as_str()),
        ("version", record.version.as_str()),
        ("event_id", &record.event_id.to_string()),
        ("source_region", record.source_region.as_str()),
        ("timestamp", &record.timestamp),
        ("op_type", record.op.as_str()),
        ("applied_at", &record.applied_at),
        ("applied_by", record.applied_by.as_str()),
    ];
    let texts: usize = texts.iter().map(|(name, text)| name.len() + text.len()).sum();
    let deleted = "deleted".len() + 1;
    let payload = record.payload.as_ref().map_or(0, |payload| "payload".len() + payload_bytes(payload));
    let expiry = record.expires_after.map_or(0, |_| EXPIRY_BYTES);
    (texts + deleted + payload + expiry) as u64
}

/// Bytes of the record that `event` leaves, at most.
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

    fn event_of(origin: &str, op: &str) -> Event {
        let text = format!(
            r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"{origin}","op_type":"{op}","payload":{{"id":"order"}},"timestamp":"2026-11-21T01:02:03Z"}}"#
        );
        crate::envelope::decode(text.as_bytes(), "/id").unwrap()
    }

    #[test]
    fn an_item_is_its_attributes_with_their_names_and_no_larger_than_the_origin_counted() {
        let names = "pk version event_id source_region timestamp op_type applied_at applied_by deleted payload";
        let longest = format!("aws:{}", "x".repeat(crate::limits::SITE_ID_BYTES_MAX - "aws:".len()));
        let now = "2026-11-21T01:02:03Z".parse().unwrap();
        for origin in ["aws:us-east-1", &longest] {
            let event = event_of(origin, "upsert");
            let record = Record::new(&event, &event.origin, now, std::time::Duration::from_secs(1));
            let texts =
                record.version.as_str().len() + "order".len() + 20 + "upsert".len() + 24 + 2 * origin.len() + 36;
            let payload = 3 + 1 + 2 + 5;
            assert_eq!(item_bytes(&record), (names.replace(' ', "").len() + texts + 1 + payload) as u64);
            let event = event_of(origin, "delete");
            let tombstone = Record::new(&event, &event.origin, now, std::time::Duration::from_secs(1));
            let without = Record { expires_after: None, ..tombstone.clone() };
            assert_eq!(item_bytes(&tombstone) - item_bytes(&without), "expires_at".len() as u64 + 10 / 2 + 1);
            for (record, op) in [(&record, "upsert"), (&tombstone, "delete")] {
                assert!(item_bytes(record) <= record_bytes(&event_of(origin, op)) as u64, "{op} of {origin}");
            }
        }
    }

    #[test]
    fn a_record_is_its_key_its_timestamp_and_its_payload() {
        let event = |op: &str| event_of("aws:us-east-1", op);
        let payload = 3 + 1 + 2 + 5;
        assert_eq!(record_bytes(&event("upsert")), FIXED_BYTES + 5 + 20 + payload);
        assert_eq!(record_bytes(&event("delete")), FIXED_BYTES + 5 + 20, "a tombstone has none");
    }
}
