//! When a look through a queue ends though messages keep coming.

use bridge_core::port::Delivery;
use chrono::{DateTime, TimeDelta, Utc};

/// How far this machine's clock may be behind a broker's before messages count as newer than they are. Ours: NTP keeps clocks
/// within a fraction of it.
const CLOCKS_APART: TimeDelta = TimeDelta::seconds(5);

/// A look ends after so many portions in a row that hold nothing but messages which came after it began. Ours: a queue
/// gives its messages in any order, so one such portion may be chance.
const NEWER_PORTIONS: u32 = 3;

/// Messages that come to a queue while it is looked through.
#[derive(Debug)]
pub(super) struct Arrivals {
    began: DateTime<Utc>,
    portions: u32,
}

impl Arrivals {
    /// Those since `now`.
    pub(super) fn since(now: DateTime<Utc>) -> Self {
        Self { began: now + CLOCKS_APART, portions: 0 }
    }

    /// What came later than this counts.
    pub(super) fn began(&self) -> DateTime<Utc> {
        self.began
    }

    /// Takes in the next portion; whether the queue gives nothing else any more.
    pub(super) fn are_all<'a>(&mut self, portion: impl IntoIterator<Item = &'a Delivery>) -> bool {
        let newer = |delivery: &Delivery| delivery.first_seen.is_some_and(|came| came > self.began);
        self.portions = if portion.into_iter().all(newer) { self.portions + 1 } else { 0 };
        self.portions >= NEWER_PORTIONS
    }
}
