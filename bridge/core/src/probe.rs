//! The write by which a worker, and `bridge doctor`, sees whether a store takes writes.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use crate::{
    event::{Change, Op, Payload, SiteId, Timestamp},
    record::Record,
    reserved::RESERVED,
};

/// How long such a record stays. Ours: nobody needs it.
const PROBE_LIFE: Duration = Duration::from_hours(1);

/// The record that is written to see whether a store takes writes: a tombstone under a reserved key.
pub fn record(site: &SiteId, event_id: Uuid, now: DateTime<Utc>) -> Record {
    let key = format!("{RESERVED}doctor/{site}");
    let change = Change {
        id: event_id,
        origin: site.clone(),
        op: Op::Delete,
        key: key.parse().expect("a site's name is far shorter than a key may be"),
        payload: Payload::new(),
        timestamp: Timestamp { utc: now, text: now.to_rfc3339_opts(SecondsFormat::Nanos, true) },
        trace: None,
    };
    Record::new(&change.into(), site, now, PROBE_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_a_tombstone_under_a_reserved_key_and_each_one_is_newer() {
        let site: SiteId = "azure:westeurope".parse().unwrap();
        let at = |text: &str| record(&site, uuid::Uuid::nil(), text.parse().unwrap());
        let (first, second) = (at("2026-11-21T01:02:03.000000001Z"), at("2026-11-21T01:02:03.000000002Z"));
        assert_eq!(first.key.as_str(), format!("{RESERVED}doctor/azure:westeurope"));
        assert!(first.deleted() && first.payload.is_none() && first.expires_after == Some(Duration::from_hours(1)));
        assert!(first.version < second.version);
    }
}
