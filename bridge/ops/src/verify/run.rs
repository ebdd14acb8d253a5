//! One comparison of all stores, from the first reading to the last repair.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::pin,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use futures_util::{
    future,
    stream::{self, StreamExt, TryStreamExt},
};

use super::{
    Options, Trouble,
    digest::{Digest, Ranges, range_of},
    finding::{Finding, Held, Kind, Looked, is_ahead, judge, may_be_gone, misfit},
    reader::{Calls, Failed, Reader, lock},
    report::{Counted, Report},
};
use bridge_core::{
    event::{Key, SiteId},
    failure::FailureKind,
    port::{Clock, ForeignItem, Scan, Store},
    record::Record,
    version::Version,
};

/// Foreign items of one store whose names are kept. Ours: a table that holds more of them than this is not the bridge's.
const FOREIGN_MAX: usize = 10_000;

/// A site's store, to be read from end to end and key by key.
#[derive(Clone, Debug)]
pub struct Target {
    /// From end to end.
    pub scan: Arc<dyn Scan>,
    /// Key by key.
    pub store: Arc<dyn Store>,
}

/// How a comparison comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Records of all stores were read.
    Read(usize),
    /// So many keys differ as yet; after a pause each is looked at by itself.
    Suspects(usize),
    /// A key was looked at.
    Looked,
}

/// A comparison of the stores of all sites.
pub struct Verify<'a> {
    /// The sites.
    pub sites: &'a BTreeMap<SiteId, Target>,
    /// The time of this machine.
    pub clock: &'a dyn Clock,
    /// How to go about it.
    pub options: &'a Options,
    /// Hears how it comes along.
    pub note: &'a (dyn Fn(Note) + Send + Sync),
    /// Hears of stores that do not answer.
    pub trouble: &'a (dyn Fn(&Trouble<'_>) + Send + Sync),
}

impl fmt::Debug for Verify<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verify").field("sites", self.sites).field("options", self.options).finish_non_exhaustive()
    }
}

impl Verify<'_> {
    /// Compares, and repairs if that is wanted.
    ///
    /// # Errors
    /// As [`Verify::run_into`].
    pub async fn run(&self) -> Result<Report, Failed> {
        let mut report = Report::default();
        self.run_into(&mut report).await?;
        Ok(report)
    }

    /// Compares, and repairs if that is wanted. `report` says at any moment what was done so far.
    ///
    /// # Errors
    /// The first site whose store cannot be read, or written in a repair, however often it is tried.
    ///
    /// # Cancel safety
    /// Dropping it anywhere loses nothing, as a repair is one conditional write; one that is under way is done or not.
    pub async fn run_into(&self, report: &mut Report) -> Result<(), Failed> {
        let calls = Calls::new(self.options, self.clock, self.trouble);
        let run = Run { verify: self, calls: &calls, begun: self.clock.now() };

        // 1. Which ranges of keys differ?
        let (ranges, oddities) = run.digests(report).await?;
        let differing = Ranges::differing(&ranges);
        drop(ranges);
        report.ranges_differing = differing.len();

        // 2. Which keys in them, and 3. is that so still after a while?
        for group in groups(&differing, self.options.keys_max) {
            let suspects = run.suspects(&group, &oddities).await?;
            if !suspects.is_empty() {
                (self.note)(Note::Suspects(suspects.len()));
                self.clock.sleep(self.options.settle).await;
                run.look(suspects, report).await?;
            }
        }
        run.look_at_oddities(oddities, report).await
    }
}

/// Divides ranges into groups whose stores hold at most `max` records together, or that are one range.
fn groups(ranges: &[(usize, u64)], max: u64) -> Vec<BTreeSet<usize>> {
    let mut groups: Vec<(BTreeSet<usize>, u64)> = Vec::new();
    for (range, records) in ranges {
        match groups.last_mut() {
            Some((group, sum)) if *sum + records <= max => {
                group.insert(*range);
                *sum += records;
            }
            _ => groups.push((BTreeSet::from([*range]), *records)),
        }
    }
    groups.into_iter().map(|(group, _)| group).collect()
}

/// Items that are no records, and records that are too far ahead: by name and the key that leads to them, what is wrong at each site.
#[derive(Default)]
struct Oddities {
    named: BTreeMap<(String, Option<Key>), BTreeMap<SiteId, String>>,
    unnamed: u64,
}

impl Oddities {
    /// Keys that are looked at anyway.
    fn keys(&self) -> BTreeSet<&Key> {
        self.named.keys().filter_map(|(_, key)| key.as_ref()).collect()
    }
}

