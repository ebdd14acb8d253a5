//! The ten checkers: what must hold on every step, and what must hold at the end. They know the rules from the design and
//! not from the core: what comes first is computed here anew, from the facts that the world wrote itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bridge_core::{event::Key, port::Properties, property, record::Record, reserved::RESERVED};
use chrono::TimeDelta;

use crate::{
    books::{Kind, Line, Met, Place, Queues, State},
    events::Fact,
    holdings::Holdings,
    world::{Rule, World},
};

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checker {
    /// Once faults stop and queues drain, all stores hold the greatest version of each key, and its value.
    Converged,
    /// Each accepted write is stored, superseded, on its way, or owed in a dead letter; each refused one is a dead letter
    /// with its reason, and nowhere else.
    NothingLost,
    /// No tombstone is replaced by an older version.
    NoResurrection,
    /// No stored version ever goes down.
    Monotonic,
    /// Only the origin forwards an event, and not more often than it was handed it.
    NoPingPong,
    /// Delivered = acked + retried + dead-lettered + in flight.
    BooksBalance,
    /// All is drained within minutes of the last fault.
    Live,
    /// Each letter's reason is one that its event met.
    Justified,
    /// What an operator is told is so: plans, what came of a replay, what lies in queues, what differs between stores.
    Told,
    /// A repair and a backfill bring the greatest version everywhere, and nothing that must not spread.
    Repaired,
}

impl Checker {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::NothingLost => "nothing lost",
            Self::NoResurrection => "no resurrection",
            Self::Monotonic => "monotonic",
            Self::NoPingPong => "no ping-pong",
            Self::BooksBalance => "books balance",
            Self::Live => "live",
            Self::Justified => "justified",
            Self::Told => "told as it is",
            Self::Repaired => "repaired",
        }
    }
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub checker: Checker,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}

/// A store wrote an event: versions only go up, and a tombstone gives way to nothing older.
pub(crate) fn write(state: &mut State, site: usize, new: usize) {
    let here = state.sites[site].clone();
    if let Some(reason) = state.facts[new].refused {
        let what = format!("{here} stored {}, which had to be refused as {reason}", state.tell(new));
        state.violate(Checker::NothingLost, what);
    }
    // An hour: a write that was judged in time may come late, and the worker's clock may be behind.
    let accepted = state.is_accepted(new, TimeDelta::hours(-1));
    if !accepted && state.is_old(new, TimeDelta::hours(-1)) {
        let what = format!("{here} stored {}, which is too old by now, and nobody accepted it", state.tell(new));
        state.violate(Checker::NothingLost, what);
    }
    let now = state.now();
    state.written.insert((site, new), now);
    state.writes.push((now, site, new));
    let key = state.facts[new].key.clone();
    let held = state.best[site].get(&key).copied();
    match held.filter(|held| state.facts[*held].rank() > state.facts[new].rank()) {
        // Whoever accepts an old event knows of no later delete that is remembered.
        Some(held) if accepted && state.is_forgotten(site, held) => {}
        Some(held) => {
            let what = format!("{here} stored {} over {}", state.tell(new), state.tell(held));
            let tombstone = state.facts[held].op == "delete" && state.facts[new].op != "delete";
            state.violate(if tombstone { Checker::NoResurrection } else { Checker::Monotonic }, what);
        }
        None => drop(state.best[site].insert(key, new)),
    }
}

/// A worker's send took effect: only the origin forwards, the very bytes, and not more often than it was handed the event.
pub(crate) fn crossing(state: &mut State, from: usize, to: usize, fact: Option<usize>) {
    let route = format!("the worker of {} sent to {}", state.sites[from], state.sites[to]);
    let Some(fact) = fact else {
        return state.violate(Checker::NoPingPong, format!("{route} what nobody wrote"));
    };
    let told = state.tell(fact);
    if state.facts[fact].refused.is_some() {
        state.violate(Checker::NothingLost, format!("{route} {told}"));
    }
    if state.facts[fact].origin != state.sites[from] || from == to {
        state.violate(Checker::NoPingPong, format!("{route} {told}, which is not its own"));
    }
    let handed = state.handed.get(&(from, fact)).copied().unwrap_or_default();
    let crossed = state.crossed.entry((to, fact)).or_default();
    *crossed += 1;
    let crossed = *crossed;
    if crossed > handed.saturating_mul(state.sends_max[from]) {
        let what = format!("{route} {told} {crossed} times, and was handed it {handed} times");
        state.violate(Checker::NoPingPong, what);
    }
}

