//! Where the bytes of messages lie. Knows nothing of what they mean.

use bytes::{Bytes, BytesMut};

use super::pages::RESERVED_BYTES;

/// Memory for messages: they lie side by side in segments, and a segment goes back to the system with its last message.
///
/// One allocation for each of 100,000 messages would leave the heap full of holes that the system never gets back.
#[derive(Debug, Default)]
pub(crate) struct Store {
    segment: BytesMut,
    segment_bytes: usize,
    used: usize,
}

const FIRST_SEGMENT_BYTES: usize = 4 * 1024;
/// Segments double up to this size; after that each is reserved as a large block (see `pages`).
const HEAP_SEGMENT_BYTES_MAX: usize = 256 * 1024;
/// How much of a large block is used, so that one message left keeps no more than this.
const USED_BYTES_MAX: usize = 8 * 1024 * 1024;

impl Store {
    pub(crate) fn keep(&mut self, length: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        if self.used >= USED_BYTES_MAX || self.segment.capacity() < length {
            let doubled = (self.segment_bytes * 2).max(FIRST_SEGMENT_BYTES);
            self.segment_bytes = if doubled.max(length) > HEAP_SEGMENT_BYTES_MAX { RESERVED_BYTES } else { doubled };
            self.segment = BytesMut::with_capacity(self.segment_bytes.max(length));
            self.used = 0;
        }
        write(&mut self.segment);
        self.used += length;
        self.segment.split().freeze()
    }

    /// For when the last message has gone.
    pub(crate) fn release(&mut self) {
        *self = Self::default();
    }
}
