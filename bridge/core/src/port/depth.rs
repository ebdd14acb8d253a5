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

/// The messages of a queue by their state, each in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// They may be received now; where the broker cannot tell them apart, also those in somebody's hands.
    pub visible: u64,
    /// In somebody's hands; none where the broker does not say.
    pub leased: Option<u64>,
    /// They wait for a retry; none where the worker does not say. Then they count as the broker counts them.
    pub backing_off: Option<u64>,
    /// To be delivered later.
    pub scheduled: u64,
}

impl QueueDepth {
    /// The same by state, where a worker says how many it gave back to come again later. Brokers count those among the others: SQS among those in
    /// flight; Service Bus, where they are copies for later, among the delayed.
    pub fn by_state(&self, backing_off: Option<u64>) -> States {
        let Self { waiting, in_flight, delayed, .. } = *self;
        let Some(said) = backing_off else {
            return States { visible: waiting, leased: in_flight, backing_off: None, scheduled: delayed };
        };
        let hidden = said.min(in_flight.unwrap_or_default());
        let copies = (said - hidden).min(delayed);
        States {
            visible: waiting,
            leased: in_flight.map(|in_flight| in_flight - hidden),
            backing_off: Some(hidden + copies),
            scheduled: delayed - copies,
        }
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
