//! Brings a key to its greatest version everywhere, by the same conditional write as every worker's.

use chrono::{DateTime, Utc};

use super::{
    finding::{Finding, Held},
    reader::Failed,
    run::Run,
};
use bridge_core::{
    event::{Key, SiteId},
    failure::Recovery,
    record::Record,
    settlement::rfc3339,
};

/// The record as `site` is to hold it, written at `now`. A tombstone begins a life of its own there, never a shorter one. A record that
/// lives never expires: an expiry on it is another program's, and must not spread.
pub(super) fn brought(record: &Record, site: &SiteId, now: DateTime<Utc>) -> Record {
    let expires_after = record.expires_after.filter(|_| record.deleted());
    Record { applied_at: rfc3339(now), applied_by: site.clone(), expires_after, ..record.clone() }
}

impl Run<'_> {
    /// Writes the greatest version to the sites that lack it, and looks whether it, or a later one, is there.
    pub(super) async fn repair(&self, key: &Key, finding: Finding) -> Result<Finding, Failed> {
        let records = finding.sites.values().filter_map(Held::record);
        let Some(greatest) = records.max_by(|one, other| one.version.cmp(&other.version)).cloned() else {
            return Ok(finding);
        };
        let behind = |held: &Held| held.version().is_none_or(|version| *version < greatest.version);
        let mut finding = finding;
        for site in finding.sites.iter().filter(|(_, held)| behind(held)).map(|(site, _)| site) {
            let record = brought(&greatest, site, self.verify.clock.now());
            let store = &self.verify.sites[site].store;
            match self.calls.again(site, || store.put_if_newer(&record)).await {
                // Kept says that something later had come by itself.
                Ok(_) => {}
                Err(error) if error.kind.recovery() == Recovery::DeadLetter => {
                    finding.failed = Some(error.chain());
                    return Ok(finding);
                }
                Err(error) => return Err(Failed { site: site.clone(), doing: "cannot be written", error }),
            }
        }
        let now = self.look_at(key).await?;
        finding.repaired = now.values().all(|held| held.version().is_some_and(|version| *version >= greatest.version));
        Ok(finding)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_expiry_spreads_with_a_tombstone_and_never_with_a_record_that_lives() {
        let site: SiteId = "aws:us-east-1".parse().unwrap();
        let now = "2026-11-21T01:02:03Z".parse().unwrap();
        let tombstone = bridge_core::probe::record(&site, uuid::Uuid::nil(), now);
        assert_eq!(brought(&tombstone, &site, now).expires_after, Some(Duration::from_hours(1)));
        let lives = Record {
            op: bridge_core::event::Op::Create,
            payload: Some(bridge_core::event::Payload::default()),
            ..tombstone
        };
        assert!(!lives.deleted() && lives.expires_after.is_some());
        assert_eq!(brought(&lives, &site, now).expires_after, None);
    }
}
