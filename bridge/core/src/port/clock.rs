//! Time, passed in: the core reads no clock, so that a simulation can own it.

use std::{fmt, future::Future, pin::pin, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::{Either, select};

/// The worker's wall clock, and the only way to wait.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day. It may step backwards, as real clocks do.
    fn now(&self) -> DateTime<Utc>;

    /// Waits for `duration`. Cancel safe.
    async fn sleep(&self, duration: Duration);
}

/// What `call` comes to, or none if that takes longer than `bound`; it is dropped then.
pub async fn within<T>(clock: &dyn Clock, bound: Duration, call: impl Future<Output = T>) -> Option<T> {
    // The call is polled first, so that an answer which is there wins over a bound that has just passed.
    match select(pin!(call), clock.sleep(bound)).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(((), _)) => None,
    }
}
