//! What really happened: every message that a queue took or gave away, every write that a store made. Told by the observers
//! below the faults ([`watch`](crate::watch)), so a lost answer hides nothing; judged by the checkers as it comes in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bridge_adapters::memory::{ManualClock, MemoryQueue};
use bridge_core::{
    event::SiteId,
    port::{Clock, Delivery, Message, Queue, Receipt, Write},
    record::Record,
};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    checkers::{self, Checker, Violation},
    events::Fact,
    scenario::Scenario,
    trace::Trace,
};

/// Violations that are kept; a rule that is broken once is often broken for ever.
const VIOLATIONS_MAX: usize = 50;

/// How long a failure may lie back that a letter is about: a circuit stays open, and a letter is tried again.
const LATELY: TimeDelta = TimeDelta::minutes(2);

/// A queue of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The site, by number.
    pub site: usize,
    /// Which of its two.
    pub kind: Kind,
}

/// Which of a site's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The queue that its worker takes from.
    Queue,
    /// Its dead letters.
    Letters,
}

/// Who made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// An application.
    Application,
    /// The worker of a site.
    Worker(usize),
    /// The operator with `bridge replay`.
    Operator,
}

/// What a worker makes calls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// Its own site's queue.
    Queue,
    /// Its own site's dead letters.
    Letters,
    /// Its own site's store.
    Store,
    /// The queue of this peer.
    Peer(usize),
}

/// A failure, by what it asks of whoever meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// It did what it was asked.
    Answer,
    /// Another try may help.
    Passing,
    /// This one thing is refused.
    Refused,
    /// Nothing helps but an operator.
    Halting,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The message was removed.
    Acked,
    /// The message was given back.
    GivenBack,
}

/// How many messages a worker takes.
#[derive(Clone, Copy, Debug)]
pub struct Portion {
    /// With one call.
    pub taken_max: usize,
    /// Together.
    pub held_max: usize,
}

/// Both queues of a site, to look into.
#[derive(Clone, Debug)]
pub struct Queues {
    /// The queue that its worker takes from.
    pub queue: Arc<MemoryQueue>,
    /// Its dead letters.
    pub letters: Arc<MemoryQueue>,
}

/// The books of one world.
#[derive(Debug)]
pub struct Books(Mutex<State>);

/// All that was written down.
#[derive(Debug)]
pub struct State {
    /// The sites by number.
    pub sites: Vec<SiteId>,
    /// Their queues.
    pub queues: Vec<Queues>,
    /// Every event that was written; its place is its number less one.
    pub facts: Vec<Fact>,
    by_body: BTreeMap<Bytes, usize>,
    by_id: BTreeMap<Uuid, Vec<usize>>,
    /// The greatest event that a site's store has ever held of a key, by its place in `facts`.
    pub best: Vec<BTreeMap<String, usize>>,
    /// Events that the site's worker was handed, and how often.
    pub handed: BTreeMap<(usize, usize), u32>,
    /// Deliveries of an event from a site's queue, to whomever.
    pub taken: BTreeMap<(usize, usize), u32>,
    /// Sends of an event by its origin's worker to a peer's queue that took effect.
    pub crossed: BTreeMap<(usize, usize), u32>,
    /// How each delivery ended, as its queue has it.
    pub ended: BTreeMap<(Place, Receipt), Ended>,
    /// Deliveries, of which some have ended.
    pub delivered: BTreeMap<Place, u64>,
    /// Sends of one event to one peer that one delivery to a site may cause.
    pub sends_max: Vec<u32>,
    /// Events whose letter was written, by site.
    pub lettered: BTreeSet<(usize, usize)>,
    /// Old events that an operator brought to their origin's queue, and when last.
    pub accepted: BTreeMap<usize, DateTime<Utc>>,
    /// When a site's store last wrote an event.
    pub written: BTreeMap<(usize, usize), DateTime<Utc>>,
    /// Every write of an event by a site's store, and when.
    pub writes: Vec<(DateTime<Utc>, usize, usize)>,
    /// When a worker last met such a failure on one of its lines.
    met: BTreeMap<(usize, Line, Met), DateTime<Utc>>,
    /// Events that an application sent to a site.
    pub sent: BTreeSet<(usize, usize)>,
    /// Events that the operator sent to a site.
    pub brought: BTreeSet<(usize, usize)>,
    /// When a queue first took an event, and when last.
    pub came: BTreeMap<(Place, usize), (DateTime<Utc>, DateTime<Utc>)>,
    /// Deliveries of a message at a site, at least, before its worker gives it up.
    pub tries_min: Vec<u32>,
    /// Messages that a site's worker may take with one call, and have in hand; not known of one that is worked by hand.
    pub portions: Vec<Portion>,
    /// What the worker of a site has in hand, and since when its lease runs.
    pub hands: Vec<BTreeMap<Receipt, DateTime<Utc>>>,
    /// How long a tombstone lives; for ever if none.
    pub life: Option<TimeDelta>,
    /// Whether nothing goes wrong any more, and the operator does one thing after the other.
    pub calm: bool,
    clock: Arc<ManualClock>,
    /// What was found wrong.
    pub violations: Vec<Violation>,
    /// What happened, in words.
    pub trace: Trace,
}

