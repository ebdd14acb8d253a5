//! A message of SQS with its attributes, system's and sender's.

use arbitrary::{Arbitrary, Result, Unstructured};
use aws_sdk_sqs::{
    primitives::Blob,
    types::{Message, MessageAttributeValue, MessageSystemAttributeName},
};
use bridge_adapters::aws::fuzzing::delivery;

/// The body passes byte for byte, the receipt and every attribute with it, and a delivery has an attempt.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(message) = message(&mut Unstructured::new(bytes)) else { return };
    let Some(delivery) = delivery(message.clone()) else {
        assert_eq!(message.receipt_handle, None);
        return;
    };
    assert_eq!(delivery.body, message.body.unwrap_or_default());
    assert_eq!(Some(delivery.receipt.0), message.receipt_handle);
    assert_eq!(delivery.properties.len(), message.message_attributes.unwrap_or_default().len());
    assert!(delivery.attempt > 0);
}

fn message(input: &mut Unstructured<'_>) -> Result<Message> {
    let mut message = Message::builder()
        .set_message_id(Option::arbitrary(input)?)
        .set_receipt_handle(Option::arbitrary(input)?)
        .set_body(Option::arbitrary(input)?);
    for name in [MessageSystemAttributeName::ApproximateReceiveCount, MessageSystemAttributeName::SentTimestamp] {
        if bool::arbitrary(input)? {
            let text =
                if bool::arbitrary(input)? { i64::arbitrary(input)?.to_string() } else { String::arbitrary(input)? };
            message = message.attributes(name, text);
        }
    }
    for _ in 0..input.int_in_range(0..=3)? {
        let name = match input.int_in_range(0..=2)? {
            0 => "bridge_attempt".to_owned(),
            1 => "bridge_first_seen".to_owned(),
            _ => String::arbitrary(input)?,
        };
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .set_string_value(Option::arbitrary(input)?)
            .set_binary_value(Option::<Vec<u8>>::arbitrary(input)?.map(Blob::new))
            .build();
        message = message.message_attributes(name, value.unwrap());
    }
    Ok(message.build())
}
