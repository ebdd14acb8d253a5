//! What a comparison came to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::finding::{Finding, Kind};
use bridge_core::{event::SiteId, record::Record};

/// What a comparison came to.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What lies in each store, by site, without the bridge's own keys.
    pub sites: BTreeMap<String, Counted>,
    /// Ranges of keys in which the first reading found a difference.
    pub ranges_differing: usize,
    /// Keys that were looked at by themselves.
    pub keys_looked_at: u64,
    /// Those of them that had become right meanwhile: a write was on its way.
    pub in_flight: u64,
    /// Keys that are not as they should be.
    pub drift: u64,
    /// The same by what is wrong.
    pub by_kind: BTreeMap<Kind, Sum>,
    /// Those of them that were not repaired.
    pub left: u64,
    /// Keys that differ and are no drift as far as anybody knows: at least as many messages wait that may mend them.
    pub waiting: u64,
    /// Messages that may mend a difference, by the site where they wait or were set aside; `null` where they cannot be counted. Empty if
    /// nobody asked.
    pub messages_waiting: BTreeMap<String, Option<u64>>,
    /// The keys, as many as are listed,
    pub findings: Vec<Finding>,
    /// and how many are not.
    pub unlisted: u64,
}

/// Keys with the same thing wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// All of them.
    pub found: u64,
    /// Those that were repaired.
    pub repaired: u64,
}

/// What lies in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Records, tombstones included.
    pub records: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Items that are no records of the bridge, or contradict themselves.
    pub foreign: u64,
}

impl Counted {
    pub(super) fn add(&mut self, record: &Record) {
        self.records += 1;
        self.tombstones += u64::from(record.deleted());
    }
}

impl Report {
    /// Keys that were repaired.
    pub fn repaired(&self) -> u64 {
        self.drift - self.left
    }

    /// Keys that a message can mend, and that were not repaired.
    pub fn mendable(&self) -> u64 {
        let left = |kind: &Kind| self.by_kind.get(kind).map_or(0, |sum| sum.found - sum.repaired);
        Kind::ALL.iter().filter(|kind| kind.can_be_repaired()).map(left).sum()
    }

    /// Takes in which messages wait, once all is compared. Where there are as many as keys that a message can mend, those keys are not called
    /// drift: each may be on its way. Fewer of them cannot mend all, and nobody knows which.
    pub fn consider(&mut self, messages: BTreeMap<String, Option<u64>>) {
        let wait: u64 = messages.values().flatten().sum();
        self.messages_waiting = messages;
        let mendable = self.mendable();
        if mendable == 0 || wait < mendable {
            return;
        }
        for (_, sum) in self.by_kind.iter_mut().filter(|(kind, _)| kind.can_be_repaired()) {
            sum.found = sum.repaired;
        }
        self.by_kind.retain(|_, sum| sum.found > 0);
        for finding in self.findings.iter_mut().filter(|one| one.kind.can_be_repaired() && !one.repaired) {
            finding.waiting = true;
        }
        self.drift -= mendable;
        self.left -= mendable;
        self.waiting = mendable;
    }

    pub(super) fn counted(&mut self, site: &SiteId, counted: Counted) {
        self.sites.insert(site.to_string(), counted);
    }

    /// Takes in a finding; keeps at most `max` of them.
    pub(super) fn found(&mut self, finding: Finding, max: usize) {
        self.count(finding.kind, finding.repaired);
        if self.findings.len() < max {
            self.findings.push(finding);
        } else {
            self.unlisted += 1;
        }
    }

    /// Counts what is not kept.
    pub(super) fn unlisted(&mut self, kind: Kind, count: u64) {
        (0..count).for_each(|_| self.count(kind, false));
        self.unlisted += count;
    }

    fn count(&mut self, kind: Kind, repaired: bool) {
        self.drift += 1;
        let sum = self.by_kind.entry(kind).or_default();
        sum.found += 1;
        sum.repaired += u64::from(repaired);
        self.left += u64::from(!repaired);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many keys of each kind, none repaired.
    fn report(missing: u64, older: u64, misfit: u64) -> Report {
        let mut report = Report::default();
        for (kind, keys) in [(Kind::Missing, missing), (Kind::Older, older), (Kind::Misfit, misfit)] {
            for _ in 0..keys {
                let sites = BTreeMap::new();
                let finding =
                    Finding { key: "a".to_owned(), kind, sites, repaired: false, waiting: false, failed: None };
                report.found(finding, 2);
            }
        }
        report
    }

    fn waits(report: &mut Report, here: Option<u64>, there: Option<u64>) {
        report.consider([("aws:us-east-1".to_owned(), here), ("azure:westeurope".to_owned(), there)].into());
    }

    #[test]
    fn what_a_waiting_message_may_mend_is_no_drift() {
        let mut all = report(3, 1, 1);
        waits(&mut all, Some(1), Some(3));
        assert_eq!(
            (all.waiting, all.drift, all.left, all.mendable()),
            (4, 1, 1, 0),
            "the misfit is drift whatever waits"
        );
        assert_eq!(all.by_kind.keys().collect::<Vec<_>>(), [&Kind::Misfit]);
        assert!(all.findings.iter().all(|finding| finding.waiting), "those that are listed");
    }

    #[test]
    fn fewer_messages_than_keys_cannot_mend_all() {
        for (here, there) in [(Some(0), Some(0)), (Some(1), Some(2)), (None, Some(3))] {
            let mut all = report(3, 1, 0);
            waits(&mut all, here, there);
            assert_eq!((all.waiting, all.drift, all.left), (0, 4, 4), "{here:?} {there:?}");
            assert!(!all.findings.iter().any(|finding| finding.waiting));
        }
    }
}
