//! A message of AMQP 1.0, as Service Bus hands it out.

use bridge_adapters::azure::service_bus::fuzzing::message;

/// Any section may be missing, foreign or nested at will: whatever a message is, it is read, in memory that grows with its bytes.
pub(crate) fn run(bytes: &[u8]) {
    let peeked = message(bytes);
    assert!(!peeked.message_id.is_empty());
    assert!(peeked.body.len() <= bytes.len(), "a body is a part of its message");
    assert!(peeked.properties.len() <= bytes.len());
}