/// A worker's letter was written: a flawed event's with its reason, a good one's with the sites that it is owed to.
pub(crate) fn letter(state: &mut State, from: usize, site: usize, fact: usize, properties: &Properties) {
    let reason = properties.get(property::REASON).map_or("none", String::as_str);
    let told = state.tell(fact);
    if from != site {
        state.violate(Checker::NothingLost, format!("{} set {told} aside at another site", state.sites[from]));
    }
    match state.facts[fact].refused {
        Some(expected) if reason != expected => {
            state.violate(Checker::NothingLost, format!("{told} was refused as {reason}"));
        }
        // It waited for longer than deletes are remembered.
        None if reason == "too_old" => {
            let here = state.sites[site].clone();
            if !state.is_old(fact, TimeDelta::hours(1)) {
                state.violate(Checker::NothingLost, format!("{told} was set aside as too_old before its time"));
            }
            let owed = properties.get(property::OWED).map(String::as_str);
            if state.facts[fact].origin != here && owed != Some(here.as_str()) {
                state.violate(
                    Checker::NothingLost,
                    format!("{told} was set aside at {here} as too_old, owed to {owed:?}"),
                );
            }
        }
        // Sent to a site that is not its origin: its origin has it from the same application.
        None if reason == "not_forwarded" && state.facts[fact].origin != state.sites[site] => {}
        None if !properties.contains_key(property::OWED) => {
            state.violate(Checker::NothingLost, format!("{told} was set aside as {reason}, owed to nobody"));
        }
        _ => {}
    }
    let owed = properties.get(property::OWED).map(String::as_str).unwrap_or_default();
    if state.facts[fact].refused.is_none() && !is_justified(state, site, fact, reason, owed) {
        let what = format!("{told} was set aside at {} as {reason}, owed to {owed:?}", state.sites[site]);
        state.violate(Checker::Justified, what);
    }
}

/// Whether the worker of `site` met what its letter of an event without a flaw says.
fn is_justified(state: &State, site: usize, fact: usize, reason: &str, owed: &str) -> bool {
    let number = |name: &str| state.sites.iter().position(|site| site.as_str() == name);
    let owed: Vec<usize> = owed.split(',').filter_map(number).collect();
    let peers = || owed.iter().copied().filter(|peer| *peer != site);
    let missed = |peer: usize| state.has_trouble(site, Line::Peer(peer));
    let refused = |peer: usize| state.has_met(site, Line::Peer(peer), Met::Refused);
    let reached = |peer: usize| {
        let met = |met| state.has_met(site, Line::Peer(peer), met);
        !met(Met::Passing) && !met(Met::Halting)
    };
    let own = owed.contains(&site);
    match reason {
        "too_old" => true, // Judged above, by the event's age.
        "not_forwarded" => state.sent.contains(&(site, fact)),
        "peer_unavailable" => !own && peers().all(missed) && !peers().all(reached),
        "peer_rejected" => !own && peers().all(refused),
        "retries_exhausted" => {
            // Those to an operator, who takes messages from the same queue, count too.
            let taken = state.taken.get(&(site, fact)).copied().unwrap_or_default();
            let tries_min = state.tries_min.get(site).copied().unwrap_or_default();
            // A store that answers nobody is away, and uses up no tries.
            let answers = state.has_answered_since(site, fact);
            own && taken >= tries_min
                && answers
                && state.has_met(site, Line::Store, Met::Passing)
                && peers().all(missed)
        }
        "store_away" => own && state.has_met(site, Line::Store, Met::Passing) && peers().all(missed),
        "store_rejected" => own && state.has_met(site, Line::Store, Met::Refused) && peers().all(missed),
        _ => false,
    }
}

