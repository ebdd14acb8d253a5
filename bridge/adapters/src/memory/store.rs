//! A store in memory: the version order, tombstones that expire by a given clock, DynamoDB's limit on size.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use bridge_core::{
    event::Key,
    failure::{FailureKind, PortError},
    port::{Clock, PutOutcome, Store},
    record::Record,
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    dynamodb_size::{ITEM_BYTES_MAX, item_bytes},
    stored::{applied_second, canonical, life_seconds},
};

/// A store in memory, by the strictest rules of both clouds.
///
/// Numbers come back in the one spelling that the clouds share, and a record that DynamoDB would refuse for its size is
/// refused. A tombstone is gone as soon as its life has ended.
#[derive(Debug)]
pub struct MemoryStore {
    name: String,
    clock: Arc<dyn Clock>,
    records: Mutex<BTreeMap<Key, Held>>,
}

#[derive(Clone, Debug)]
struct Held {
    record: Record,
    expires_at: Option<DateTime<Utc>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(name: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { name: name.into(), clock, records: Mutex::default() }
    }

    /// All records, tombstones included, by key.
    pub fn snapshot(&self) -> BTreeMap<Key, Record> {
        let now = self.clock.now();
        let lives = |held: &&Held| held.lives(now);
        self.records().values().filter(lives).map(|held| (held.record.key.clone(), held.record.clone())).collect()
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
    async fn put_if_newer(&self, record: &Record) -> Result<PutOutcome, PortError> {
        let fail = |kind| PortError::new(self.to_string(), "put_if_newer", kind);
        if record.deleted() {
            // DynamoDB's form of a tombstone ends so long after its writing, which therefore must be a time.
            applied_second(&record.applied_at)
                .map_err(|error| error.into_port_error(self.to_string(), "put_if_newer", &record.key))?;
        }
        let size_bytes = item_bytes(record);
        if size_bytes > ITEM_BYTES_MAX {
            return Err(fail(FailureKind::TooLarge { size_bytes, limit_bytes: ITEM_BYTES_MAX }));
        }
        let now = self.clock.now();
        let life = record.expires_after.map(|life| TimeDelta::seconds(life_seconds(life).cast_signed()));
        let held = Held {
            record: Record { payload: record.payload.clone().map(canonical), ..record.clone() },
            expires_at: life.and_then(|life| now.checked_add_signed(life)),
        };
        let mut records = self.records();
        let current = records.get(&record.key).filter(|held| held.lives(now));
        let replaced = current.map(|held| held.record.version.clone());
        match replaced {
            Some(current) if current >= record.version => Ok(PutOutcome::Kept { current }),
            replaced => {
                records.insert(record.key.clone(), held);
                Ok(PutOutcome::Stored { replaced })
            }
        }
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        let now = self.clock.now();
        Ok(self.records().get(key).filter(|held| held.lives(now)).map(|held| held.record.clone()))
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
