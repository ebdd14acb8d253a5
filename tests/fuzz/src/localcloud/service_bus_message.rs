//! A message that a client sends over AMQP.

use bridge_adapters::azure::service_bus;
use localcloud::service_bus::fuzzing::message;

/// What is taken into the queue is a message as it is handed out: it is taken again, and the bridge reads it.
pub(crate) fn run(bytes: &[u8]) {
    let Some(handed_out) = message(bytes) else { return };
    assert!(message(&handed_out).is_some(), "what is handed out is no message");
    assert!(service_bus::fuzzing::is_message(&handed_out));
    let _ = service_bus::fuzzing::message(&handed_out);
}