/// A worker took so many messages: no more than it may, with all that it has in hand.
pub(crate) fn holding(state: &mut State, site: usize, taken: usize) {
    let Some(portion) = state.portions.get(site).copied() else { return };
    let held = state.in_hand(site).unwrap_or_default();
    if taken > portion.taken_max || held > portion.held_max {
        let what = format!("the worker of {} took {taken} messages and holds {held}", state.sites[site]);
        state.violate(Checker::BooksBalance, format!("{what}, with {portion:?}"));
    }
}

/// A message was removed: its event must be durable, or on its way, or owed, at every site.
pub(crate) fn removal(state: &mut State, place: Place, fact: usize) {
    let told = state.tell(fact);
    let here = &state.sites[place.site];
    if let Some(reason) = state.facts[fact].refused {
        // A Function's host gives a message back as a copy.
        let copied =
            || state.queues[place.site].queue.snapshot().iter().any(|(body, _)| *body == state.facts[fact].body);
        let kept = place.kind == Kind::Queue && (state.lettered.contains(&(place.site, fact)) || copied());
        if !kept {
            let what = format!("{told} was removed at {here} without a letter that says {reason}");
            state.violate(Checker::NothingLost, what);
        }
        return;
    }
    let reached = |site: &usize| {
        let best = state.best[*site].get(&state.facts[fact].key);
        best.is_some_and(|best| state.facts[*best].rank() >= state.facts[fact].rank())
    };
    let missing: Vec<usize> = (0..state.sites.len()).filter(|site| !reached(site)).collect();
    if missing.is_empty() {
        return;
    }
    let lost: Vec<&str> = {
        let under_way = UnderWay::of(state, fact);
        missing.into_iter().filter(|site| !under_way.to(state, *site)).map(|site| state.sites[site].as_str()).collect()
    };
    if !lost.is_empty() {
        let what = format!("{told} was removed at {here}, and {} will never have it", lost.join(" and "));
        state.violate(Checker::NothingLost, what);
    }
}

/// Where an event, or a later write of its key, lies and will still be taken from.
struct UnderWay {
    /// Sites in whose queue it lies.
    waiting: Vec<usize>,
    /// Whether it lies in its origin's queue, which forwards it to all, or in a letter that brings it there if at all.
    everybody: bool,
    /// Sites that a letter names.
    owed: Vec<String>,
}

impl UnderWay {
    fn of(state: &State, fact: usize) -> Self {
        let mut found = Self { waiting: Vec::new(), everybody: false, owed: Vec::new() };
        let as_good = |body: &bytes::Bytes| {
            let other = &state.facts[state.fact_of(body)?];
            let good = &state.facts[fact];
            (other.key == good.key && other.refused.is_none() && other.rank() >= good.rank()).then_some(other)
        };
        for (site, queues) in state.queues.iter().enumerate() {
            for (body, _) in queues.queue.snapshot() {
                if let Some(other) = as_good(&body) {
                    found.waiting.push(site);
                    found.everybody |= other.origin == state.sites[site];
                }
            }
            for (body, properties) in queues.letters.snapshot() {
                if as_good(&body).is_some() {
                    let owed = properties.get(property::OWED).map(String::as_str).unwrap_or_default();
                    found.owed.extend(owed.split(',').map(str::to_owned));
                    found.everybody |= properties.get(property::REASON).is_some_and(|reason| reason == "too_old");
                }
            }
        }
        found
    }

    fn to(&self, state: &State, site: usize) -> bool {
        let name = state.sites[site].as_str();
        self.everybody || self.waiting.contains(&site) || self.owed.iter().any(|owed| owed == name)
    }
}

/// The one definition of what must come out: the greatest write of each key.
pub fn winners(facts: &[Fact]) -> BTreeMap<&str, &Fact> {
    let mut winners: BTreeMap<&str, &Fact> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact.refused.is_none()) {
        let held = winners.entry(&fact.key).or_insert(fact);
        if held.rank() < fact.rank() {
            *held = fact;
        }
    }
    winners
}

