//! The operator: plans a replay and runs it, with the core's own rules, through ways on which all goes wrong too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future;

use bridge_core::{
    event::SiteId,
    port::{Clock, Place as Bookmark, Queue},
};
use bridge_ops::replay::{
    filter::Filter,
    fingerprint::Fingerprint,
    journal::{Journal, Receipt},
    ledger::{Ledger, Tally},
    pace::Pace,
    plan::Entry,
    planner::{MemorySpool, PlanError, Planner, Spool},
    route::{Source, Target},
    run::{End, Ended, Run},
    setting::{Place, Setting, SourceQueue},
    subject::Holds,
};
use bytes::Bytes;

use crate::{
    books::{Actor, Kind},
    executor::Mortal,
    replayed::{self, Scene},
    scenario::Replay,
    seed::stream,
    told::Reports,
    world::{MESSAGE_BYTES_MAX, World},
};

/// Bytes of messages that a replay has in hand: no event of a world has a thousandth of it.
const INFLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Messages that the planner reads with one call: few, so that a plan takes several.
const PORTION: usize = 3;

/// A journal that outlives the runs that write it.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<Receipt>>);

impl Kept {
    /// All that was written.
    pub fn receipts(&self) -> MutexGuard<'_, Vec<Receipt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for Kept {
    fn append(&self, receipts: &[Receipt]) -> std::io::Result<()> {
        self.receipts().extend_from_slice(receipts);
        Ok(())
    }
}

/// Carries out a replay of the scenario: one plan, runs that are killed, and one that is not. `alone`: nobody else takes from its source.
pub async fn replay(world: &World, replay: &Replay, alone: bool, name: &str) {
    let mut before = setting(world, replay.from.clone(), replay.to.clone(), name);
    if let Some(added) = &replay.added {
        before.rules.sites.remove(added);
    }
    let mut setting = setting(world, replay.from.clone(), replay.to.clone(), name);
    setting.accept_old = replay.accept_old;
    before.accept_old = replay.accept_old;
    let before_it = Scene::of(world, &replay.from).await;
    let entries = match plan(&before).await {
        Ok(entries) => entries,
        Err(error) => return world.books.note(|| format!("operator {name}: no plan: {error}")),
    };
    world.books.note(|| format!("operator {name} plans {setting:?}: {} messages", entries.len()));
    replayed::planned(world, &before_it, &Scene::of(world, &replay.from).await, &entries, name);
    let journal = Kept::default();
    for polls in replay.killed.iter().copied().chain([u64::MAX]) {
        let ended = Mortal::new(run(&setting, &entries, &journal, Pace::new(None)), polls).await;
        world.books.note(|| match &ended {
            Some((end, _)) => format!("operator {name}: {end:?}"),
            None => format!("operator {name} is killed"),
        });
        let after_it = Scene::of(world, &replay.from).await;
        let receipts = journal.receipts().clone();
        if let Some(ended) = &ended {
            replayed::counted(world, &after_it, &entries, ended, &receipts, alone, name);
        }
        replayed::journaled(world, &before_it, &after_it, &receipts, alone, name);
        world.clock.sleep(Duration::from_secs(1)).await;
    }
}

/// Brings old events of these bodies from the dead letters of `from` to all sites, as an operator does who has looked at their keys.
pub async fn accept_old(world: &World, from: &SiteId, bodies: &[Bytes], name: &str) {
    let mut setting = setting(world, Source::DeadLetters(from.clone()), Target::Owed, name);
    setting.accept_old = true;
    let letters = world.sites[from].letters.browse(&mut Bookmark::default(), usize::MAX).await.unwrap_or_default();
    let chosen = letters.iter().filter(|letter| bodies.contains(&letter.body));
    let chosen: BTreeSet<_> = chosen.map(|letter| Fingerprint::of(0, &letter.message_id, &letter.body)).collect();
    let Ok(mut entries) = plan(&setting).await else { return };
    entries.retain(|entry| chosen.contains(&entry.message));
    world.books.note(|| format!("operator {name} accepts {} old events of {from}", entries.len()));
    run(&setting, &entries, &Kept::default(), Pace::new(None)).await;
}

/// What a replay works with: the queues and stores of all sites as the operator sees them.
pub fn setting(world: &World, source: Source, target: Target, name: &str) -> Setting<'static> {
    let from = &world.sites[source.site().expect("worlds have no files")];
    let kind = if matches!(source, Source::DeadLetters(_)) { Kind::Letters } else { Kind::Queue };
    let places = world.sites.iter().map(|(id, site)| {
        let queue = world.queue(site, Kind::Queue, Actor::Operator, name);
        (id.clone(), Place { queue, store: world.store(site, Actor::Operator, name) })
    });
    let policy = &world.options.policy;
    Setting {
        sources: vec![SourceQueue {
            queue: world.queue(from, kind, Actor::Operator, name),
            holds: if kind == Kind::Letters { Holds::Letters } else { Holds::Events },
            hides: None,
            message_bytes_max: MESSAGE_BYTES_MAX,
        }],
        places: places.collect(),
        rules: world.workers[&from.id].rules.clone(),
        key_pointer: policy.key_pointer.clone(),
        tombstone_life: policy.tombstone_life,
        attempts_max: policy.peer_attempts_max,
        backoff: policy.peer_retry,
        editor: None,
        edit_valid: false,
        accept_old: false,
        forget_sites: BTreeSet::new(),
        inflight_bytes_max: INFLIGHT_BYTES_MAX,
        incidents: Reports::of(&world.books, format!("operator {name}")),
        clock: Arc::clone(&world.clock) as Arc<dyn Clock>,
        rng: Mutex::new(stream(world.options.seed, &format!("operator {name}"))),
        source,
        target,
    }
}

/// The entries of a plan, as the command makes it.
///
/// # Errors
/// The source cannot be read.
pub async fn plan(setting: &Setting<'_>) -> Result<Vec<Entry>, PlanError> {
    plan_some(setting, &Filter::default(), u64::MAX).await
}

/// The same for messages that pass `filter`, and at most so many.
///
/// # Errors
/// The source cannot be read.
pub async fn plan_some(setting: &Setting<'_>, filter: &Filter, limit: u64) -> Result<Vec<Entry>, PlanError> {
    let open = |_: &str| Ok(Box::<MemorySpool>::default() as Box<dyn Spool>);
    let planner = Planner { setting, filter, limit, portion: PORTION, open: &open, tell: &|_| {} };
    let mut plan = planner.plan(future::pending()).await?.expect("nothing stops it");
    plan.entries()?.collect()
}

/// Runs a plan as far as `journal` has not: how it ended, and what came of the messages, by reason.
pub async fn run(
    setting: &Setting<'_>,
    entries: &[Entry],
    journal: &Kept,
    pace: Pace,
) -> (End, BTreeMap<String, Tally>) {
    let Ended { end, ledger, .. } = run_until(setting, entries, journal, pace, &|| false).await;
    (end, ledger.tallies().into_iter().map(|(reason, tally)| (reason.to_owned(), tally)).collect())
}

/// The same until `stop` says so, and all that the run leaves behind.
pub async fn run_until(
    setting: &Setting<'_>,
    entries: &[Entry],
    journal: &Kept,
    pace: Pace,
    stop: &(dyn Fn() -> bool + Sync),
) -> Ended {
    let mut ledger = Ledger::of(&setting.source);
    for entry in entries {
        ledger.plan(entry);
    }
    for receipt in journal.receipts().iter() {
        ledger.receipt(receipt);
    }
    Run::new(setting, ledger, journal, pace, &|_| {}, stop).work().await
}
