//! A queue that takes a copy of a message for later.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::Delivery;
use crate::failure::PortError;

/// Puts copies of messages back into the queue that they came from, where somebody else settles the deliveries: the
/// host of a function that can neither hide a message nor settle one of several by itself.
#[async_trait]
pub trait Reschedule: fmt::Debug + Send + Sync {
    /// Appends a copy of `delivery`, to be delivered after at least `after` (rounded up to whole seconds). The copy goes
    /// on counting: its first delivery has an attempt greater by one, and the same `first_seen`.
    ///
    /// # Errors
    /// As [`Queue::send`](super::Queue::send) for one message. The delivery itself is untouched either way.
    async fn reschedule(&self, delivery: &Delivery, after: Duration) -> Result<(), PortError>;
}
