//! A site of a world: a queue, dead letters and a store on memory, a clock of its own that may be wrong, and what goes
//! wrong with each of them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bridge_adapters::{
    layer::FaultPlan,
    memory::{ManualClock, MemoryQueue, MemoryStore},
};
use bridge_core::{
    event::{Key, SiteId},
    port::{Clock, Store},
    record::Record,
};
use chrono::{DateTime, TimeDelta, Utc};

/// A store that can be looked into.
pub trait Shelf: Store {
    /// All records, tombstones included, by key.
    fn snapshot(&self) -> BTreeMap<Key, Record>;
}

impl Shelf for MemoryStore {
    fn snapshot(&self) -> BTreeMap<Key, Record> {
        Self::snapshot(self)
    }
}

/// A site.
#[derive(Debug)]
pub struct Site {
    /// Its name.
    pub id: SiteId,
    /// Its place among the sites.
    pub number: usize,
    /// What its worker takes from.
    pub queue: Arc<MemoryQueue>,
    /// Its dead letters.
    pub letters: Arc<MemoryQueue>,
    /// Its store.
    pub store: Arc<dyn Shelf>,
    /// The same where the bridge's rule holds: it can be read from end to end, and be spoilt.
    pub shelf: Option<Arc<MemoryStore>>,
    /// Its clock.
    pub clock: Arc<SiteClock>,
    /// What goes wrong with its queue, as its own worker sees it.
    pub reads: Arc<FaultPlan>,
    /// What goes wrong with its queue, as its peers see it.
    pub inbound: Arc<FaultPlan>,
    /// What goes wrong with its dead letters.
    pub asides: Arc<FaultPlan>,
    /// What goes wrong with its store.
    pub writes: Arc<FaultPlan>,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// A machine's clock: as far off the world's as it was set. Timers run right nevertheless, as they do on real machines.
#[derive(Debug)]
pub struct SiteClock {
    world: Arc<ManualClock>,
    off: Mutex<TimeDelta>,
}

impl SiteClock {
    /// A clock that shows the world's time.
    pub fn new(world: Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self { world, off: Mutex::new(TimeDelta::zero()) })
    }

    /// Sets it so far off, which may be a step back.
    pub fn set(&self, off: TimeDelta) {
        *self.off.lock().unwrap_or_else(PoisonError::into_inner) = off;
    }
}

#[async_trait]
impl Clock for SiteClock {
    fn now(&self) -> DateTime<Utc> {
        self.world.now() + *self.off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep(&self, duration: Duration) {
        self.world.sleep(duration).await;
    }
}
