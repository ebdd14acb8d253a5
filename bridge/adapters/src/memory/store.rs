//! A store in memory: the version order, tombstones that expire by a given clock, DynamoDB's limit on size. It can be
//! read from end to end, and be spoilt as the real ones can: by somebody who is not the bridge.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use bridge_core::{
    event::Key,
    failure::{FailureKind, PortError},
    limits,
    port::{Clock, Cursor, ForeignItem, Page, Scan, Store, Write},
    record::Record,
    size,
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    share::{Share, no_cursor},
    stored::{NotARecord, applied_second, life_seconds},
};

/// A store in memory, by the strictest rules of both clouds.
///
/// A record that DynamoDB would refuse for its size is refused. A tombstone is gone as soon as its life has ended.
#[derive(Debug)]
pub struct MemoryStore {
    name: String,
    clock: Arc<dyn Clock>,
    records: Mutex<BTreeMap<Key, Held>>,
    /// What is no record, and what is wrong with it.
    spoilt: Mutex<BTreeMap<Key, NotARecord>>,
}

/// Items of a portion at most: few, so that small tests have many portions.
const ITEMS_MAX: usize = 7;

#[derive(Clone, Debug)]
struct Held {
    record: Record,
    expires_at: Option<DateTime<Utc>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(name: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { name: name.into(), clock, records: Mutex::default(), spoilt: Mutex::default() }
    }

    /// All records, tombstones included, by key.
    pub fn snapshot(&self) -> BTreeMap<Key, Record> {
        let now = self.clock.now();
        let lives = |held: &&Held| held.lives(now);
        self.records().values().filter(lives).map(|held| (held.record.key.clone(), held.record.clone())).collect()
    }

    /// Writes `record` whatever is there, as somebody who is not the bridge would.
    pub fn overwrite(&self, record: Record) {
        self.records().insert(record.key.clone(), Held { record, expires_at: None });
    }

    /// Removes what is there without a trace.
    pub fn remove(&self, key: &Key) {
        self.records().remove(key);
    }

    /// Makes what is there something that is no record, with this wrong with this attribute.
    pub fn spoil(&self, key: &Key, attribute: &'static str, what: &str) {
        self.remove(key);
        self.spoilt().insert(key.clone(), NotARecord::new(attribute, what));
    }

    fn spoilt(&self) -> MutexGuard<'_, BTreeMap<Key, NotARecord>> {
        self.spoilt.lock().expect("nothing panics while it holds the lock")
    }

    fn spoilt_at(&self, key: &Key) -> Option<NotARecord> {
        self.spoilt().get(key).cloned()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<Key, Held>> {
        self.records.lock().expect("nothing panics while it holds the lock")
    }
}

impl Held {
    fn lives(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        let fail = |kind| PortError::new(self.to_string(), "put_if_newer", kind);
        if let Some(error) = self.spoilt_at(&record.key) {
            return Err(error.refuse(self.to_string(), "put_if_newer", &record.key));
        }
        if record.deleted() {
            // DynamoDB's form of a tombstone ends so long after its writing, which therefore must be a time.
            applied_second(&record.applied_at)
                .map_err(|error| error.into_port_error(self.to_string(), "put_if_newer", &record.key))?;
        }
        let size_bytes = size::item_bytes(record);
        if size_bytes > limits::ITEM_BYTES_MAX {
            return Err(fail(FailureKind::TooLarge { size_bytes, limit_bytes: limits::ITEM_BYTES_MAX }));
        }
        let now = self.clock.now();
        let life = record.expires_after.map(|life| TimeDelta::seconds(life_seconds(life).cast_signed()));
        let held = Held { record: record.clone(), expires_at: life.and_then(|life| now.checked_add_signed(life)) };
        let mut records = self.records();
        let current = records.get(&record.key).filter(|held| held.lives(now));
        let replaced = current.map(|held| held.record.version.clone());
        match replaced {
            Some(current) if current >= record.version => Ok(Write::kept(current, &record.version)),
            replaced => {
                records.insert(record.key.clone(), held);
                Ok(Write::Applied { replaced })
            }
        }
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        if let Some(error) = self.spoilt_at(key) {
            return Err(error.into_port_error(self.to_string(), "get", key));
        }
        let now = self.clock.now();
        Ok(self.records().get(key).filter(|held| held.lives(now)).map(|held| held.record.clone()))
    }
}

#[async_trait]
impl Scan for MemoryStore {
    async fn segments(&self, wanted: usize) -> Result<Vec<Cursor>, PortError> {
        Ok(Share::all(wanted.max(1)))
    }

    async fn page(&self, from: &Cursor) -> Result<Page, PortError> {
        let no_cursor = || no_cursor(self.to_string(), from);
        let share = Share::read(from).ok_or_else(no_cursor)?;
        let after = share.after.as_ref().map(|key| key.parse::<Key>()).transpose().map_err(|_| no_cursor())?;
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mine = |key: &Key| {
            let mut hash = DefaultHasher::new();
            key.hash(&mut hash);
            hash.finish() % share.of as u64 == share.number as u64
        };
        let now = self.clock.now();
        let (records, spoilt) = (self.records(), self.spoilt());
        let foreign = spoilt.range((after.clone(), Bound::Unbounded)).map(|(key, what)| {
            let item = ForeignItem { name: key.to_string(), key: Some(key.clone()), what: what.to_string() };
            (key, Err(item))
        });
        let held = records.range((after, Bound::Unbounded)).filter(|(_, held)| held.lives(now));
        let mut items: BTreeMap<&Key, _> = held.map(|(key, held)| (key, Ok(held.record.clone()))).collect();
        items.extend(foreign);
        let mut items = items.into_iter().filter(|(key, _)| mine(key));
        let portion: Vec<_> = items.by_ref().take(ITEMS_MAX).collect();
        let last = portion.last().filter(|_| items.next().is_some()).map(|(key, _)| key.to_string());
        let next = last.map(|key| Share { after: Some(key), ..share.clone() }.cursor());
        Ok(Page { items: portion.into_iter().map(|(_, item)| item).collect(), next })
    }

    /// An item has no other name than its key.
    async fn beside(&self, _: &Key) -> Result<Vec<ForeignItem>, PortError> {
        Ok(Vec::new())
    }
}

impl fmt::Display for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{memory::ManualClock, stored::strategies::any_record};

    #[test]
    fn a_tombstone_is_gone_once_its_life_has_ended() {
        let clock = ManualClock::new("2026-11-21T01:02:03Z".parse().unwrap());
        let store = MemoryStore::new("store", Arc::clone(&clock) as Arc<dyn Clock>);
        let tombstone = any_record(Record::deleted);
        let life = tombstone.expires_after.unwrap();
        clock.drive(async {
            store.put_if_newer(&tombstone).await.unwrap();
            clock.sleep(life.saturating_sub(Duration::from_secs(1))).await;
            assert!(store.get(&tombstone.key).await.unwrap().is_some());
            clock.sleep(Duration::from_secs(1)).await;
            assert!(store.get(&tombstone.key).await.unwrap().is_none());
            assert_eq!(store.snapshot().len(), 0);
        });
    }
}