/// At the end: every store holds the winners, and every flawed event is a letter with its reason.
pub fn at_the_end(world: &World) {
    let broken = {
        let state = world.books.open();
        let mut broken = match world.options.rule {
            Rule::Bridge => wrong_winners(world, &state),
            Rule::ByHand => disagreements(world, &state),
        };
        broken.extend(missing_letters(&state));
        broken.extend(used_up(&state));
        broken
    };
    for (checker, what) in broken {
        world.books.open().violate(checker, what);
    }
}

fn wrong_winners(world: &World, state: &State) -> Vec<(Checker, String)> {
    let winners = winners(&state.facts);
    let holdings = Holdings::of(world, state);
    let mut broken = Vec::new();
    let back: BTreeSet<&str> =
        winners.keys().copied().filter(|key| holdings.is_back(state, key, winners[key])).collect();
    for site in world.sites.values() {
        let held = site.store.snapshot();
        for (key, winner) in winners.iter().filter(|(key, _)| !back.contains(*key)) {
            let record = held.iter().find(|(held, _)| held.as_str() == *key).map(|(_, record)| record);
            let forgotten = || state.is_forgotten(site.number, winner.number - 1);
            let right = record.map_or_else(forgotten, |record| winner.is_in(record));
            if !right {
                let what = format!("{site} holds {} where {} came last", tell(state, record), winner.describe());
                broken.push((Checker::Converged, what));
            }
        }
        // A halted worker asks its store to write a record of the bridge's own.
        let odd = |key: &&Key| !winners.contains_key(key.as_str()) && !key.as_str().starts_with(RESERVED);
        if let Some(odd) = held.keys().find(odd) {
            broken.push((Checker::Converged, format!("{site} holds {odd}, which nobody wrote")));
        }
    }
    broken
}

/// Whatever the rule holds for the last write: that the stores differ is wrong by any.
fn disagreements(world: &World, state: &State) -> Vec<(Checker, String)> {
    let mut broken = Vec::new();
    let Some(first) = world.sites.values().next() else { return broken };
    let one = first.store.snapshot();
    for site in world.sites.values().skip(1) {
        let other = site.store.snapshot();
        let written = |key: &&Key| !key.as_str().starts_with(RESERVED);
        let keys: BTreeSet<&Key> = one.keys().chain(other.keys()).filter(written).collect();
        let content = |record: &Record| (record.event_id, record.op, record.payload.clone());
        for key in keys {
            let (one, other) = (one.get(key), other.get(key));
            if one.map(content) != other.map(content) {
                let (one, other) = (tell(state, one), tell(state, other));
                broken.push((Checker::Converged, format!("{first} holds {one}, {site} holds {other}")));
            }
        }
    }
    broken
}

/// A broker that is handed a message back again and again sets it aside by itself, and nobody learns why.
fn used_up(state: &State) -> Vec<(Checker, String)> {
    let buried = |queues: &Queues| queues.queue.buried().into_iter().map(|(body, _)| body).collect::<Vec<_>>();
    let used_up = state.queues.iter().flat_map(buried).filter_map(|body| state.fact_of(&body));
    used_up.map(|fact| (Checker::NothingLost, format!("{} used up its deliveries", state.tell(fact)))).collect()
}

fn missing_letters(state: &State) -> Vec<(Checker, String)> {
    let mut broken = Vec::new();
    for fact in &state.facts {
        let Some(reason) = fact.refused else { continue };
        let lies = state.queues.iter().any(|queues| {
            let letter = |(body, properties): &(bytes::Bytes, Properties)| {
                *body == fact.body && properties.get(property::REASON).is_some_and(|said| said == reason)
            };
            queues.letters.snapshot().iter().any(letter)
        });
        if !lies {
            broken.push((Checker::NothingLost, format!("{} is no letter that says {reason}", fact.describe())));
        }
    }
    broken
}

fn tell(state: &State, record: Option<&Record>) -> String {
    match record {
        None => "nothing".to_owned(),
        Some(record) => state.fact_of_record(record).map_or_else(|| "#?".to_owned(), |at| state.tell(at)),
    }
}
