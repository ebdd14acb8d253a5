//! What a replay tells its operator, held against what really lies in queues and stores.

use std::collections::{BTreeMap, BTreeSet};

use bridge_core::{
    event::SiteId,
    port::{Place as Bookmark, Queue},
};
use bridge_ops::replay::{
    effect::Effect,
    errand::{Errand, Way},
    fingerprint::Fingerprint,
    journal::{Outcome, Receipt},
    ledger::Tally,
    plan::Entry,
    route::Source,
    run::End,
};

use crate::{
    books::State,
    checkers::Checker,
    holdings::Holdings,
    world::{Rule, World},
};

/// What lies in a replay's source and in all stores at one instant.
pub(crate) struct Scene {
    /// The messages of the source, each with its event.
    messages: BTreeMap<Fingerprint, Option<usize>>,
    holdings: Holdings,
}

impl Scene {
    pub(crate) async fn of(world: &World, source: &Source) -> Self {
        let site = &world.sites[source.site().expect("worlds have no files")];
        let queue = if matches!(source, Source::DeadLetters(_)) { &site.letters } else { &site.queue };
        let shown = queue.browse(&mut Bookmark::default(), usize::MAX).await.unwrap_or_default();
        let state = world.books.open();
        let messages = shown
            .iter()
            .map(|message| (Fingerprint::of(0, &message.message_id, &message.body), state.fact_of(&message.body)));
        Self { messages: messages.collect(), holdings: Holdings::of(world, &state) }
    }
}

/// A plan has every message that was there all the time, and says what each would do.
pub(crate) fn planned(world: &World, before: &Scene, after: &Scene, entries: &[Entry], name: &str) {
    let mut wrong = Vec::new();
    let planned: BTreeSet<Fingerprint> = entries.iter().map(|entry| entry.message).collect();
    let stayed = before.messages.keys().filter(|message| after.messages.contains_key(message));
    let left_out = stayed.filter(|message| !planned.contains(message)).count();
    if left_out > 0 {
        wrong.push(format!("the plan of {name} lacks {left_out} messages"));
    }
    {
        let state = world.books.open();
        for entry in entries {
            wrong.extend(mispredicted(&state, before, after, entries, entry));
        }
    }
    violate(world, wrong);
}

/// Effects of an entry that no store had for it, from the begin of the planning to its end.
fn mispredicted(state: &State, before: &Scene, after: &Scene, entries: &[Entry], entry: &Entry) -> Vec<String> {
    let fact = |entry: &Entry| before.messages.get(&entry.message).or(after.messages.get(&entry.message)).copied()?;
    let Some(this) = fact(entry) else { return Vec::new() };
    let mut wrong = Vec::new();
    for prediction in entry.errands.iter().filter(|prediction| prediction.effect != Effect::StillOwed) {
        let Some(site) = prediction.errand().and_then(|errand| number(state, &errand.site)) else { continue };
        let effect = |scene: &Scene| {
            let held = scene.holdings.at(site, &state.facts[this].key).map(|held| state.facts[held].rank());
            match held.map(|held| held.cmp(&state.facts[this].rank())) {
                None | Some(std::cmp::Ordering::Less) => Effect::Apply,
                Some(std::cmp::Ordering::Equal) => Effect::Duplicate,
                Some(std::cmp::Ordering::Greater) => Effect::Superseded,
            }
        };
        let same_key = |other: &usize| state.facts[*other].key == state.facts[this].key;
        let later = |other: &usize| state.facts[*other].rank() > state.facts[this].rank();
        let goes_there =
            |other: &&Entry| other.errands.iter().any(|to| to.to == prediction.to && to.effect == Effect::Apply);
        let beaten = entries.iter().filter(goes_there).filter_map(fact).any(|other| same_key(&other) && later(&other));
        let (first, last) = (effect(before), effect(after));
        let right = match prediction.effect {
            Effect::Apply => !beaten && (first == Effect::Apply || last == Effect::Apply),
            Effect::Superseded => beaten || first == Effect::Superseded || last == Effect::Superseded,
            Effect::Duplicate => first != last || last == Effect::Duplicate,
            _ => false,
        };
        if !right {
            let (what, told) = (prediction.effect, state.tell(this));
            wrong.push(format!("{told} would {what} at {}: {first} before, {last} after", prediction.to));
        }
    }
    wrong
}

