//! What the sites hold of one key, and what that means.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::digest::Digest;
use bridge_core::{envelope::parse_timestamp, event::SiteId, record::Record, version::Version};

/// By how much clocks may be apart where the end of a tombstone's life is judged. Ours: twice the default of
/// `clock_skew_max`.
const CLOCKS: TimeDelta = TimeDelta::minutes(2);

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A site has no record of it.
    Missing,
    /// A site has an older version than another.
    Older,
    /// Sites have the same version with other content, and the content of each goes with it: the digests in versions met by
    /// chance, or somebody made them meet. Nothing tells which is right, so it is never repaired.
    Differs,
    /// The version of a record is not that of its timestamp, origin, event and content: something else changed it, or damaged
    /// it. Whatever the version was of is not there any more, so it is never repaired. Or it lives and has an
    /// expiry, which no worker writes: its store will delete it, and a repair would not take the expiry away.
    Misfit,
    /// A record is stamped further ahead than any worker takes an event. It would win until that time comes, so it is never spread;
    /// also where all sites have it, the key is frozen.
    Ahead,
    /// What lies there is no record of the bridge.
    Foreign,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Missing, Self::Older, Self::Differs, Self::Misfit, Self::Ahead, Self::Foreign];

    /// The word in a report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Older => "older",
            Self::Differs => "differs",
            Self::Misfit => "misfit",
            Self::Ahead => "ahead",
            Self::Foreign => "foreign",
        }
    }

    /// Whether the version order says what the key should be everywhere.
    pub fn can_be_repaired(self) -> bool {
        matches!(self, Self::Missing | Self::Older)
    }
}

/// What a site holds of a key.
#[derive(Clone, Debug)]
pub enum Held {
    /// Nothing.
    Absent,
    /// A record.
    Record(Box<Record>),
    /// Something else.
    Foreign(String),
}

impl Held {
    /// The version, where there is a record.
    pub fn version(&self) -> Option<&Version> {
        self.record().map(|record| &record.version)
    }

    /// The record, where there is one.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Absent | Self::Foreign(_) => None,
        }
    }
}

impl Serialize for Held {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_none(),
            Self::Record(record) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("version", record.version.as_str())?;
                map.serialize_entry("op_type", record.op.as_str())?;
                map.serialize_entry("digest", &Digest::of(record).to_string())?;
                map.serialize_entry("applied_at", &record.applied_at)?;
                map.serialize_entry("applied_by", record.applied_by.as_str())?;
                if let Some(what) = misfit(record) {
                    map.serialize_entry("misfit", &what)?;
                }
                map.end()
            }
            Self::Foreign(what) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("foreign", what)?;
                map.end()
            }
        }
    }
}

/// What all sites hold of a key.
pub type Looked = BTreeMap<SiteId, Held>;

/// A key that is not as it should be.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The key.
    pub key: String,
    /// What is wrong.
    pub kind: Kind,
    /// What each site holds of it.
    pub sites: Looked,
    /// Whether it was repaired.
    pub repaired: bool,
    /// Whether it is no drift as far as anybody knows, as messages wait that may mend it.
    pub waiting: bool,
    /// Why a repair that was tried failed.
    pub failed: Option<String>,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", &self.key)?;
        map.serialize_entry("kind", &self.kind)?;
        map.serialize_entry("repaired", &self.repaired)?;
        map.serialize_entry("waiting", &self.waiting)?;
        if let Some(failed) = &self.failed {
            map.serialize_entry("failed", failed)?;
        }
        let sites: BTreeMap<&str, &Held> = self.sites.iter().map(|(site, held)| (site.as_str(), held)).collect();
        map.serialize_entry("sites", &sites)?;
        map.end()
    }
}

/// What is wrong with a key at `now`, as far as the sites' answers alone can tell; none if nothing is. `future_max`: how far ahead a
/// worker takes an event.
pub fn judge(looked: &Looked, now: DateTime<Utc>, future_max: Duration) -> Option<Kind> {
    if looked.values().any(|held| matches!(held, Held::Foreign(_))) {
        return Some(Kind::Foreign);
    }
    let records = || looked.values().filter_map(Held::record);
    if records().any(|record| misfit(record).is_some()) {
        return Some(Kind::Misfit);
    }
    if records().any(|record| is_ahead(record, now, future_max)) {
        return Some(Kind::Ahead);
    }
    let greatest = records().max_by(|one, other| one.version.cmp(&other.version))?;
    if records().any(|record| record.version == greatest.version && !record.agrees_with(greatest)) {
        return Some(Kind::Differs);
    }
    let absent = looked.values().any(|held| matches!(held, Held::Absent));
    if absent && !may_be_gone(greatest, now) {
        return Some(Kind::Missing);
    }
    records().any(|record| record.version < greatest.version).then_some(Kind::Older)
}

/// Whether a record is stamped further ahead of `now` than a worker takes an event, whose clock may be ahead a little itself.
pub fn is_ahead(record: &Record, now: DateTime<Utc>, future_max: Duration) -> bool {
    let ahead = record.version.timestamp() - now - CLOCKS;
    ahead.to_std().is_ok_and(|ahead| ahead > future_max)
}

/// Whether the life of a tombstone may have ended at a site that applied it at once. Others may keep it for as much longer
/// as they came to it later, and DynamoDB for up to two days more: present or absent, it is as good as gone.
pub fn may_be_gone(record: &Record, now: DateTime<Utc>) -> bool {
    let ended = |life| {
        let life = TimeDelta::from_std(life).ok()?;
        Some(record.version.timestamp().checked_add_signed(life)? <= now + CLOCKS)
    };
    record.deleted() && record.expires_after.and_then(ended).unwrap_or(false)
}

