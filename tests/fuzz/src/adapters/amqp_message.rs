//! A message of AMQP 1.0, as Service Bus hands it out.

use bridge_adapters::azure::service_bus::fuzzing::message;

/// Any section may be missing, foreign or nested at will: a message is read or refused, in memory that grows with its bytes.
pub(crate) fn run(bytes: &[u8]) {
    let Some(peeked) = message(bytes) else { return };
    assert!(!peeked.message_id.is_empty());
    assert!(peeked.body.len() <= bytes.len(), "a body is a part of its message");
}
