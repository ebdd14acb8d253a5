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
