//! How much lies in a queue.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::failure::PortError;

/// What lies in a queue. Brokers count by estimate: SQS says so of each of its figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Messages that may be received now. Where the broker cannot tell them apart, those in somebody's hands count here.
    pub waiting: u64,
    /// Messages in somebody's hands; none where the broker does not say.
    pub in_flight: Option<u64>,
    /// Messages that are to be delivered later.
    pub delayed: u64,
    /// When the oldest message came, by the broker's clock; none where nothing waits, or the broker does not say.
    pub oldest: Option<DateTime<Utc>>,
}

impl QueueDepth {
    /// All that lies there.
    pub fn messages(&self) -> u64 {
        self.waiting + self.in_flight.unwrap_or_default() + self.delayed
    }
}

/// A queue whose messages can be counted. Looking takes none.
#[async_trait]
pub trait Depth: fmt::Debug + Send + Sync {
    /// Counts what lies there.
    ///
    /// # Errors
    /// Most often `Unauthorized`: counting needs a permission that no worker needs.
    async fn depth(&self) -> Result<QueueDepth, PortError>;
}