/// A key of which not every site has shown the same yet.
struct Suspect {
    digests: Vec<Option<Digest>>,
    /// The greatest version that any site has shown.
    seen: Version,
    /// Whether a site has shown more of it than a tombstone that may be gone.
    counts: bool,
}

pub(super) struct Run<'a> {
    pub(super) verify: &'a Verify<'a>,
    pub(super) calls: &'a Calls<'a>,
    begun: DateTime<Utc>,
}

impl Run<'_> {
    /// Reads all stores at the same time, and keeps sums alone.
    async fn digests(&self, report: &mut Report) -> Result<(Vec<Ranges>, Oddities), Failed> {
        let reads = self.verify.sites.iter().map(|(site, target)| async move {
            let (mut ranges, mut counted, mut foreign) = (Ranges::default(), Counted::default(), Vec::new());
            let mut ahead = Vec::new();
            let reader = Reader::new(site, &*target.scan, self.calls);
            let mut portions = pin!(reader.portions());
            while let Some(items) = portions.try_next().await? {
                (self.verify.note)(Note::Read(items.len()));
                for item in items {
                    match checked(item) {
                        Ok(record) => {
                            counted.add(&record);
                            if is_ahead(&record, self.begun, self.calls.options.future_max) && ahead.len() < FOREIGN_MAX
                            {
                                ahead.push(record.key.clone());
                            }
                            if may_be_gone(&record, self.begun) {
                                ranges.pass(&record);
                            } else {
                                ranges.add(&record);
                            }
                        }
                        Err(item) => {
                            counted.foreign += 1;
                            if foreign.len() < FOREIGN_MAX {
                                foreign.push(item);
                            }
                        }
                    }
                }
            }
            Ok((site, ranges, counted, foreign, ahead))
        });
        let mut oddities = Oddities::default();
        let mut all = Vec::new();
        for (site, ranges, counted, foreign, ahead) in future::try_join_all(reads).await? {
            for key in ahead {
                oddities.named.entry((key.to_string(), Some(key))).or_default();
            }
            oddities.unnamed += counted.foreign - foreign.len() as u64;
            for item in foreign {
                oddities.named.entry((item.name, item.key)).or_default().insert(site.clone(), item.what);
            }
            report.counted(site, counted);
            all.push(ranges);
        }
        Ok((all, oddities))
    }

    /// Reads all stores once more, and keeps what they show of these ranges until all have shown the same.
    async fn suspects(&self, group: &BTreeSet<usize>, oddities: &Oddities) -> Result<BTreeMap<Key, Version>, Failed> {
        let suspects: Mutex<BTreeMap<Key, Suspect>> = Mutex::default();
        let odd = &oddities.keys();
        let sites = self.verify.sites.len();
        let reads = self.verify.sites.iter().enumerate().map(|(at, (site, target))| {
            let suspects = &suspects;
            async move {
                let reader = Reader::new(site, &*target.scan, self.calls);
                let mut portions = pin!(reader.portions());
                while let Some(items) = portions.try_next().await? {
                    (self.verify.note)(Note::Read(items.len()));
                    let mut suspects = lock(suspects);
                    for record in items.into_iter().filter_map(|item| checked(item).ok()) {
                        if group.contains(&range_of(&record.key)) && !odd.contains(&record.key) {
                            // A tombstone that may be gone is no drift itself, but what is older than it is.
                            let counts = !may_be_gone(&record, self.begun);
                            shown(&mut suspects, at, sites, &record, counts);
                        }
                    }
                }
                Ok(())
            }
        });
        future::try_join_all(reads).await?;
        let suspects = suspects.into_inner().expect("nothing panics while it holds the lock");
        Ok(suspects
            .into_iter()
            .filter(|(_, suspect)| suspect.counts)
            .map(|(key, suspect)| (key, suspect.seen))
            .collect())
    }

    /// Looks at suspects one by one, and repairs them where that is wanted.
    async fn look(&self, suspects: BTreeMap<Key, Version>, report: &mut Report) -> Result<(), Failed> {
        let looks = suspects.into_iter().map(|(key, seen)| async move { self.examine(&key, Some(&seen)).await });
        let mut looks = pin!(stream::iter(looks).buffer_unordered(self.verify.options.concurrent));
        while let Some(finding) = looks.try_next().await? {
            self.tell(finding, report);
        }
        Ok(())
    }

    /// Looks once more at what was no record. What no key leads to is taken as it was read.
    async fn look_at_oddities(&self, oddities: Oddities, report: &mut Report) -> Result<(), Failed> {
        let looks = oddities.named.into_iter().map(|((name, key), whats)| async move {
            if let Some(key) = key {
                return self.examine(&key, None).await;
            }
            // Nobody looked for it at the other sites, which may hold a record of that name.
            let sites = whats.into_iter().map(|(site, what)| (site, Held::Foreign(what))).collect();
            Ok(Some(Finding { key: name, kind: Kind::Foreign, sites, repaired: false, waiting: false, failed: None }))
        });
        let mut looks = pin!(stream::iter(looks).buffer_unordered(self.verify.options.concurrent));
        while let Some(finding) = looks.try_next().await? {
            self.tell(finding, report);
        }
        report.unlisted(Kind::Foreign, oddities.unnamed);
        Ok(())
    }

    fn tell(&self, finding: Option<Finding>, report: &mut Report) {
        (self.verify.note)(Note::Looked);
        report.keys_looked_at += 1;
        match finding {
            Some(finding) => report.found(finding, self.verify.options.findings_max),
            None => report.in_flight += 1,
        }
    }

    /// What is wrong with a key, of which `seen` had been somewhere [`Options::settle`] ago; repaired if that is wanted.
    async fn examine(&self, key: &Key, seen: Option<&Version>) -> Result<Option<Finding>, Failed> {
        let sites = self.look_at(key).await?;
        let Some(kind) = judge(&sites, self.verify.clock.now(), self.verify.options.future_max) else {
            return Ok(None);
        };
        // A site that has what was seen then, or something later, is not behind: the rest is on its way.
        let lags = |held: &Held| seen.is_some_and(|seen| held.version().is_none_or(|version| version < seen));
        if kind.can_be_repaired() && !sites.values().any(lags) {
            return Ok(None);
        }
        let finding = Finding { key: key.to_string(), kind, sites, repaired: false, waiting: false, failed: None };
        if self.verify.options.repair && kind.can_be_repaired() {
            return self.repair(key, finding).await.map(Some);
        }
        Ok(Some(finding))
    }

    /// What each site holds of a key.
    pub(super) async fn look_at(&self, key: &Key) -> Result<Looked, Failed> {
        let looks = self.verify.sites.iter().map(|(site, target)| async move {
            let held = match self.calls.again(site, || target.store.get(key)).await {
                Ok(None) => Held::Absent,
                Ok(Some(record)) => Held::Record(Box::new(record)),
                Err(error) => match error.kind {
                    FailureKind::Rejected { detail } => Held::Foreign(detail),
                    _ => return Err(Failed { site: site.clone(), doing: "cannot be read", error }),
                },
            };
            Ok((site.clone(), held))
        });
        Ok(future::try_join_all(looks).await?.into_iter().collect())
    }
}

