//! Compares the stores of all sites, and mends what the version order can decide: **read [`run`] first**.
//!
//! 1. One reading of every store at the same time makes [`digest`]s by ranges of keys. Equal ranges are done with.
//! 2. A second reading keeps, of the ranges that differ alone, which keys differ.
//! 3. Those are read by themselves, some seconds later: what has become right meanwhile was on its way, what has not is
//!    drift ([`finding`]).
//! 4. Repair writes the greatest version where it is lacking, by the same conditional write as every worker's, so that a
//!    newer write wins at any moment.
//!
//! [`backfill`] fills one store from another on the same machinery.

pub mod backfill;
pub mod digest;
pub mod finding;
mod reader;
mod repair;
pub mod report;
pub mod run;

use std::time::Duration;

use bridge_core::{event::SiteId, failure::PortError, retry::Backoff};

pub use finding::{Finding, Held, Kind};
pub use reader::Failed;
pub use report::Report;
pub use run::{Note, Target, Verify};

/// How to go about it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shares of each store that are read at the same time; at least one.
    pub segments: usize,
    /// Records read from each store a second, at most; any number if none.
    pub rate: Option<f64>,
    /// How long a write may be on its way: what one site had that much earlier, and another still lacks, is drift.
    pub settle: Duration,
    /// Keys of ranges that differ that are held at a time.
    pub keys_max: u64,
    /// Keys that are looked at, repaired or written at the same time; at least one.
    pub concurrent: usize,
    /// Findings that are kept for the report; all are counted.
    pub findings_max: usize,
    /// Tries of one call on a store; at least one.
    pub attempts_max: u32,
    /// How long after the beginning of the first try a failure is the last, whatever is left of them.
    pub give_up: Duration,
    /// The pauses between them.
    pub backoff: Backoff,
    /// Whether to repair what can be.
    pub repair: bool,
    /// How far ahead a worker takes an event: what is further ahead is never written.
    pub future_max: Duration,
    /// Draws the pauses.
    pub seed: u64,
}

/// A call on a store that is silent, or is to be made again.
#[derive(Clone, Copy, Debug)]
pub struct Trouble<'a> {
    /// Whose store it is.
    pub site: &'a SiteId,
    /// The attempt that this is about, from 1.
    pub attempt: u32,
    /// Attempts that a call gets.
    pub attempts_max: u32,
    /// What is waited for.
    pub waiting: Waiting<'a>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub enum Waiting<'a> {
    /// The answer, for so long now.
    ForAnswer {
        /// How long.
        silent: Duration,
    },
    /// The next attempt, as this one failed.
    ForNext {
        /// How long.
        delay: Duration,
        /// Why it failed.
        error: &'a PortError,
    },
    /// Nothing any more: the call has come through.
    Over,
}

#[cfg(test)]
pub(crate) mod tests {
    //! Records to compare.

    use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
    use serde_json::json;
    use uuid::Uuid;

    use bridge_core::{
        event::{Change, Event, Op, Timestamp},
        limits,
        record::Record,
    };

    pub(crate) fn at(second: i64) -> DateTime<Utc> {
        let midnight: DateTime<Utc> = "2026-11-21T00:00:00Z".parse().unwrap();
        midnight + TimeDelta::seconds(second)
    }

    pub(crate) fn record(key: &str, second: i64) -> Record {
        let utc = at(second);
        let event = Event::from(Change {
            id: Uuid::from_u128(7),
            origin: "aws:us-east-1".parse().unwrap(),
            op: Op::Upsert,
            key: key.parse().unwrap(),
            payload: json!({ "id": key, "second": second }).to_string().parse().unwrap(),
            timestamp: Timestamp { utc, text: utc.to_rfc3339_opts(SecondsFormat::Nanos, true) },
            trace: None,
        });
        Record::new(&event, &event.origin, utc, limits::TOMBSTONE_LIFE)
    }
}
