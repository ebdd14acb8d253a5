//! The operator: plans a replay and runs it, with the core's own rules, through ways on which all goes wrong too.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bridge_core::{
    failure::PortError,
    port::{Clock, Delivery, Place as Bookmark},
    replay::{
        effect::Effect,
        fingerprint::Fingerprint,
        journal::{Journal, Receipt},
        ledger::{Ledger, Tally},
        pace::Pace,
        plan::Entry,
        route::{Source, Target},
        run::{End, Ended, Run},
        setting::{Place, Setting, SourceQueue},
        subject::Holds,
    },
};

use crate::{
    books::{Actor, Kind},
    executor::Mortal,
    scenario::Replay,
    seed::stream,
    world::World,
};

/// Messages that a plan looks at with one call.
const LOOK: usize = 7;

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

/// Carries out a replay of the scenario: one plan, runs that are killed, and one that is not.
pub async fn replay(world: &World, replay: &Replay, name: &str) {
    let mut before = setting(world, replay.from.clone(), replay.to.clone(), name);
    if let Some(added) = &replay.added {
        before.rules.sites.remove(added);
    }
    let setting = setting(world, replay.from.clone(), replay.to.clone(), name);
    let entries = match plan(&before).await {
        Ok(entries) => entries,
        Err(error) => return world.books.note(|| format!("operator {name}: no plan: {error}")),
    };
    world.books.note(|| format!("operator {name} plans {setting:?}: {} messages", entries.len()));
    let journal = Kept::default();
    for polls in replay.killed.iter().copied().chain([u64::MAX]) {
        let ended = Mortal::new(run(&setting, &entries, &journal, Pace::new(None)), polls).await;
        world.books.note(|| match &ended {
            Some((end, _)) => format!("operator {name}: {end:?}"),
            None => format!("operator {name} is killed"),
        });
        world.clock.sleep(Duration::from_secs(1)).await;
    }
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
        clock: Arc::clone(&world.clock) as Arc<dyn Clock>,
        rng: Mutex::new(stream(world.options.seed, &format!("operator {name}"))),
        source,
        target,
    }
}

/// The entries of a plan, made as the command makes them.
///
/// # Errors
/// The source cannot be read.
pub async fn plan(setting: &Setting<'_>) -> Result<Vec<Entry>, PortError> {
    let mut entries = Vec::new();
    let (mut at, mut shown) = (Bookmark::default(), Vec::new());
    let queue = &setting.sources[0].queue;
    loop {
        let deliveries = queue.browse(&mut at, LOOK).await?;
        if deliveries.is_empty() {
            break;
        }
        for delivery in &deliveries {
            entries.push(entry(setting, delivery).await);
        }
        shown.extend(deliveries.into_iter().map(|delivery| delivery.receipt));
    }
    queue.release(&shown).await;
    Ok(entries)
}

async fn entry(setting: &Setting<'_>, delivery: &Delivery) -> Entry {
    let subject = setting.read(0, delivery).await;
    let message = Fingerprint::of(0, &delivery.message_id, &delivery.body);
    let mut entry = Entry::draft(setting, 0, message, delivery, &subject);
    let Ok(event) = &subject.event else { return entry };
    for prediction in &mut entry.errands {
        let Some(errand) = prediction.errand() else { continue };
        if let Ok(held) = setting.places[&errand.site].store.get(&event.key).await {
            prediction.effect = Effect::of(event.version(), held.as_ref().map(|record| &record.version));
        }
    }
    entry
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
