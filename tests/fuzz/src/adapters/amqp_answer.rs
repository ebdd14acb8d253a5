//! An answer of a queue's management node.

use bridge_adapters::azure::service_bus::fuzzing::{message, peeked};

/// The messages in it are parts of it, and are read one by one.
pub(crate) fn run(bytes: &[u8]) {
    for encoded in peeked(bytes).into_iter().flatten() {
        assert!(encoded.len() <= bytes.len());
        message(&encoded);
    }
}
