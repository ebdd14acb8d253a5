//! One service in one region, and what befalls it: its own view of [`Faults`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::watch;

use super::{Faults, Verdict, lock};

/// One of the four services that this crate serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    Sqs,
    Dynamodb,
    ServiceBus,
    Cosmos,
}

impl Service {
    pub const ALL: [Self; 4] = [Self::Sqs, Self::Dynamodb, Self::ServiceBus, Self::Cosmos];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sqs => "sqs",
            Self::Dynamodb => "dynamodb",
            Self::ServiceBus => "service-bus",
            Self::Cosmos => "cosmos",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A service in a region; in writing `sqs@us-east-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAt {
    pub service: Service,
    pub region: Arc<str>,
}

impl ServiceAt {
    pub fn new(service: Service, region: &str) -> Self {
        Self { service, region: region.into() }
    }
}

impl fmt::Display for ServiceAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.service, self.region)
    }
}

impl Serialize for ServiceAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What belongs to one service in one region alone.
pub(super) struct Own {
    at: ServiceAt,
    /// Counts the cuts of its connections.
    cuts: watch::Sender<u64>,
    clock_offset_ms: AtomicI64,
}

impl Own {
    pub(super) fn new(at: ServiceAt) -> Self {
        Self { at, cuts: watch::Sender::new(0), clock_offset_ms: AtomicI64::new(0) }
    }
}

/// The faults, the clock and the counts of one service in one region.
#[derive(Clone)]
pub struct ServiceFaults {
    all: Arc<Faults>,
    own: Arc<Own>,
}

impl ServiceFaults {
    pub(super) fn new(all: Arc<Faults>, own: Arc<Own>) -> Self {
        Self { all, own }
    }

    pub fn at(&self) -> &ServiceAt {
        &self.own.at
    }

    /// Decides one call's fate, and counts the hit of each fault that had a part in it.
    ///
    /// Delays add up; of several failures the oldest fault's wins.
    pub fn judge(&self, operation: &str) -> Verdict {
        self.all.judge_at(Instant::now(), self.at(), operation)
    }

    /// Whether the service is away: it then refuses connections and answers nothing.
    pub fn is_dark(&self) -> bool {
        self.dark_for().is_some()
    }

    fn dark_for(&self) -> Option<Duration> {
        self.all.dark_for(Instant::now(), self.at())
    }

    /// Completes once the service is dark, at once if it is already; for tearing down connections that sit idle.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn darkness(&self) {
        let mut changes = self.all.subscribe();
        while !self.is_dark() {
            changed(&mut changes).await;
        }
    }

    /// Completes once the service is no longer dark, by itself or because the fault was removed.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn daylight(&self) {
        let mut changes = self.all.subscribe();
        while let Some(remaining) = self.dark_for() {
            // Out of time is not out of darkness: another fault may hold on, so the loop looks again.
            let _ = tokio::time::timeout(remaining, changed(&mut changes)).await;
        }
    }

    /// Resets every connection to the service that is open now, whatever it is doing; new ones are welcome.
    pub fn cut(&self) {
        self.own.cuts.send_modify(|count| *count += 1);
    }

    /// For those who hold connections to the service.
    pub fn cuts(&self) -> Cuts {
        Cuts(self.own.cuts.subscribe())
    }

    /// Lets the service's clock run ahead of the machine's (behind it, if negative).
    pub fn set_clock_offset(&self, offset_ms: i64) {
        self.own.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
        self.all.changed();
    }

    /// How far the service's clock is ahead of the machine's, in milliseconds.
    pub fn clock_offset_ms(&self) -> i64 {
        self.own.clock_offset_ms.load(Ordering::Relaxed)
    }

    /// The time of day as this service sees it; for `Date` headers, time stamps and token expiry.
    pub fn now(&self) -> SystemTime {
        let now = SystemTime::now();
        let offset = self.clock_offset_ms();
        let distance = Duration::from_millis(offset.unsigned_abs());
        let shifted = if offset < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
        shifted.unwrap_or(now)
    }

    /// Tells of every change to the faults and the clocks; for what sleeps until a time of day by the service's clock.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.all.subscribe()
    }

    /// Counts one answered (or dropped) call under what its caller saw: an HTTP status, an error's name, or `dropped`.
    pub fn record(&self, operation: &str, status: &str) {
        lock(&self.all.record).add(self.at(), operation, status);
    }
}

/// Tells of the cuts of one service's connections, from when it was made.
pub struct Cuts(watch::Receiver<u64>);

impl Cuts {
    /// Completes at the next cut, at once if there was one since the last.
    ///
    /// # Cancel safety
    /// Safe: it only watches.
    pub async fn next(&mut self) {
        changed(&mut self.0).await;
    }
}

async fn changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        // The sender lives in the `Faults`, and whoever waits ends with it or before; to wait for ever is the harmless answer where
        // nothing can change any more.
        std::future::pending::<()>().await;
    }
}