impl Books {
    /// Empty books of a world with these sites.
    pub fn new(clock: Arc<ManualClock>, sites: Vec<SiteId>, queues: Vec<Queues>, traced: bool) -> Self {
        Self(Mutex::new(State {
            best: vec![BTreeMap::new(); sites.len()],
            hands: vec![BTreeMap::new(); sites.len()],
            sends_max: vec![u32::MAX; sites.len()],
            sites,
            queues,
            facts: Vec::new(),
            by_body: BTreeMap::new(),
            by_id: BTreeMap::new(),
            handed: BTreeMap::new(),
            taken: BTreeMap::new(),
            crossed: BTreeMap::new(),
            ended: BTreeMap::new(),
            delivered: BTreeMap::new(),
            lettered: BTreeSet::new(),
            violations: Vec::new(),
            accepted: BTreeMap::new(),
            written: BTreeMap::new(),
            writes: Vec::new(),
            met: BTreeMap::new(),
            sent: BTreeSet::new(),
            brought: BTreeSet::new(),
            came: BTreeMap::new(),
            tries_min: Vec::new(),
            portions: Vec::new(),
            life: None,
            calm: false,
            trace: Trace::new(Arc::clone(&clock), traced),
            clock,
        }))
    }

    /// Opens them.
    pub fn open(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so much is wrong that going on would show nothing new.
    pub fn hopeless(&self) -> bool {
        self.open().violations.len() >= VIOLATIONS_MAX
    }

    /// Writes down an event that an application wrote.
    pub fn write(&self, fact: Fact) {
        let mut state = self.open();
        state.trace.line(|| format!("application writes {}", fact.describe()));
        let at = state.facts.len();
        state.by_body.insert(fact.body.clone(), at);
        state.by_id.entry(fact.id).or_default().push(at);
        state.facts.push(fact);
    }

    /// A line for the trace.
    pub fn note(&self, text: impl FnOnce() -> String) {
        self.open().trace.line(text);
    }

    /// A queue took a message.
    pub fn accepted(&self, place: Place, actor: Actor, message: &Message) {
        let state = &mut *self.open();
        let fact = state.by_body.get(&message.body).copied();
        state.trace.line(|| {
            let reason =
                message.properties.get("bridge_reason").map(|reason| format!(" as {reason}")).unwrap_or_default();
            let owed =
                message.properties.get("bridge_owed").map(|owed| format!(", owed to {owed}")).unwrap_or_default();
            format!("{} -> {} {}{reason}{owed}", name(&state.sites, actor), at(&state.sites, place), event(fact))
        });
        if let Some(fact) = fact {
            let now = state.now();
            state.came.entry((place, fact)).or_insert((now, now)).1 = now;
        }
        if let (Kind::Queue, Actor::Application, Some(fact)) = (place.kind, actor, fact) {
            state.sent.insert((place.site, fact));
        }
        if let (Kind::Queue, Actor::Operator, Some(fact)) = (place.kind, actor, fact) {
            state.brought.insert((place.site, fact));
            // What its origin had not forwarded, or what is old and accepted, is sent to its origin: from now on it is an event as any other.
            let marked = message.properties.contains_key("bridge_accept_old");
            let now = state.now();
            let sent = &mut state.facts[fact];
            if sent.origin == state.sites[place.site] {
                if sent.refused == Some("not_forwarded") || marked && sent.refused == Some("too_old") {
                    sent.refused = None;
                }
                if marked {
                    state.accepted.insert(fact, now);
                }
            }
        }
        match (place.kind, actor, fact) {
            (Kind::Queue, Actor::Worker(from), _) => checkers::crossing(state, from, place.site, fact),
            (Kind::Letters, Actor::Worker(from), Some(fact)) => {
                state.lettered.insert((place.site, fact));
                checkers::letter(state, from, place.site, fact, &message.properties);
            }
            _ => {}
        }
    }

    /// A queue gave messages away.
    pub fn delivered(&self, place: Place, actor: Actor, deliveries: &[Delivery]) {
        let state = &mut *self.open();
        *state.delivered.entry(place).or_default() += deliveries.len() as u64;
        for delivery in deliveries {
            let fact = state.by_body.get(&delivery.body).copied();
            if let (Kind::Queue, Some(fact)) = (place.kind, fact) {
                *state.taken.entry((place.site, fact)).or_default() += 1;
            }
            if let (Kind::Queue, Actor::Worker(_), Some(fact)) = (place.kind, actor, fact) {
                *state.handed.entry((place.site, fact)).or_default() += 1;
            }
            if let (Kind::Queue, Actor::Worker(site)) = (place.kind, actor) {
                let now = state.now();
                state.hands[site].insert(delivery.receipt.clone(), now);
            }
            state.trace.line(|| {
                let (who, place) = (name(&state.sites, actor), at(&state.sites, place));
                format!("{who} <- {place} {} attempt {}", event(fact), delivery.attempt)
            });
        }
        if let (Kind::Queue, Actor::Worker(site)) = (place.kind, actor) {
            checkers::holding(state, site, deliveries.len());
        }
    }

    /// The lease of a delivery runs anew.
    pub fn extended(&self, place: Place, actor: Actor, receipt: &Receipt) {
        let state = &mut *self.open();
        let now = state.now();
        if let (Kind::Queue, Actor::Worker(site)) = (place.kind, actor)
            && let Some(since) = state.hands[site].get_mut(receipt)
        {
            *since = now;
        }
    }

    /// A worker begins, with nothing in hand.
    pub fn hired(&self, site: usize) {
        self.open().hands[site].clear();
    }

    /// A delivery ended. `body`: the message's.
    pub fn ended(&self, place: Place, actor: Actor, receipt: &Receipt, body: Option<&Bytes>, how: Ended) {
        let state = &mut *self.open();
        state.ended.insert((place, receipt.clone()), how);
        if let (Kind::Queue, Actor::Worker(site)) = (place.kind, actor) {
            state.hands[site].remove(receipt);
        }
        let fact = body.and_then(|body| state.by_body.get(body).copied());
        state.trace.line(|| {
            let (who, place) = (name(&state.sites, actor), at(&state.sites, place));
            let what = if how == Ended::Acked { "removes" } else { "gives back" };
            format!("{who} {what} {} from {place}", event(fact))
        });
        if let (Ended::Acked, Some(fact)) = (how, fact) {
            checkers::removal(state, place, fact);
        }
    }

    /// A store was asked to write.
    pub fn wrote(&self, site: usize, actor: Actor, record: &Record, outcome: &Write) {
        let state = &mut *self.open();
        let fact = state.fact_of_record(record);
        state.trace.line(|| {
            let outcome = if matches!(outcome, Write::Applied { .. }) { "stores" } else { "keeps its own over" };
            format!("{} puts {}: {} {outcome} it", name(&state.sites, actor), event(fact), state.sites[site])
        });
        if actor == Actor::Operator && !record.deleted() && record.expires_after.is_some() {
            let what = format!("the operator brought {} to {} with an expiry", record.key, state.sites[site]);
            state.violate(Checker::Repaired, what);
        }
        if let (Write::Applied { .. }, Some(fact)) = (outcome, fact) {
            checkers::write(state, site, fact);
        }
    }

    /// A worker met a failure on one of its lines.
    pub fn met(&self, site: usize, line: Line, met: Met) {
        let state = &mut *self.open();
        let now = state.now();
        state.met.insert((site, line, met), now);
    }

    /// How a delivery ended, if it has.
    pub fn end_of(&self, place: Place, receipt: &Receipt) -> Option<Ended> {
        self.open().ended.get(&(place, receipt.clone())).copied()
    }
}

impl State {
    /// What the workers of a scenario may do at most.
    pub(crate) fn expect_of_workers(&mut self, scenario: &Scenario) {
        let Scenario { options, hosts, batch, .. } = scenario;
        self.sends_max = hosts.iter().map(|host| host.sends_max(options)).collect();
        self.portions = hosts.iter().map(|host| host.portion(*batch, options)).collect();
        self.tries_min = hosts.iter().map(|host| host.tries_min(options)).collect();
    }

