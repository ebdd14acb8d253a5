//! Receipt handles: sealed notes of which delivery of which message they stand for.
//!
//! All that a handle means is inside it, so nothing needs to be remembered of deleted messages and yet a handle of one
//! can be told from garbage: SQS answers the first with success and the second with `ReceiptHandleIsInvalid`. The seal
//! is no cryptography; it only makes a made-up handle fail.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

/// Gives handles the look of the service's own, which start with `AQEB`.
const PREFIX: [u8; 3] = [1, 1, 1];
const FIELDS_BYTES: usize = 32;
const SEAL_BYTES: usize = 10;
/// A multiple of three, so that the text needs no padding.
const HANDLE_BYTES: usize = PREFIX.len() + FIELDS_BYTES + SEAL_BYTES;

/// One delivery of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    /// The queue, as numbered at its creation: a new queue of the same name has another number.
    pub(super) queue: u64,
    /// The message within the queue.
    pub(super) key: u64,
    /// The delivery within the queue; a message's later delivery has a greater number.
    pub(super) delivery: u64,
    /// When it was received, since the server's start.
    pub(super) received: Duration,
}

/// Writes and reads handles with one server's secret.
pub(super) struct Seal {
    secret: u64,
}

impl Seal {
    pub(super) fn new(secret: u64) -> Self {
        Self { secret }
    }

    pub(super) fn write(&self, receipt: &Receipt) -> String {
        let received_ms = u64::try_from(receipt.received.as_millis()).unwrap_or(u64::MAX);
        let mut bytes = [0; HANDLE_BYTES];
        bytes[..PREFIX.len()].copy_from_slice(&PREFIX);
        let fields = [receipt.queue, receipt.key, receipt.delivery, received_ms];
        for (place, field) in bytes[PREFIX.len()..].chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        let seal = self.seal(&bytes[..PREFIX.len() + FIELDS_BYTES]);
        bytes[PREFIX.len() + FIELDS_BYTES..].copy_from_slice(&seal);
        STANDARD.encode(bytes)
    }

    /// The delivery behind a handle; `None` if this server never wrote it.
    pub(super) fn read(&self, handle: &str) -> Option<Receipt> {
        let bytes: [u8; HANDLE_BYTES] = STANDARD.decode(handle).ok()?.try_into().ok()?;
        let (sealed, seal) = bytes.split_at(PREFIX.len() + FIELDS_BYTES);
        if seal != self.seal(sealed) {
            return None;
        }
        let mut fields = sealed[PREFIX.len()..]
            .chunks_exact(8)
            .map(|field| u64::from_be_bytes(field.try_into().expect("chunks are of eight bytes")));
        let mut next = || fields.next().expect("there are four fields");
        Some(Receipt { queue: next(), key: next(), delivery: next(), received: Duration::from_millis(next()) })
    }

    fn seal(&self, bytes: &[u8]) -> [u8; SEAL_BYTES] {
        let digest = Md5::new().chain_update(self.secret.to_be_bytes()).chain_update(bytes).finalize();
        *digest.first_chunk().expect("an MD5 digest has sixteen bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIPT: Receipt = Receipt { queue: 1, key: 2, delivery: u64::MAX, received: Duration::from_millis(77) };

    #[test]
    fn a_handle_reads_back_as_the_delivery_it_was_written_for() {
        let seal = Seal::new(5);
        let handle = seal.write(&RECEIPT);
        assert!(handle.starts_with("AQEB"), "{handle}");
        assert_eq!(seal.read(&handle), Some(RECEIPT));
    }

    #[test]
    fn a_handle_that_was_changed_anywhere_is_garbage() {
        let seal = Seal::new(5);
        let handle = seal.write(&RECEIPT);
        for place in 0..handle.len() {
            let mut changed = handle.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.read(&String::from_utf8(changed).unwrap()), None, "changed at {place}");
        }
        assert_eq!(Seal::new(6).read(&handle), None, "another server's handle");
        assert_eq!(seal.read(""), None);
        assert_eq!(seal.read("garbage é"), None);
    }
}
