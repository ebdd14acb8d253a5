//! A message of the core as an SQS message and back, and what SQS cannot carry.

use std::collections::HashMap;

use aws_sdk_sqs::types::{
    Message as SqsMessage, MessageAttributeValue, MessageSystemAttributeName as SystemAttribute,
    SendMessageBatchRequestEntry,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bridge_core::{
    failure::FailureKind,
    limits,
    port::{Delivery, Message, Properties, Receipt},
};
use bytes::Bytes;
use chrono::{DateTime, Utc};

/// The type that properties travel as.
const STRING: &str = "String";

/// What has to be asked for beside body and attributes.
pub(super) const SYSTEM_ATTRIBUTES: [SystemAttribute; 2] =
    [SystemAttribute::ApproximateReceiveCount, SystemAttribute::SentTimestamp];

/// The delivery that SQS handed over; none without a receipt, which could never be settled. SQS hides a message itself, so no copy
/// stands in for one, and what a property says of earlier deliveries is not believed.
pub(super) fn to_delivery(message: SqsMessage) -> Option<Delivery> {
    let receipt = Receipt(message.receipt_handle?);
    let system = message.attributes.unwrap_or_default();
    let number = |name: &SystemAttribute| system.get(name).and_then(|text| text.parse::<i64>().ok());
    let deliveries = number(&SystemAttribute::ApproximateReceiveCount).and_then(|count| u32::try_from(count).ok());
    let sent: Option<DateTime<Utc>> = number(&SystemAttribute::SentTimestamp).and_then(DateTime::from_timestamp_millis);
    let properties = to_properties(message.message_attributes.unwrap_or_default());
    Some(Delivery {
        receipt,
        message_id: message.message_id.unwrap_or_default(),
        attempt: deliveries.unwrap_or(1).max(1),
        first_seen: sent,
        body: Bytes::from(message.body.unwrap_or_default()),
        properties,
    })
}

/// Attributes as texts. Numbers travel as text anyway; a foreign sender's binary is shown in base64.
fn to_properties(attributes: HashMap<String, MessageAttributeValue>) -> Properties {
    let text = |value: MessageAttributeValue| {
        value
            .string_value
            .or_else(|| value.binary_value.map(|binary| STANDARD.encode(binary.as_ref())))
            .unwrap_or_default()
    };
    attributes.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// The entry of a batch that sends `message`, as its `id`. The message must have passed [`check`].
///
/// `Message::id` does not travel: a standard queue names every send itself, and detects no duplicates.
pub(super) fn to_entry(message: &Message, id: usize) -> SendMessageBatchRequestEntry {
    let attribute = |value: &String| {
        let attribute = MessageAttributeValue::builder().data_type(STRING).string_value(value);
        attribute.build().expect("it has the one part that is required, its type")
    };
    let attributes: HashMap<_, _> =
        message.properties.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
    let entry = SendMessageBatchRequestEntry::builder()
        .id(id.to_string())
        .message_body(std::str::from_utf8(&message.body).expect("checked before it comes here"))
        .set_message_attributes((!attributes.is_empty()).then_some(attributes));
    entry.build().expect("it has both parts that are required, id and body")
}

/// Bytes of a message as SQS counts them: "Amazon SQS message metadata", read 2026-11: names, types and values of
/// attributes count as the body does.
pub(super) fn size_bytes(message: &Message) -> usize {
    let attribute = |(name, value): (&String, &String)| name.len() + STRING.len() + value.len();
    message.body.len() + message.properties.iter().map(attribute).sum::<usize>()
}

/// Refuses what SQS cannot carry. The service would refuse it too, but here it costs no request, and no neighbour in
/// the same batch.
pub(super) fn check(message: &Message, message_bytes_max: usize) -> Result<(), FailureKind> {
    let size_bytes = size_bytes(message);
    if size_bytes > message_bytes_max {
        let (size_bytes, limit_bytes) = (size_bytes as u64, message_bytes_max as u64);
        return Err(FailureKind::TooLarge { size_bytes, limit_bytes });
    }
    check_content(message).map_err(|detail| FailureKind::Rejected { detail })
}

fn check_content(message: &Message) -> Result<(), String> {
    let body = std::str::from_utf8(&message.body).map_err(|error| {
        format!("SQS carries text only, and the body is not UTF-8 after byte {}", error.valid_up_to())
    })?;
    if body.is_empty() {
        return Err("SQS carries no empty bodies".to_owned());
    }
    check_characters("the body", body)?;
    let count = message.properties.len();
    if count > limits::PROPERTIES_MAX {
        return Err(format!("{count} properties; SQS carries at most {}", limits::PROPERTIES_MAX));
    }
    for (name, value) in &message.properties {
        check_name(name)?;
        if value.is_empty() {
            return Err(format!("property {name:?} is empty, and SQS carries no empty attributes"));
        }
        check_characters(&format!("property {name:?}"), value)?;
    }
    Ok(())
}

/// `SendMessage` in the Amazon SQS API Reference, read 2026-11: #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD,
/// #x10000 to #x10FFFF.
fn check_characters(what: &str, text: &str) -> Result<(), String> {
    let carried = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..);
    match text.char_indices().find(|(_, c)| !carried(*c)) {
        Some((at, c)) => Err(format!("{what} has U+{:04X} at byte {at}, which SQS does not carry", u32::from(c))),
        None => Ok(()),
    }
}

/// "Amazon SQS message metadata", read 2026-11: letters, digits, `_`, `-` and `.`, at most 256, the last not at either
/// end nor twice in a row, and neither `AWS.` nor `Amazon.` in front.
fn check_name(name: &str) -> Result<(), String> {
    let reserved = ["aws.", "amazon."].iter().any(|prefix| name.to_ascii_lowercase().starts_with(prefix));
    let good = (1..=256).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..");
    if good && !reserved {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(format!("{shown:?} cannot name an SQS attribute: up to 256 letters, digits, '_', '-' and '.'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &[u8], properties: &[(&str, &str)]) -> Message {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Message { id: "1".to_owned(), body: Bytes::copy_from_slice(body), properties }
    }

    fn refused(body: &[u8], properties: &[(&str, &str)]) -> String {
        match check(&message(body, properties), 1000) {
            Err(FailureKind::Rejected { detail }) => detail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_carried_is_named() {
        assert_eq!(refused(b"", &[]), "SQS carries no empty bodies");
        assert_eq!(refused(b"ab\xff", &[]), "SQS carries text only, and the body is not UTF-8 after byte 2");
        assert_eq!(refused(b"ab\x01", &[]), "the body has U+0001 at byte 2, which SQS does not carry");
        assert_eq!(refused("\u{FFFE}".as_bytes(), &[]), "the body has U+FFFE at byte 0, which SQS does not carry");
        assert!(refused(b"a", &[("x", "")]).starts_with("property \"x\" is empty"));
        assert!(refused(b"a", &[("x", "\0")]).starts_with("property \"x\" has U+0000"));
        for name in ["", "a b", ".a", "a.", "a..b", "AWS.x", "amazon.x", "ä"] {
            assert!(refused(b"a", &[(name, "x")]).contains("cannot name"), "{name:?}");
        }
    }

    #[test]
    fn what_can_be_carried_passes() {
        let odd = "\t\r\n ~é\u{D7FF}\u{E000}\u{FFFD}\u{10000}\u{10FFFF}";
        assert_eq!(check(&message(odd.as_bytes(), &[("trace-parent_1.x", odd)]), 1000), Ok(()));
    }

    #[test]
    fn attributes_count() {
        let message = message(b"12345", &[("ab", "xyz")]);
        assert_eq!(size_bytes(&message), 5 + 2 + 6 + 3);
        assert_eq!(check(&message, 16), Ok(()));
        assert_eq!(check(&message, 15), Err(FailureKind::TooLarge { size_bytes: 16, limit_bytes: 15 }));
    }

    #[test]
    fn a_delivery_without_a_receipt_is_none() {
        assert!(to_delivery(SqsMessage::builder().body("a").build()).is_none());
        let delivery = to_delivery(SqsMessage::builder().receipt_handle("r").body("a").build()).unwrap();
        assert_eq!((delivery.attempt, delivery.first_seen), (1, None));
    }
}
