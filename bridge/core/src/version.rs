//! Which of two writes to the same key is the later one: last writer wins, by a total order that is computed from the
//! event alone.
//!
//! The order is `(timestamp in UTC, source_region, event_id, digest of the content)`. It is kept as one text of fixed
//! width whose byte order is that order, so that a DynamoDB condition, a Cosmos worker and this module compare the very
//! same thing:
//!
//! ```text
//! 2026-11-21T01:02:03.123456000Z aws:us-east-1                    01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11 ab542efc433a3778
//! ```
//!
//! The digest stands in it because a producer may send two contents under one name; without it they would be one
//! version, and each store would keep the one that it met first.

use std::{fmt, ops::Range, str::FromStr};

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use crate::{content::ContentDigest, limits, site::SiteId};

const TIME: usize = 30;
const SITE: usize = limits::SITE_ID_BYTES_MAX;
const UUID: usize = 36;
/// Where the event's name begins and ends.
const EVENT: Range<usize> = TIME + 1 + SITE + 1..TIME + 1 + SITE + 1 + UUID;
/// Where the content's digest begins and ends.
const CONTENT: Range<usize> = EVENT.end + 1..EVENT.end + 1 + 16;
/// The width of a version in bytes.
pub const WIDTH: usize = CONTENT.end;

/// The place of a write in the total order of all writes. Equal versions are the same write, and the same content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(String);

impl Version {
    /// The version of the write that `origin` accepted at `timestamp` under the name `event_id`, with this content.
    ///
    /// The blank that fills the site up to its width sorts before every character that a site may have, so the
    /// filled texts compare as the bare ones do. Years outside 0 to 9999 cannot come here: RFC 3339 has none.
    pub fn new(timestamp: DateTime<Utc>, origin: &SiteId, event_id: Uuid, content: ContentDigest) -> Self {
        let time = timestamp.to_rfc3339_opts(SecondsFormat::Nanos, true);
        Self(format!("{time} {:SITE$} {} {content}", origin.as_str(), event_id.hyphenated()))
    }

    /// The text that stores hold.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The site that accepted the write.
    pub fn origin(&self) -> SiteId {
        self.0[TIME + 1..TIME + 1 + SITE].trim_end().parse().expect("checked when the version was made")
    }

    /// The name of the write's event.
    pub fn event_id(&self) -> Uuid {
        self.0[EVENT].parse().expect("checked when the version was made")
    }

    /// The digest of the write's content.
    pub fn content(&self) -> ContentDigest {
        self.0[CONTENT].parse().expect("checked when the version was made")
    }

    /// Whether both are of one event: the same name, origin and time, whatever it says.
    pub fn same_event(&self, other: &Self) -> bool {
        self.0[..EVENT.end] == other.0[..EVENT.end]
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
            let event_id: Uuid = text.get(EVENT)?.parse().ok()?;
            let content: ContentDigest = text.get(CONTENT)?.parse().ok()?;
            Some(Self::new(timestamp, &origin, event_id, content)).filter(|version| version.0 == text)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A site's name that leaves no blank in a version.
    const LONGEST: &str = "azure:the-longest-name-of-a-site";

    type Parts = (i64, u32, &'static str, u128, u64);

    /// Few of each, so that ties are common, and some that are prefixes of others.
    fn parts() -> impl Strategy<Value = Parts> {
        let seconds =
            prop_oneof![Just(0_i64), Just(1), Just(-1), Just(253_402_300_799), -62_167_219_200..253_402_300_800_i64];
        let nanos = prop_oneof![Just(0_u32), Just(1), Just(500_000_000), 0..1_000_000_000_u32];
        let site = prop::sample::select(vec![
            "aws:us",
            "aws:us-east-1",
            "aws:us-east-10",
            "aws:us0",
            "azure:us",
            "a:0",
            LONGEST,
        ]);
        let content = prop_oneof![Just(0_u64), Just(1), Just(u64::MAX), any::<u64>()];
        (seconds, nanos, site, prop_oneof![Just(0_u128), Just(1), any::<u128>()], content)
    }

    fn version((seconds, nanos, site, id, content): Parts) -> Version {
        let timestamp = DateTime::from_timestamp(seconds, nanos).unwrap();
        Version::new(timestamp, &site.parse().unwrap(), Uuid::from_u128(id), content.into())
    }

    proptest! {
        /// The text's byte order is the order of the fields; and an order of texts is total by nature.
        #[test]
        fn texts_compare_as_their_fields_do(one in parts(), other in parts()) {
            let fields = |(seconds, nanos, site, id, content): Parts| {
                (seconds, nanos, site.as_bytes(), Uuid::from_u128(id).to_string().into_bytes(), content)
            };
            prop_assert_eq!(version(one).cmp(&version(other)), fields(one).cmp(&fields(other)));
            let event = |(seconds, nanos, site, id, _): Parts| (seconds, nanos, site, id);
            prop_assert_eq!(version(one).same_event(&version(other)), event(one) == event(other));
        }

        #[test]
        fn a_version_has_one_width_and_reads_back(parts in parts()) {
            let version = version(parts);
            prop_assert_eq!(version.as_str().len(), WIDTH);
            prop_assert_eq!(version.as_str().parse(), Ok(version.clone()));
            prop_assert_eq!(version.origin().to_string(), parts.2);
            prop_assert_eq!(version.event_id(), Uuid::from_u128(parts.3));
            prop_assert_eq!(version.timestamp(), DateTime::from_timestamp(parts.0, parts.1).unwrap());
            prop_assert_eq!(u64::from(version.content()), parts.4);
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        let good = version((0, 0, "aws:us-east-1", 7, 0xab));
        let text = good.as_str();
        for bad in [
            "",
            "2026",
            &text[1..],
            &text[..EVENT.end],
            &text[..WIDTH - 1],
            &text.to_uppercase(),
            &text.replace("00000000000000ab", "+0000000000000ab"),
            &text.replace("00000000000000ab", "00000000000000AB"),
            &text.replace(" 00000000000000ab", "-00000000000000ab"),
            &format!("{good} "),
            &"é".repeat(60),
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }
}
