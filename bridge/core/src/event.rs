//! The unit of replication: one change of one key, as its origin accepted it.

use std::{fmt, ops::Deref, str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{content::ContentDigest, limits, trace::Carried, version::Version};

pub use crate::payload::Payload;

/// One change of one key. Its wire form is read by [`envelope`](crate::envelope).
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Names the change.
    pub id: Uuid,
    /// The site that accepted the write.
    pub origin: SiteId,
    /// What was done.
    pub op: Op,
    /// The entity.
    pub key: Key,
    /// The entity's whole new state; of a delete only the key in it counts.
    pub payload: Payload,
    /// When the write happened at its origin.
    pub timestamp: Timestamp,
    /// W3C trace context of the write, if the producer sent one.
    pub trace: Option<Carried>,
}

/// A change and its place in the total order of all changes, which is computed once.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    change: Change,
    version: Version,
}

impl Event {
    /// The place of this change in the total order of all changes.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The change alone, to make another of it.
    pub fn into_change(self) -> Change {
        self.change
    }
}

impl From<Change> for Event {
    fn from(change: Change) -> Self {
        let payload = (change.op != Op::Delete).then_some(&change.payload);
        let content = ContentDigest::of(change.op, &change.timestamp.text, &change.key, payload);
        let version = Version::new(change.timestamp.utc, &change.origin, change.id, content);
        Self { change, version }
    }
}

impl Deref for Event {
    type Target = Change;

    fn deref(&self) -> &Change {
        &self.change
    }
}

/// What an event did to its entity. All but `Delete` carry its whole new state, and so mean the same to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The entity is new.
    Create,
    /// The entity was there before.
    Update,
    /// Either of the two.
    Upsert,
    /// The entity is gone; a tombstone keeps its version.
    Delete,
}

impl Op {
    /// The word in an event and in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }
}

impl FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "create" => Ok(Self::Create),
            "update" => Ok(Self::Update),
            "upsert" => Ok(Self::Upsert),
            "delete" => Ok(Self::Delete),
            _ => Err(format!("{text:?} is not one of create, update, upsert, delete")),
        }
    }
}

/// A site, `cloud:region`: one queue, one dead-letter queue and one store in one region of one cloud.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(Arc<str>);

impl SiteId {
    /// The name as configured and as in `source_region`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the colon.
    pub fn cloud(&self) -> &str {
        self.0.split_once(':').map_or("", |(cloud, _)| cloud)
    }

    /// The part after the colon.
    pub fn region(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, region)| region)
    }
}

impl FromStr for SiteId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() > limits::SITE_ID_BYTES_MAX {
            return Err(format!("{text:?} is longer than {} bytes", limits::SITE_ID_BYTES_MAX));
        }
        match text.split_once(':') {
            Some((cloud, region)) if part(cloud) && part(region) => Ok(Self(text.into())),
            _ => Err(format!(
                "{text:?} is not of the form cloud:region, in lower-case letters, digits and hyphens, as in aws:us-east-1"
            )),
        }
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The entity's key: not empty, and short enough for every store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key as the event named it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as a Cosmos DB `id`.
    ///
    /// Cosmos forbids `/ \ ? #` in ids; those, control characters, a blank at the end and the escape character itself
    /// are written as `~` and two hexadecimal digits per byte. So are the keys `.` and `..`, which are steps in the path
    /// of a URL. `~` because no URL encoding ever touches it.
    pub fn escaped(&self) -> String {
        escape(&self.0)
    }
}

/// Why a text cannot be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No store takes an empty key.
    #[error("the key is empty")]
    Empty,
    /// Longer than a store takes.
    #[error("the key has {size_bytes} bytes once escaped for Cosmos DB, the limit is {}", limits::KEY_BYTES_MAX)]
    TooLong {
        /// The size after escaping.
        size_bytes: usize,
    },
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let size_bytes = escape(text).len();
        if size_bytes > limits::KEY_BYTES_MAX {
            return Err(KeyError::TooLong { size_bytes });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

fn escape(key: &str) -> String {
    use fmt::Write;
    let dots = matches!(key, "." | "..");
    let last = key.len() - key.chars().next_back().map_or(0, char::len_utf8);
    let mut escaped = String::with_capacity(key.len());
    for (at, c) in key.char_indices() {
        if dots || matches!(c, '/' | '\\' | '?' | '#' | '~') || c.is_control() || (at == last && c.is_whitespace()) {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                write!(escaped, "~{byte:02X}").expect("a String takes all");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// When a write happened: the instant, and the text that its producer wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// The instant, to the nanosecond.
    pub utc: DateTime<Utc>,
    /// As it stands in the event, kept for the record.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_a_cloud_and_a_region() {
        let site: SiteId = "aws:us-east-1".parse().unwrap();
        assert_eq!((site.as_str(), site.cloud(), site.region()), ("aws:us-east-1", "aws", "us-east-1"));
        for bad in ["", ":", "aws", "aws:", ":us", "AWS:us", "aws:US", "aws:-us", "aws:us:1", "aws:us_east", "aws: us"]
        {
            assert!(bad.parse::<SiteId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_keys_may_be_as_long_as_every_store_takes() {
        let site = |bytes: usize| format!("a:{}", "b".repeat(bytes - 2)).parse::<SiteId>();
        assert!(site(limits::SITE_ID_BYTES_MAX).is_ok());
        assert!(site(limits::SITE_ID_BYTES_MAX + 1).is_err());
        let key = |text: &str| text.parse::<Key>().map(|key| key.as_str().len());
        assert_eq!(key(""), Err(KeyError::Empty));
        assert_eq!(key(&"k".repeat(limits::KEY_BYTES_MAX)), Ok(limits::KEY_BYTES_MAX));
        assert_eq!(key(&"k".repeat(1024)), Err(KeyError::TooLong { size_bytes: 1024 }));
        assert_eq!(key(&"/".repeat(341)), Ok(341), "1023 bytes once escaped");
        assert_eq!(key(&"/".repeat(342)), Err(KeyError::TooLong { size_bytes: 1026 }));
    }

    #[test]
    fn what_cosmos_refuses_in_an_id_is_escaped_and_nothing_else() {
        for (key, id) in [
            ("order-42", "order-42"),
            ("a b", "a b"),
            ("a.b", "a.b"),
            ("...", "..."),
            ("caf\u{e9}", "caf\u{e9}"),
            ("/", "~2F"),
            ("a\\b?c#d~e", "a~5Cb~3Fc~23d~7Ee"),
            (".", "~2E"),
            ("..", "~2E~2E"),
            ("a\u{7}b", "a~07b"),
            ("a ", "a~20"),
            ("a  ", "a ~20"),
            ("\u{e9} ", "\u{e9}~20"),
            ("a\u{2003}", "a~E2~80~83"),
        ] {
            assert_eq!(key.parse::<Key>().unwrap().escaped(), id, "{key:?}");
        }
    }
}
