//! Wires the automatic replay of a site's dead letters.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bridge_core::{
    event::SiteId,
    port::{Depth, Queue},
    state::{Bringing, Since},
    worker::Worker,
};
use bridge_ops::replay::{
    auto::{Auto, Known, Tell},
    route::{Source, Target},
    setting::{Place, Setting, SourceQueue},
    subject::Holds,
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{config::Config, telemetry::incidents::Log};

/// The part of the bytes in flight that a pass may have in hand. Ours: new events have the rest.
const SHARE: usize = 4;

/// The automatic replay of a site's dead letters.
pub(crate) struct Owed {
    setting: Setting<'static>,
    depth: Arc<dyn Depth>,
    rate: u32,
    /// Names this process.
    holder: Uuid,
    /// What a function knows from one call to the next.
    pub(crate) known: tokio::sync::Mutex<Known>,
    /// How far the pass is that this process makes.
    pub(crate) bringing: Progress,
}

/// How far a pass is; none between passes.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Option<Bringing>>);

impl Progress {
    pub(crate) fn begins(&self, now: DateTime<Utc>) {
        *self.lock() = Some(Bringing { since: Since(now), letters: 0 });
    }

    pub(crate) fn goes_on(&self, letters: usize) {
        if let Some(bringing) = &mut *self.lock() {
            bringing.letters += letters as u64;
        }
    }

    pub(crate) fn ends(&self) {
        *self.lock() = None;
    }

    pub(crate) fn get(&self) -> Option<Bringing> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Bringing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setting.fmt(f)
    }
}

impl Owed {
    /// Replays letters of `worker`'s site to `places`, at most `rate` a second.
    pub(super) fn new(
        config: &Config,
        worker: &Worker,
        letters: &Arc<dyn Queue>,
        depth: Arc<dyn Depth>,
        places: Vec<(SiteId, Place)>,
        rate: u32,
    ) -> Self {
        let site = &worker.rules.site;
        let source = SourceQueue {
            queue: letters.clone(),
            holds: Holds::Letters,
            hides: None,
            message_bytes_max: config.sites[site].message_bytes_max(),
        };
        let setting = Setting {
            source: Source::DeadLetters(site.clone()),
            target: Target::Owed,
            sources: vec![source],
            places: places.into_iter().collect(),
            rules: worker.rules.clone(),
            key_pointer: worker.policy.key_pointer.clone(),
            tombstone_life: worker.policy.tombstone_life,
            attempts_max: worker.policy.peer_attempts_max,
            backoff: worker.policy.peer_retry,
            editor: None,
            edit_valid: false,
            accept_old: false,
            forget_sites: BTreeSet::new(),
            inflight_bytes_max: config.inflight_bytes_max / SHARE,
            incidents: Arc::new(Log),
            clock: worker.clock.clone(),
            rng: Mutex::new(fastrand::Rng::new()),
        };
        let (known, bringing) = (tokio::sync::Mutex::default(), Progress::default());
        Self { setting, depth, rate, holder: Uuid::new_v4(), known, bringing }
    }

    /// The loop, for `worker`.
    pub(crate) fn auto<'a>(&'a self, worker: &'a Worker, tell: &'a dyn Tell) -> Auto<'a> {
        let Self { setting, depth, rate, holder, .. } = self;
        Auto { worker, setting, depth: Some(&**depth), holder: *holder, rate: f64::from(*rate), tell }
    }
}