    /// Which event a body is.
    pub fn fact_of(&self, body: &Bytes) -> Option<usize> {
        self.by_body.get(body).copied()
    }

    /// Which event a record is of; the first one of that name if it is of none of their contents.
    pub fn fact_of_record(&self, record: &Record) -> Option<usize> {
        let named = self.by_id.get(&record.event_id)?;
        named.iter().find(|at| self.facts[**at].is_in(record)).or(named.first()).copied()
    }

    /// Writes down what is wrong.
    pub fn violate(&mut self, checker: Checker, what: String) {
        self.trace.line(|| format!("*** {checker}: {what}"));
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { checker, what });
        }
    }

    /// Time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Whether the worker of `site` met such a failure on this line a short time ago.
    pub fn has_met(&self, site: usize, line: Line, met: Met) -> bool {
        self.met.get(&(site, line, met)).is_some_and(|at| self.now() - *at <= LATELY)
    }

    /// Whether the store of a site has answered its worker since an event came into the site's queue.
    pub fn has_answered_since(&self, site: usize, fact: usize) -> bool {
        let came = self.came.get(&(Place { site, kind: Kind::Queue }, fact)).map(|(first, _)| *first);
        let answers =
            [Met::Answer, Met::Refused, Met::Halting].map(|met| self.met.get(&(site, Line::Store, met)).copied());
        answers.into_iter().flatten().max() >= came
    }

    /// Whether it met any failure there.
    pub fn has_trouble(&self, site: usize, line: Line) -> bool {
        [Met::Passing, Met::Refused, Met::Halting].into_iter().any(|met| self.has_met(site, line, met))
    }

    /// Messages that the worker of a site has in hand: none if some may be there by a fault, until their leases end.
    pub fn in_hand(&self, site: usize) -> Option<usize> {
        let unsettled = [Line::Queue, Line::Letters].into_iter().any(|line| self.has_trouble(site, line));
        let lease = TimeDelta::from_std(self.queues[site].queue.lease()).unwrap_or_default();
        let young = |since: &&DateTime<Utc>| self.now() - **since < lease;
        (!unsettled).then(|| self.hands[site].values().filter(young).count())
    }

    /// Of a key, the greatest event that a site's store had written by `at`.
    pub fn best_at(&self, site: usize, key: &str, at: DateTime<Utc>) -> Option<usize> {
        let written = self.writes.iter().filter(|(when, place, _)| *when <= at && *place == site);
        let facts = written.map(|(_, _, fact)| *fact).filter(|fact| self.facts[*fact].key == key);
        facts.max_by_key(|fact| self.facts[*fact].rank())
    }

    /// The store of a site was emptied by somebody who is not the bridge.
    pub fn emptied(&mut self, site: usize) {
        self.best[site].clear();
        self.writes.retain(|(_, place, _)| *place != site);
    }

    /// Whether a delete that came after an event may be forgotten, `slack` from now: tombstones live a day longer than that.
    pub fn is_old(&self, fact: usize, slack: TimeDelta) -> bool {
        self.is_past(self.facts[fact].at, slack)
    }

    /// Whether an operator accepted an event, and that is not so long ago itself.
    pub fn is_accepted(&self, fact: usize, slack: TimeDelta) -> bool {
        self.accepted.get(&fact).is_some_and(|at| !self.is_past(*at, slack))
    }

    fn is_past(&self, time: DateTime<Utc>, slack: TimeDelta) -> bool {
        self.life.is_some_and(|life| self.now() + slack - time > life - TimeDelta::days(1))
    }

    /// Whether the tombstone that an event left at a site has ended.
    pub fn is_forgotten(&self, site: usize, fact: usize) -> bool {
        let (Some(life), Some(written)) = (self.life, self.written.get(&(site, fact))) else { return false };
        self.facts[fact].op == "delete" && self.now() >= self.facts[fact].at.max(*written) + life
    }

    /// An event in words.
    pub fn tell(&self, fact: usize) -> String {
        self.facts[fact].describe()
    }
}

fn event(fact: Option<usize>) -> String {
    fact.map_or_else(|| "#?".to_owned(), |at| format!("#{}", at + 1))
}

/// Who, for a trace.
pub fn name(sites: &[SiteId], actor: Actor) -> String {
    match actor {
        Actor::Application => "application".to_owned(),
        Actor::Worker(site) => format!("worker of {}", sites[site]),
        Actor::Operator => "operator".to_owned(),
    }
}

fn at(sites: &[SiteId], place: Place) -> impl fmt::Display {
    let kind = if place.kind == Kind::Queue { "queue" } else { "dlq" };
    format!("{}/{kind}", sites[place.site])
}
