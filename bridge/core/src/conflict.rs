//! Lost writes: a write that lost to one of another site, which is what last writer wins costs, and a write that lost to
//! another content of the same event, which is a producer's mistake. Both are made visible.
//!
//! A ledger of the latest lies in the site's own store, in a ring of reserved keys, so that it is bounded, outlives its
//! worker and costs nothing where it is not wanted. It holds keys and versions, and no payload.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    event::{Key, SiteId},
    limits::CONFLICTS_KEPT,
    port::Write,
    record::Record,
    reserved::RESERVED,
    version::Version,
    worker::Verdict,
};

/// Why a write is lost that somebody may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// Another site accepted the write that it lost to.
    TwoSites,
    /// It lost to another content of the same event: its producer sent one name and time twice, and not the same.
    TwoContents,
}

impl ConflictKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::TwoSites, Self::TwoContents];

    /// The word in metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TwoSites => "two_sites",
            Self::TwoContents => "two_contents",
        }
    }

    /// The words for a person.
    pub fn describe(self) -> &'static str {
        match self {
            Self::TwoSites => "lost to another site",
            Self::TwoContents => "same event, two contents",
        }
    }
}

/// A write that lost to one of another site, or to another content of the same event.
///
/// A write that lost to another site is found where it arrives after the winner, so a conflict of two sites is found at one
/// of them at least; a late copy of an event that had its time is found too, as nothing tells it apart. Of two contents
/// it makes no difference which comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The entity.
    pub key: Key,
    /// The write that is no more.
    pub lost: Version,
    /// The write that it lost to.
    pub won: Version,
    /// Why.
    pub kind: ConflictKind,
}

impl Conflict {
    /// The conflict that a verdict tells of, if it does.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        let (key, version) = verdict.event.as_ref()?;
        match verdict.write.as_ref()? {
            Write::Superseded { by } => Self::between(key, version, by),
            // A later write over an earlier one is no conflict, unless it is one event that said something else before.
            Write::Applied { replaced: Some(replaced) } if replaced.same_event(version) => {
                Self::between(key, replaced, version)
            }
            Write::Applied { .. } | Write::Duplicate => None,
        }
    }

    fn between(key: &Key, lost: &Version, won: &Version) -> Option<Self> {
        let kind = if lost.same_event(won) {
            ConflictKind::TwoContents
        } else if lost.origin() != won.origin() {
            ConflictKind::TwoSites
        } else {
            return None;
        };
        Some(Self { key: key.clone(), lost: lost.clone(), won: won.clone(), kind })
    }

    /// What the ledger of `site` keeps of it. The same loser has the same place, so a redelivery adds nothing; a later
    /// conflict takes the place of an earlier one.
    pub fn record(&self, site: &SiteId, now: DateTime<Utc>) -> Record {
        let event_id = self.lost.event_id();
        let slot = usize::try_from(event_id.as_u128() % CONFLICTS_KEPT as u128).unwrap_or_default();
        let write = |version: &Version| json!({ "version": version.as_str() });
        let entry = json!({ "key": self.key.as_str(), "lost": write(&self.lost), "won": write(&self.won) });
        Record::own(site, ledger_key(site, slot), event_id, now, now, &entry)
    }

    /// Reads a place of the ledger: the conflict, and when it was seen.
    pub fn read(record: &Record) -> Option<(Self, DateTime<Utc>)> {
        let Entry { key, lost, won } = serde_json::from_str(record.payload.as_ref()?.as_str()).ok()?;
        let version = |side: &Side| side.version.parse().ok();
        let conflict = Self::between(&key.parse().ok()?, &version(&lost)?, &version(&won)?)?;
        Some((conflict, record.version.timestamp()))
    }
}

/// A place of the ledger, as [`Conflict::record`] writes it.
#[derive(Deserialize)]
struct Entry {
    key: String,
    lost: Side,
    won: Side,
}

#[derive(Deserialize)]
struct Side {
    version: String,
}

/// The key of a place in the ledger of `site`; `slot` is below [`CONFLICTS_KEPT`].
pub fn ledger_key(site: &SiteId, slot: usize) -> Key {
    format!("{RESERVED}conflict/{site}/{slot}").parse().expect("short, and of letters that every store takes")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::settlement::Settlement;

    fn version(origin: &str, second: i64) -> Version {
        of_content(origin, second, 0)
    }

    fn of_content(origin: &str, second: i64, content: u64) -> Version {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        Version::new(at, &origin.parse().unwrap(), Uuid::from_u128(7), content.into())
    }

    fn verdict(event: Version, write: Write) -> Verdict {
        let event = Some(("k".parse().unwrap(), event));
        Verdict { settlement: Settlement::Ack, write: Some(write), event, trace: None }
    }

    fn found(event: &Version, write: Write) -> Option<(Version, Version, ConflictKind)> {
        Conflict::of(&verdict(event.clone(), write)).map(|one| (one.lost, one.won, one.kind))
    }

    #[test]
    fn only_a_loser_of_another_origin_is_a_conflict_of_two_sites() {
        let (aws, azure) = (version("aws:a", 1), version("azure:b", 2));
        let expected = Some((aws.clone(), azure.clone(), ConflictKind::TwoSites));
        assert_eq!(found(&aws, Write::Superseded { by: azure.clone() }), expected);
        assert_eq!(found(&aws, Write::Superseded { by: version("aws:a", 2) }), None, "a site's own later write");
        for replaced in [None, Some(aws.clone()), Some(version("azure:b", 1))] {
            assert_eq!(found(&azure, Write::Applied { replaced }), None, "an ordinary later write");
        }
        assert_eq!(found(&aws, Write::Duplicate), None);
    }

    #[test]
    fn a_kind_has_one_word() {
        for kind in ConflictKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn two_contents_of_one_event_are_a_conflict_whichever_comes_first() {
        let [low, high] = [1, 2].map(|content| of_content("aws:a", 1, content));
        let expected = Some((low.clone(), high.clone(), ConflictKind::TwoContents));
        assert_eq!(found(&low, Write::Superseded { by: high.clone() }), expected);
        assert_eq!(found(&high, Write::Applied { replaced: Some(low.clone()) }), expected);
        assert_eq!(found(&high, Write::Duplicate), None);
    }

    #[test]
    fn the_ledger_gives_back_what_it_was_given_and_is_bounded() {
        let site: SiteId = "azure:westeurope".parse().unwrap();
        let seen = DateTime::from_timestamp(5, 0).unwrap();
        let by = |by: Version| Conflict::of(&verdict(version("aws:a", 1), Write::Superseded { by })).unwrap();
        let conflict = by(of_content("aws:a", 1, 2));
        assert_eq!(Conflict::read(&conflict.record(&site, seen)), Some((conflict, seen)));
        let conflict = by(version("azure:b", 2));
        let record = conflict.record(&site, seen);
        assert_eq!(Conflict::read(&record), Some((conflict.clone(), seen)));
        assert_eq!(record.content(), record.version.content(), "a record like any other");
        assert_eq!(record.key, ledger_key(&site, 7));
        let twice = conflict.record(&site, seen + chrono::TimeDelta::seconds(1));
        assert_eq!(twice.key, record.key, "a redelivery takes no second place");
        assert!(twice.version > record.version);
    }
}