/// A record that contradicts itself is as foreign as what is none.
fn checked(item: Result<Record, ForeignItem>) -> Result<Record, ForeignItem> {
    let record = item?;
    match misfit(&record) {
        None => Ok(record),
        Some(what) => Err(ForeignItem { name: record.key.to_string(), key: Some(record.key), what }),
    }
}

/// Notes what the site at `at` shows of a key, and forgets the key once all sites have shown the same.
fn shown(suspects: &mut BTreeMap<Key, Suspect>, at: usize, sites: usize, record: &Record, counts: bool) {
    let new = || Suspect { digests: vec![None; sites], seen: record.version.clone(), counts };
    let suspect = suspects.entry(record.key.clone()).or_insert_with(new);
    suspect.counts |= counts;
    suspect.digests[at] = Some(Digest::of(record));
    if suspect.seen < record.version {
        suspect.seen = record.version.clone();
    }
    let first = suspect.digests[0];
    if first.is_some() && suspect.digests.iter().all(|digest| *digest == first) {
        suspects.remove(&record.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_what_fits_and_leave_nothing_out() {
        let ranges = [(1, 4), (5, 3), (6, 9), (7, 2), (9, 2), (12, 4)];
        let sets = |groups: &[&[usize]]| groups.iter().map(|group| group.iter().copied().collect()).collect::<Vec<_>>();
        assert_eq!(groups(&ranges, 8), sets(&[&[1, 5], &[6], &[7, 9, 12]]));
        assert_eq!(groups(&ranges, 0).len(), 6);
        assert_eq!(groups(&ranges, u64::MAX / 2).len(), 1);
        assert_eq!(groups(&[], 8), sets(&[]));
        assert_eq!(groups(&[(1, 1), (2, 1), (3, 1)], 2), sets(&[&[1, 2], &[3]]));
    }
}
