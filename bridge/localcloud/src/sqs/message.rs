//! One message: what its sender gave, which never changes, and what its deliveries left on it.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::attributes::Attribute;

/// What was sent. Shared, so that handing a message over copies nothing while the queues are locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) body: Box<str>,
    pub(super) body_md5: [u8; 16],
    /// In the order of their names.
    pub(super) attributes: Box<[Attribute]>,
    pub(super) trace_header: Option<Box<str>>,
    pub(super) group: Option<Arc<str>>,
    pub(super) deduplication: Option<Arc<str>>,
    pub(super) sequence: Option<u128>,
    /// By the wall clock, since the epoch.
    pub(super) sent_ms: u64,
}

impl Message {
    /// The size that limits speak of: body and attributes, without the system attributes.
    pub(super) fn size_bytes(&self) -> usize {
        self.body.len() + self.attributes.iter().map(Attribute::size_bytes).sum::<usize>()
    }
}

/// A message and its history, as it moves from a queue to its dead-letter queue and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) message: Arc<Message>,
    /// From when its retention counts, since the server's start.
    pub(super) enqueued: Duration,
    /// Deliveries so far, in all queues.
    pub(super) receive_count: u32,
    /// By the wall clock, since the epoch.
    pub(super) first_received_ms: Option<u64>,
    /// The queue that it came from when it was set aside.
    pub(super) dead_letter_source: Option<Arc<str>>,
}

impl Stored {
    pub(super) fn new(message: Message, enqueued: Duration) -> Self {
        Self {
            message: Arc::new(message),
            enqueued,
            receive_count: 0,
            first_received_ms: None,
            dead_letter_source: None,
        }
    }
}