/// What in a record no worker has written: something that contradicts its version, or an expiry of a record that lives. None if nothing is.
pub fn misfit(record: &Record) -> Option<String> {
    let version = &record.version;
    let timestamp = parse_timestamp(&record.timestamp).ok().map(|timestamp| timestamp.utc);
    if timestamp != Some(version.timestamp()) {
        return Some(format!("timestamp {} does not go with version {version}", record.timestamp));
    }
    if version.origin() != record.source_region {
        return Some(format!("source_region {} does not go with version {version}", record.source_region));
    }
    if version.event_id() != record.event_id {
        return Some(format!("event_id {} does not go with version {version}", record.event_id));
    }
    if let Some(life) = record.expires_after.filter(|_| !record.deleted()) {
        let seconds = life.as_secs();
        return Some(format!(
            "it lives, and its store deletes it {seconds} s after its writing: no worker writes such an expiry"
        ));
    }
    let content = record.content();
    (version.content() != content).then(|| format!("content {content} does not go with version {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::tests::{at, record};
    use bridge_core::event::{Op, Payload};

    const FUTURE_MAX: Duration = Duration::from_hours(1);

    /// It would win everywhere until then, so it is told even where all have it, and spread by nothing.
    #[test]
    fn a_record_that_is_ahead_of_every_fence_is_told_and_never_repaired() {
        let (most, over) = (record("a", 100 + 3_600 + 120), record("a", 100 + 3_600 + 121));
        assert_eq!(judged([held(&most), held(&most)]), None);
        assert_eq!(judged([held(&most), Held::Absent]), Some(Kind::Missing));
        for other in [held(&over), held(&record("a", 1)), Held::Absent] {
            assert_eq!(judged([held(&over), other]), Some(Kind::Ahead));
        }
        assert!(!Kind::Ahead.can_be_repaired());
    }

    fn looked(held: [Held; 2]) -> Looked {
        ["aws:us-east-1", "azure:westeurope"].map(|site| site.parse().unwrap()).into_iter().zip(held).collect()
    }

    fn held(record: &Record) -> Held {
        Held::Record(Box::new(record.clone()))
    }

    /// The version that a record should have.
    fn of(record: &Record) -> Version {
        let version = &record.version;
        Version::new(version.timestamp(), &version.origin(), version.event_id(), record.content())
    }

    fn judged(held: [Held; 2]) -> Option<Kind> {
        judge(&looked(held), at(100), FUTURE_MAX)
    }

    #[test]
    fn a_kind_has_one_word() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn each_kind_is_told() {
        let (old, new) = (record("a", 1), record("a", 2));
        assert_eq!(judged([held(&old), held(&old)]), None);
        assert_eq!(judged([Held::Absent, Held::Absent]), None);
        assert_eq!(judged([held(&old), Held::Absent]), Some(Kind::Missing));
        assert_eq!(judged([held(&old), held(&new)]), Some(Kind::Older));
        let [one, other] = ["{\"n\":1}", "{\"n\":1.0}"].map(|text| {
            let payload = text.parse().unwrap();
            let record = Record { payload: Some(payload), ..new.clone() };
            Record { version: of(&record), ..record }
        });
        assert_eq!(judged([held(&one), held(&other)]), None, "two texts of one number");
        assert_eq!(judged([held(&new), Held::Foreign("no version".to_owned())]), Some(Kind::Foreign));
        for misfit in [
            Record { timestamp: "2026-11-21T00:00:09Z".to_owned(), ..new.clone() },
            Record { timestamp: "yesterday".to_owned(), ..new.clone() },
            Record { source_region: "azure:westeurope".parse().unwrap(), ..new.clone() },
            Record { event_id: uuid::Uuid::from_u128(99), ..new.clone() },
            Record { payload: Some(Payload::new()), ..new.clone() },
            Record { timestamp: new.timestamp.replace('Z', "+00:00"), ..new.clone() },
            Record { op: Op::Create, ..new.clone() },
            Record { key: "b".parse().unwrap(), ..new.clone() },
            Record { expires_after: Some(Duration::ZERO), ..new.clone() },
        ] {
            assert_eq!(judged([held(&misfit), held(&misfit)]), Some(Kind::Misfit), "even where all agree");
            assert_eq!(judged([held(&misfit), held(&new)]), Some(Kind::Misfit));
        }
    }

    /// A tombstone that has had its time may be here and not there; before that its absence is a hole through which an old
    /// write comes back.
    #[test]
    fn a_tombstone_may_be_gone_once_its_life_has_ended_and_not_before() {
        let life = Duration::from_secs(1_000);
        let tombstone = Record { op: Op::Delete, payload: None, expires_after: Some(life), ..record("a", 5) };
        let tombstone = Record { version: of(&tombstone), ..tombstone };
        let seen = looked([held(&tombstone), Held::Absent]);
        assert_eq!(judge(&seen, at(5 + 1_000 - 121), FUTURE_MAX), Some(Kind::Missing));
        assert_eq!(judge(&seen, at(5 + 1_000 - 119), FUTURE_MAX), None);
        let resurrected = looked([held(&tombstone), held(&record("a", 4))]);
        assert_eq!(
            judge(&resurrected, at(100_000), FUTURE_MAX),
            Some(Kind::Older),
            "but never stand beside an older write"
        );
    }
}
