//! What clients send over HTTP: batches, broker properties, descriptions of queues, tokens.

use bridge_adapters::azure::service_bus;
use localcloud::service_bus::fuzzing::{lets_in, message, sent, settings};

use crate::text;

/// Every message that is accepted is one that can be handed out, and that the bridge reads; a token that nobody signed lets
/// in nobody.
pub(crate) fn run(bytes: &[u8]) {
    for encoded in sent(bytes) {
        if let Some(handed_out) = message(&encoded) {
            assert!(service_bus::fuzzing::is_message(&handed_out));
        }
    }
    let Some(text) = text(bytes) else { return };
    let _ = settings(text);
    assert!(!text.starts_with("SharedAccessSignature ") || !lets_in(text));
    let _ = lets_in(text);
}
