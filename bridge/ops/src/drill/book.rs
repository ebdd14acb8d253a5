//! Every write of a drill: who made it, what its queue answered, and when each store first showed it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use bridge_core::{
    event::{Event, Key, Op, SiteId},
    version::Version,
};

/// What the queue answered to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is on its way, or the answer never came: the write may have been taken, and its user does not know.
    Unknown,
    /// It was taken, and its user was told so.
    Confirmed(DateTime<Utc>),
    /// It was not taken, and its user was told why.
    Refused(String),
}

/// One write.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The event. Its origin is the site that it was sent to.
    pub event: Event,
    /// The site whose users made the write.
    pub home: SiteId,
    /// When it was made.
    pub written_at: DateTime<Utc>,
    /// What the queue answered.
    pub answer: Answer,
    /// When each site's store first showed it, or a later write of its key.
    pub seen_at: BTreeMap<SiteId, DateTime<Utc>>,
}

impl Entry {
    /// When its user was told that it was taken.
    pub fn confirmed_at(&self) -> Option<DateTime<Utc>> {
        match self.answer {
            Answer::Confirmed(at) => Some(at),
            Answer::Unknown | Answer::Refused(_) => None,
        }
    }

    /// Whether it may have been taken.
    fn may_be_there(&self) -> bool {
        !matches!(self.answer, Answer::Refused(_))
    }

    /// Whether it was taken: its user was told so, or a store showed it.
    pub(super) fn was_taken(&self) -> bool {
        self.confirmed_at().is_some() || !self.seen_at.is_empty()
    }

    /// Whether it made its key a tombstone.
    pub(super) fn deletes(&self) -> bool {
        self.event.op == Op::Delete
    }
}

/// Every write of a drill.
#[derive(Debug)]
pub struct Book {
    sites: Vec<SiteId>,
    entries: Vec<Entry>,
    by_key: BTreeMap<Key, Vec<usize>>,
}

impl Book {
    /// An empty one, for these sites.
    pub fn new(sites: impl IntoIterator<Item = SiteId>) -> Self {
        Self { sites: sites.into_iter().collect(), entries: Vec::new(), by_key: BTreeMap::new() }
    }

    /// All sites.
    pub fn sites(&self) -> &[SiteId] {
        &self.sites
    }

    /// All writes, in the order in which they were made.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The writes of each key.
    pub(super) fn by_key(&self) -> impl Iterator<Item = (&Key, Vec<&Entry>)> {
        self.by_key.iter().map(|(key, indices)| (key, indices.iter().map(|index| &self.entries[*index]).collect()))
    }

    /// All keys that were written.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.by_key.keys()
    }

    /// Notes a write that is about to be sent, by a user of `home`; its number.
    pub fn write(&mut self, event: Event, home: SiteId, now: DateTime<Utc>) -> usize {
        let number = self.entries.len();
        self.by_key.entry(event.key.clone()).or_default().push(number);
        let (answer, seen_at) = (Answer::Unknown, BTreeMap::new());
        self.entries.push(Entry { event, home, written_at: now, answer, seen_at });
        number
    }

    /// Notes what the queue answered to a write.
    pub fn answered(&mut self, number: usize, answer: Answer) {
        self.entries[number].answer = answer;
    }

    /// Notes that the store of `site` shows `version` of `key`: it has that write, and all earlier ones need not come any more.
    pub fn saw(&mut self, site: &SiteId, key: &Key, version: &Version, now: DateTime<Utc>) {
        for index in self.by_key.get(key).into_iter().flatten() {
            let entry = &mut self.entries[*index];
            if entry.event.version() <= version {
                entry.seen_at.entry(site.clone()).or_insert(now);
            }
        }
    }

    /// The keys of which `site` has not shown everything yet that may come.
    pub fn awaited(&self, site: &SiteId) -> Vec<Key> {
        let awaits = |index: &usize| {
            let entry = &self.entries[*index];
            entry.may_be_there() && !entry.seen_at.contains_key(site)
        };
        self.by_key.iter().filter(|(_, all)| all.iter().any(awaits)).map(|(key, _)| key.clone()).collect()
    }

    /// The confirmed writes that some site has not shown yet.
    pub fn missing(&self) -> impl Iterator<Item = &Entry> {
        let everywhere = |entry: &Entry| self.sites.iter().all(|site| entry.seen_at.contains_key(site));
        self.entries.iter().filter(move |entry| entry.confirmed_at().is_some() && !everywhere(entry))
    }
}
