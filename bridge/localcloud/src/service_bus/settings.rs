//! What a namespace and its queues can be told: tier, sizes, locks, lifetimes. Defaults are the service's own.

use std::time::Duration;

/// The price tier of the namespace; it decides how large a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Standard,
    /// `max_message_bytes` is what a queue gets that does not set its own.
    Premium {
        max_message_bytes: usize,
    },
}

impl Tier {
    /// Source: Service Bus quotas, "message size": 256 KB on Standard, read 2026-11.
    pub const STANDARD_MESSAGE_BYTES: usize = 256 * 1024;
    /// Source: Service Bus premium messaging, "large messages support": 1 MB unless the queue is given more, read 2026-11.
    pub const PREMIUM_MESSAGE_BYTES: usize = 1024 * 1024;
    /// Source: as above: 100 MB over AMQP.
    pub const PREMIUM_MESSAGE_BYTES_MAX: usize = 100 * 1024 * 1024;

    /// Premium as a new namespace has it.
    pub fn premium() -> Self {
        Self::Premium { max_message_bytes: Self::PREMIUM_MESSAGE_BYTES }
    }

    /// The size limit of a queue of this tier, in bytes.
    pub(crate) fn message_bytes_max(self, asked: Option<usize>) -> usize {
        match self {
            // The setting exists on Premium only.
            Self::Standard => Self::STANDARD_MESSAGE_BYTES,
            Self::Premium { max_message_bytes } => {
                asked.unwrap_or(max_message_bytes).min(Self::PREMIUM_MESSAGE_BYTES_MAX)
            }
        }
    }
}

/// The settings of one queue.
///
/// Values outside the service's own bounds (a lock of 100 ms, say) are taken as they are, because tests want them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// How long a delivered message stays hidden from other receivers.
    pub lock_duration: Duration,
    /// Failed deliveries after which a message goes to the dead-letter queue.
    pub max_delivery_count: u32,
    /// The longest that a message waits; `None` is for ever. A message's own shorter lifetime counts.
    pub default_ttl: Option<Duration>,
    /// Whether expired messages go to the dead-letter queue instead of vanishing.
    pub dead_letter_on_expiry: bool,
    /// For how long message ids are remembered; a message with a remembered id is dropped, and its sender told that all is well.
    pub duplicate_detection: Option<Duration>,
    /// Premium only; the tier's limit if `None`.
    pub max_message_bytes: Option<usize>,
    /// All messages together, dead letters included; a send beyond it is refused.
    pub max_size_bytes: u64,
    /// Whether it wants sessions, which are not available here: nobody can receive from it then.
    pub sessions: bool,
    /// The queue that it hands every message on to. Noted and shown: nothing is handed on, and nobody can receive from it.
    pub forward_to: Option<String>,
    /// How long it may be out of use before it is deleted. Noted and shown: nothing is deleted.
    pub idle_life: Option<Duration>,
}

impl QueueSettings {
    /// Why nobody can receive from it, if so.
    ///
    /// # Source
    /// "Message sessions" and "Chaining Service Bus entities with autoforwarding", read 2026-11; the words are as clients show them.
    pub(crate) fn refuses_receivers(&self) -> Option<&'static str> {
        if self.sessions {
            return Some(
                "It is not possible for an entity that requires sessions to create a non-sessionful message receiver.",
            );
        }
        let words = "Cannot create a message receiver on an entity with auto-forwarding enabled.";
        self.forward_to.is_some().then_some(words)
    }
}

/// Source: "Microsoft.ServiceBus namespaces/queues" (resource reference) and Service Bus quotas, read 2026-11: lock one minute,
/// ten deliveries, no expiry, no duplicate detection, 1,024 MB.
impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            lock_duration: Duration::from_mins(1),
            max_delivery_count: 10,
            default_ttl: None,
            dead_letter_on_expiry: false,
            duplicate_detection: None,
            max_message_bytes: None,
            max_size_bytes: 1024 * 1024 * 1024,
            sessions: false,
            forward_to: None,
            idle_life: None,
        }
    }
}

/// How many messages a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting or locked. The service's own `ActiveMessageCount` adds the deferred ones.
    pub active: usize,
    pub dead_letter: usize,
    pub scheduled: usize,
    /// Those of `active` and `deferred` that some receiver holds right now.
    pub locked: usize,
    pub deferred: usize,
}
