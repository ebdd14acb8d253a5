//! Which of two writes to the same key is the later one: last writer wins, by a total order that is computed from the
//! event alone.
//!
//! The order is `(timestamp in UTC, source_region, event_id)`. It is kept as one text of fixed width whose byte order is
//! that order, so that a DynamoDB condition, a Cosmos worker and this module compare the very same thing:
//!
//! ```text
//! 2026-11-21T01:02:03.123456000Z aws:us-east-1                    01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11
//! ```

use std::{fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use crate::{event::SiteId, limits};

const TIME: usize = 30;
const SITE: usize = limits::SITE_ID_BYTES_MAX;
const UUID: usize = 36;
/// The width of a version in bytes.
pub const WIDTH: usize = TIME + 1 + SITE + 1 + UUID;

/// The place of a write in the total order of all writes. Equal versions are the same write.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(String);

impl Version {
    /// The version of the write that `origin` accepted at `timestamp` under the name `event_id`.
    ///
    /// The blank that fills the site up to its width sorts before every character that a site may have, so the
    /// filled texts compare as the bare ones do. Years outside 0 to 9999 cannot come here: RFC 3339 has none.
    pub fn new(timestamp: DateTime<Utc>, origin: &SiteId, event_id: Uuid) -> Self {
        let time = timestamp.to_rfc3339_opts(SecondsFormat::Nanos, true);
        Self(format!("{time} {:SITE$} {}", origin.as_str(), event_id.hyphenated()))
    }

    /// The text that stores hold.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The site that accepted the write.
    pub fn origin(&self) -> SiteId {
        self.0[TIME + 1..TIME + 1 + SITE].trim_end().parse().expect("checked when the version was made")
    }

    /// When the write happened.
    pub fn timestamp(&self) -> DateTime<Utc> {
        self.0[..TIME].parse().expect("checked when the version was made")
    }
}

/// A text that is not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version")]
pub struct NotAVersion(String);

impl FromStr for Version {
    type Err = NotAVersion;

    /// Reads a version back from a store.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let timestamp: DateTime<Utc> = text.get(..TIME)?.parse().ok()?;
            let origin: SiteId = text.get(TIME + 1..TIME + 1 + SITE)?.trim_end().parse().ok()?;
            let event_id: Uuid = text.get(TIME + 1 + SITE + 1..)?.parse().ok()?;
            Some(Self::new(timestamp, &origin, event_id)).filter(|version| version.0 == text)
        };
        parse().ok_or_else(|| NotAVersion(text.chars().take(2 * WIDTH).collect()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
