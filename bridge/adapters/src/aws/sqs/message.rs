//! A message of the core as an SQS message and back, and what SQS cannot carry.

use std::collections::HashMap;

use aws_sdk_sqs::types::{
    Message as SqsMessage, MessageAttributeValue, MessageSystemAttributeName as SystemAttribute,
    SendMessageBatchRequestEntry,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bridge_core::{
    port::{Delivery, Message, Properties, Receipt},
    property,
};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::carried::sqs::STRING;

/// What has to be asked for beside body and attributes.
pub(crate) const SYSTEM_ATTRIBUTES: [SystemAttribute; 3] = [
    SystemAttribute::ApproximateReceiveCount,
    SystemAttribute::SentTimestamp,
    SystemAttribute::DeadLetterQueueSourceArn,
];

/// The delivery that SQS handed over; none without a receipt, which could never be settled. SQS hides a message itself, so no copy
/// stands in for one, and what a property says of earlier deliveries is not believed.
pub(crate) fn to_delivery(message: SqsMessage) -> Option<Delivery> {
    let receipt = Receipt(message.receipt_handle?);
    let system = message.attributes.unwrap_or_default();
    let number = |name: &SystemAttribute| system.get(name).and_then(|text| text.parse::<i64>().ok());
    let deliveries = number(&SystemAttribute::ApproximateReceiveCount).and_then(|count| u32::try_from(count).ok());
    let sent: Option<DateTime<Utc>> = number(&SystemAttribute::SentTimestamp).and_then(DateTime::from_timestamp_millis);
    let mut properties = to_properties(message.message_attributes.unwrap_or_default());
    if let Some(from) = system.get(&SystemAttribute::DeadLetterQueueSourceArn) {
        properties.insert(property::MOVED_BY_BROKER.to_owned(), from.clone());
    }
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

/// The entry of a batch that sends `message`, as its `id`. The message must have passed [`check`](crate::carried::sqs::check).
///
/// `Message::id` does not travel: a standard queue names every send itself, and detects no duplicates.
pub(crate) fn to_entry(message: &Message, id: usize) -> SendMessageBatchRequestEntry {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_without_a_receipt_is_none() {
        assert!(to_delivery(SqsMessage::builder().body("a").build()).is_none());
        let delivery = to_delivery(SqsMessage::builder().receipt_handle("r").body("a").build()).unwrap();
        assert_eq!((delivery.attempt, delivery.first_seen), (1, None));
    }
}
