//! The rule that people write by hand, to be run in the same world: timestamps compared as texts and strictly, rows removed
//! on delete, no fence. Here to be shown wrong; `docs/simulation.md` has the seeds.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bridge_core::{
    event::Key,
    failure::PortError,
    port::{Store, Write},
    record::Record,
};

use crate::site::Shelf;

/// A store with that rule.
#[derive(Debug)]
pub struct ByHandStore {
    name: String,
    rows: Mutex<BTreeMap<Key, Record>>,
}

impl ByHandStore {
    /// An empty store.
    pub fn new(name: String) -> Self {
        Self { name, rows: Mutex::default() }
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<Key, Record>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for ByHandStore {
    /// `attribute_not_exists(pk) OR #timestamp < :timestamp`, and a `DeleteItem` under the same condition.
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        let mut rows = self.rows();
        if let Some(held) = rows.get(&record.key).filter(|held| held.timestamp >= record.timestamp) {
            return Ok(Write::kept(held.version.clone(), &record.version));
        }
        let replaced =
            if record.deleted() { rows.remove(&record.key) } else { rows.insert(record.key.clone(), record.clone()) };
        Ok(Write::Applied { replaced: replaced.map(|record| record.version) })
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        Ok(self.rows().get(key).cloned())
    }
}

impl Shelf for ByHandStore {
    fn snapshot(&self) -> BTreeMap<Key, Record> {
        self.rows().clone()
    }
}

impl fmt::Display for ByHandStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory {} by hand", self.name)
    }
}