/// What the journal says was done is done, once, and what it says was removed is not there any more; nor is what came no more, where the
/// operator is `alone` with the source. Another consumer may hold that, and give it back.
pub(crate) fn journaled(world: &World, before: &Scene, after: &Scene, receipts: &[Receipt], alone: bool, name: &str) {
    let mut wrong = Vec::new();
    {
        let state = world.books.open();
        let mut confirmed = BTreeSet::new();
        for receipt in receipts {
            match receipt {
                Receipt::Confirmed { message, by, outcome } => {
                    if !confirmed.insert((*message, by.clone())) {
                        wrong.push(format!("{name} brought one message to {by} twice"));
                    }
                    if let Some(fact) = before.messages.get(message).copied().flatten()
                        && !is_there(&state, fact, by, *outcome)
                    {
                        wrong.push(format!("{name} brought {} to {by}: {}", state.tell(fact), outcome.as_str()));
                    }
                }
                Receipt::Gone { .. } if !alone => {}
                Receipt::Removed { message } | Receipt::Gone { message } if after.messages.contains_key(message) => {
                    wrong.push(format!("{name} tells of a message that has left, and it is there"));
                }
                Receipt::Begin { .. } | Receipt::Removed { .. } | Receipt::Gone { .. } => {}
            }
        }
    }
    violate(world, wrong);
}

fn is_there(state: &State, fact: usize, by: &str, outcome: Outcome) -> bool {
    let Ok(Errand { site, way }) = by.parse() else { return false };
    let Some(site) = number(state, &site) else { return false };
    let held = state.best[site].get(&state.facts[fact].key).map(|best| state.facts[*best].rank());
    match (way, outcome) {
        (Way::Queue, Outcome::Sent) => state.brought.contains(&(site, fact)),
        (Way::Store, Outcome::Applied | Outcome::Duplicate) => state.written.contains_key(&(site, fact)),
        (Way::Store, Outcome::Superseded) => held.is_some_and(|held| held > state.facts[fact].rank()),
        _ => false,
    }
}

/// Every message of the plan is counted once; what is counted as removed has left the source, or came no more. `alone`: nobody else takes
/// from it, so that the two are one.
pub(crate) fn counted(
    world: &World,
    after: &Scene,
    entries: &[Entry],
    (end, tallies): &(End, BTreeMap<String, Tally>),
    receipts: &[Receipt],
    alone: bool,
    name: &str,
) {
    let sum = |count: fn(&Tally) -> u64| tallies.values().map(count).sum::<u64>();
    let planned: BTreeSet<Fingerprint> = entries.iter().map(|entry| entry.message).collect();
    let gone = planned.iter().filter(|message| !after.messages.contains_key(message)).count() as u64;
    let removed = sum(|tally| tally.removed);
    // Removed, and the answer was lost.
    let unremoved = sum(|tally| tally.unremoved);
    let rest = sum(|tally| tally.kept + tally.unremoved + tally.left + tally.unseen + tally.untried);
    let mut wrong = Vec::new();
    if sum(|tally| tally.planned) != planned.len() as u64 || removed + rest != planned.len() as u64 {
        wrong.push(format!("{name} planned {}, and tells of {removed} removed and {rest} others", planned.len()));
    }
    let missed = receipts.iter().filter(|receipt| matches!(receipt, Receipt::Gone { .. })).count() as u64;
    if removed > gone + if alone { 0 } else { missed }
        || alone && matches!(end, End::Finished) && removed + unremoved < gone
    {
        wrong.push(format!("{name} tells of {removed} removed messages, and {gone} are gone"));
    }
    violate(world, wrong);
}

fn number(state: &State, site: &SiteId) -> Option<usize> {
    state.sites.iter().position(|one| one == site)
}

fn violate(world: &World, wrong: Vec<String>) {
    if world.options.rule == Rule::ByHand {
        return; // Its stores do not answer what a replay counts on.
    }
    let mut state = world.books.open();
    for what in wrong {
        state.violate(Checker::Told, what);
    }
}
