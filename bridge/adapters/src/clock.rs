//! The machine's own clock.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bridge_core::port::Clock;
use chrono::{DateTime, Utc};

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
