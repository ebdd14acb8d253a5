//! The machine's own clock.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bridge_core::port::Clock;
use chrono::{DateTime, TimeDelta, Utc};

/// The machine's wall clock, and tokio's timers to wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        SystemTime::now().into()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A clock that is wrong by so much, to see what a wrong clock does.
#[derive(Clone, Copy, Debug)]
pub struct ShiftedClock(pub TimeDelta);

#[async_trait]
impl Clock for ShiftedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }

    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration).await;
    }
}
