//! Conflicts: a write that lost to one that another site had accepted. That is what last writer wins costs, made visible.
//!
//! A ledger of the latest lies in the site's own store, in a ring of reserved keys, so that it is bounded, outlives its
//! worker and costs nothing where it is not wanted. It holds keys and versions, and no payload.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    event::{Key, Op, Payload, SiteId},
    heartbeat::RESERVED,
    limits::CONFLICTS_KEPT,
    pipeline::{Verdict, Write},
    record::Record,
    settlement::rfc3339,
    version::Version,
};

/// A write that lost to one of another origin.
///
/// It is found where the loser arrives after the winner, so a conflict of two sites is found at one of them at least; and
/// a late copy of an event that had its time is found too, as nothing tells it apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The entity.
    pub key: Key,
    /// The write that is no more.
    pub lost: Version,
    /// The write that it lost to.
    pub won: Version,
}

impl Conflict {
    /// The conflict that a verdict tells of, if it does.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        let (Some(Write::Superseded { by }), Some((key, version))) = (&verdict.write, &verdict.event) else {
            return None;
        };
        let conflict = Self { key: key.clone(), lost: version.clone(), won: by.clone() };
        (conflict.lost.origin() != conflict.won.origin()).then_some(conflict)
    }

    /// What the ledger of `site` keeps of it. The same loser has the same place, so a redelivery adds nothing; a later
    /// conflict takes the place of an earlier one.
    pub fn record(&self, site: &SiteId, now: DateTime<Utc>) -> Record {
        let event_id = self.lost.event_id();
        let slot = usize::try_from(event_id.as_u128() % CONFLICTS_KEPT as u128).unwrap_or_default();
        let write = |version: &Version| json!({ "version": version.as_str() });
        let payload = [("key", self.key.as_str().into()), ("lost", write(&self.lost)), ("won", write(&self.won))];
        Record {
            key: ledger_key(site, slot),
            version: Version::new(now, site, event_id),
            event_id,
            source_region: site.clone(),
            timestamp: rfc3339(now),
            op: Op::Upsert,
            payload: Some(payload.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            expires_after: None,
            applied_at: rfc3339(now),
            applied_by: site.clone(),
        }
    }

    /// Reads a place of the ledger: the conflict, and when it was seen.
    pub fn read(record: &Record) -> Option<(Self, DateTime<Utc>)> {
        let payload: &Payload = record.payload.as_ref()?;
        let version = |side: &str| payload.get(side)?.get("version").and_then(Value::as_str)?.parse().ok();
        let key = payload.get("key").and_then(Value::as_str)?.parse().ok()?;
        Some((Self { key, lost: version("lost")?, won: version("won")? }, record.version.timestamp()))
    }
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
        Version::new(DateTime::from_timestamp(second, 0).unwrap(), &origin.parse().unwrap(), Uuid::from_u128(7))
    }

    fn verdict(lost: Version, won: Version) -> Verdict {
        let write = Some(Write::Superseded { by: won });
        Verdict { settlement: Settlement::Ack, write, event: Some(("k".parse().unwrap(), lost)), trace: None }
    }

    #[test]
    fn only_a_loser_of_another_origin_is_a_conflict() {
        let (aws, azure) = (version("aws:a", 1), version("azure:b", 2));
        let conflict = Conflict::of(&verdict(aws.clone(), azure.clone())).unwrap();
        assert_eq!((&conflict.lost, &conflict.won), (&aws, &azure));
        assert_eq!(Conflict::of(&verdict(aws.clone(), version("aws:a", 2))), None, "a site's own later write");
        let applied = Verdict { write: Some(Write::Applied), ..verdict(aws, azure) };
        assert_eq!(Conflict::of(&applied), None);
    }

    #[test]
    fn the_ledger_gives_back_what_it_was_given_and_is_bounded() {
        let site: SiteId = "azure:westeurope".parse().unwrap();
        let seen = DateTime::from_timestamp(5, 0).unwrap();
        let conflict = Conflict::of(&verdict(version("aws:a", 1), version("azure:b", 2))).unwrap();
        let record = conflict.record(&site, seen);
        assert_eq!(Conflict::read(&record), Some((conflict.clone(), seen)));
        assert_eq!(record.key, ledger_key(&site, 7));
        let twice = conflict.record(&site, seen + chrono::TimeDelta::seconds(1));
        assert_eq!(twice.key, record.key, "a redelivery takes no second place");
        assert!(twice.version > record.version);
    }
}
