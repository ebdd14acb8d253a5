//! Time, passed in: the core reads no clock, so that a simulation can own it.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// The worker's wall clock, and the only way to wait.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day. It may step backwards, as real clocks do.
    fn now(&self) -> DateTime<Utc>;

    /// Waits for `duration`. Cancel safe.
    async fn sleep(&self, duration: Duration);
}
