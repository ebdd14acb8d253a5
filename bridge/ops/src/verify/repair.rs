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
    property::rfc3339,
    record::Record,
};

/// The record as `site` is to hold it, written at `now`. A tombstone begins a life of its own there, never a shorter one.
pub(super) fn brought(record: &Record, site: &SiteId, now: DateTime<Utc>) -> Record {
    Record { applied_at: rfc3339(now), applied_by: site.clone(), ..record.clone() }
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
