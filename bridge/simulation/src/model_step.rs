//! What one delivery or one replay does, found out by the real code: the worker on a world of memory, the errands of the
//! core. Each situation is run once, killed at each await, and remembered.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use bridge_adapters::layer::{Fault, Operation, Rule as FaultRule};
use bridge_core::{
    carry_out::work_off,
    envelope,
    event::SiteId,
    failure::FailureKind,
    marks::Marks,
    port::{Clock, Delivery, Message, Properties, Queue, Receipt},
    property,
    record::Record,
};
use bridge_ops::replay::{
    errand::{Way, errands},
    route::{Source, Target},
    subject::{Holds, Subject},
};

use crate::{
    books::{Actor, Kind},
    events::Fact,
    executor::Mortal,
    model::{EVENTS, Events, KEYS, SITES, State},
    wire::Traffic,
    world::{Options, Rule, World, policy},
};

const NAMES: [&str; SITES] = ["aws:us-east-1", "azure:westeurope", "aws:eu-west-1"];

/// A batch in some site's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Delivered {
    pub(crate) site: usize,
    pub(crate) batch: Events,
    /// What the site's store holds.
    pub(crate) held: [u8; KEYS],
}

/// What can come of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Outcomes {
    /// If all goes well.
    pub(crate) calm: Effects,
    /// All that can come of it otherwise.
    pub(crate) mishaps: Vec<Effects>,
}

/// Where a replay brings a message: to one site, or to all that are owed it.
type Destination = Option<(usize, Way)>;

/// The sites that get a message, each by its way, and whether somebody stays unpaid.
type Errands = (Vec<(usize, Way)>, bool);

/// What the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreFault {
    None,
    Down,
    Refuses,
}

/// What goes wrong with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mishap {
    /// Whether the batch holds each message twice.
    twice: bool,
    /// Whether these are the last attempts.
    last: bool,
    store: StoreFault,
    /// The peers that cannot be reached, as bits.
    dark: u8,
}

const CALM: Mishap = Mishap { twice: false, last: false, store: StoreFault::None, dark: 0 };

impl Mishap {
    /// Everything that can go wrong, and what goes well.
    fn all(sites: usize, delivered: &Delivered) -> Vec<Self> {
        let mut all = Vec::new();
        for dark in (0..1_u8 << sites).filter(|dark| dark & 1 << delivered.site == 0) {
            for store in [StoreFault::None, StoreFault::Down, StoreFault::Refuses] {
                for last in [false, true] {
                    // Twice is tried with batches of one event.
                    let twice = [false, true].into_iter().filter(|twice| !twice || delivered.batch.is_power_of_two());
                    all.extend(twice.map(|twice| Self { twice, last, store, dark }));
                }
            }
        }
        all
    }
}

/// What a delivery has done, whole or in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effects {
    pub(crate) held: [u8; KEYS],
    pub(crate) sent: [Events; SITES],
    pub(crate) letters: [u8; EVENTS],
    pub(crate) removed: Events,
}

/// The sites and events of a story, and what is known of them.
pub(crate) struct Cast {
    pub(crate) sites: usize,
    facts: Vec<Fact>,
    known: HashMap<Delivered, Outcomes>,
    /// What a replay of each message would do, by site, event, who is owed it, and target.
    errands: HashMap<(usize, usize, Option<u8>, Destination), Errands>,
    situations: usize,
    /// Any world of theirs: for rules, and for reading messages.
    world: World,
}

impl Cast {
    pub(crate) fn new(sites: usize, facts: Vec<Fact>) -> Self {
        Self { sites, facts, known: HashMap::new(), errands: HashMap::new(), situations: 0, world: world(sites) }
    }

    pub(crate) fn site(number: usize) -> SiteId {
        NAMES[number].parse().expect("a site's name")
    }

    pub(crate) fn origin(&self, event: usize) -> usize {
        NAMES.iter().position(|name| *name == self.facts[event].origin.as_str()).expect("one of them")
    }

    pub(crate) fn key(&self, event: usize) -> usize {
        usize::from(self.facts[event].key == "key-1")
    }

    /// Whether `one` comes after `other` in the order of all writes.
    pub(crate) fn later(&self, one: usize, other: usize) -> bool {
        self.facts[one].rank() > self.facts[other].rank()
    }

    /// What every store must hold in the end.
    pub(crate) fn winners(&self) -> [u8; KEYS] {
        let mut winners = [0; KEYS];
        for (event, number) in (0..EVENTS).zip(1..) {
            let held = &mut winners[self.key(event)];
            if *held == 0 || self.later(event, usize::from(*held) - 1) {
                *held = number;
            }
        }
        winners
    }

    pub(crate) fn situations(&self) -> usize {
        self.situations
    }

    /// What the real worker does with a batch, whatever goes wrong: killed at each await in turn, and at last not at all.
    pub(crate) fn outcomes(&mut self, delivered: Delivered) -> &Outcomes {
        if !self.known.contains_key(&delivered) {
            let (calm, _) = self.run(&delivered, CALM, u64::MAX);
            let mut mishaps: Vec<Effects> = Vec::new();
            for mishap in Mishap::all(self.sites, &delivered) {
                self.situations += 1;
                for polls in 0.. {
                    let (effects, survived) = self.run(&delivered, mishap, polls);
                    if effects != calm && !mishaps.contains(&effects) {
                        mishaps.push(effects);
                    }
                    if survived {
                        break;
                    }
                }
            }
            self.known.insert(delivered, Outcomes { calm, mishaps });
        }
        &self.known[&delivered]
    }

    fn run(&self, delivered: &Delivered, mishap: Mishap, polls: u64) -> (Effects, bool) {
        let world = world(self.sites);
        let site = world.numbered(delivered.site);
        let time = world.clock.now();
        for held in delivered.held.iter().filter(|held| **held > 0) {
            let event = envelope::decode(&self.facts[usize::from(*held) - 1].body, "/id").expect("a good event");
            let record = Record::new(&event, &site.id, time, world.options.policy.tombstone_life);
            world.clock.drive(site.store.put_if_newer(&record)).expect("memory");
        }
        let times = if mishap.twice { 2 } else { 1 };
        let batch = (0..EVENTS).filter(|event| delivered.batch & 1 << event != 0);
        let messages: Vec<Message> = batch.flat_map(|event| vec![self.message(event, mishap.last); times]).collect();
        world.clock.drive(site.queue.send(&messages));
        let kind = match mishap.store {
            StoreFault::None => None,
            StoreFault::Down => Some(FailureKind::Unavailable),
            StoreFault::Refuses => Some(FailureKind::Rejected { detail: "for the model".to_owned() }),
        };
        if let Some(kind) = kind {
            site.writes.add(FaultRule { count: None, ..FaultRule::once(Operation::PutIfNewer, Fault::Before(kind)) });
        }
        for peer in world.sites.values().filter(|peer| mishap.dark & 1 << peer.number != 0) {
            peer.inbound.add(FaultRule::always(Fault::Before(FailureKind::Unavailable)));
        }
        let survived = world.clock.drive(Mortal::new(work(&world, delivered.site), polls)).is_some();
        (self.look(&world, delivered), survived)
    }

    fn message(&self, event: usize, last: bool) -> Message {
        let mut properties = Properties::new();
        Marks { forwarded_by: Some(self.facts[event].origin.clone()), ..Marks::default() }.write(&mut properties);
        if last {
            // A copy whose forerunner was delivered once; two attempts are all there are.
            for (name, value) in [(property::ATTEMPT, "1"), (property::COPY_OF, "m")] {
                properties.insert(name.to_owned(), value.to_owned());
            }
        }
        Message { id: event.to_string(), body: self.facts[event].body.clone(), properties }
    }

    fn look(&self, world: &World, delivered: &Delivered) -> Effects {
        let event_of =
            |body: &bytes::Bytes| self.facts.iter().position(|fact| fact.body == *body).expect("one of them");
        let mut effects = Effects { held: [0; KEYS], sent: [0; SITES], letters: [0; EVENTS], removed: delivered.batch };
        for site in world.sites.values() {
            for (body, _) in site.queue.snapshot() {
                let event = event_of(&body);
                if site.number == delivered.site {
                    effects.removed &= !(1 << event);
                } else {
                    effects.sent[site.number] |= 1 << event;
                }
            }
        }
        let site = world.numbered(delivered.site);
        for record in site.store.snapshot().values() {
            let event = self.facts.iter().position(|fact| fact.is_in(record)).expect("one of them");
            effects.held[self.key(event)] = u8::try_from(event + 1).expect("few events");
        }
        for (body, properties) in site.letters.snapshot() {
            let owed = properties.get(property::OWED).map_or("", String::as_str);
            let owed = NAMES.iter().enumerate().filter(|(_, name)| owed.split(',').any(|one| one == **name));
            let owed: u8 = owed.map(|(site, _)| 1 << site).sum();
            assert!(owed != 0, "a good event is owed to somebody");
            effects.letters[event_of(&body)] |= owed;
        }
        effects
    }

    /// The states that a replay of one message can lead to, by any target. `without` takes the message away.
    pub(crate) fn replays(
        &mut self,
        state: &State,
        site: usize,
        event: usize,
        owed: Option<u8>,
        without: impl Fn(&mut State),
    ) -> Vec<State> {
        let mut next = Vec::new();
        let sites = (0..self.sites).flat_map(|to| [Some((to, Way::Queue)), Some((to, Way::Store))]);
        for to in sites.chain([None]) {
            let (run, unpaid) = self.errands(site, event, owed, to);
            for done in 0..1_u8 << run.len() {
                let mut after = *state;
                for (_, (to, way)) in run.iter().enumerate().filter(|(at, _)| done & 1 << at != 0) {
                    self.pay(&mut after, event, *to, *way);
                }
                if let Some(mishaps) = state.mishaps.checked_sub(1) {
                    next.push(State { mishaps, ..after });
                }
                // What goes into the queue that it is taken from lies there before and after.
                let stays = unpaid || run.is_empty() || (owed.is_none() && run.contains(&(site, Way::Queue)));
                if usize::try_from(done.count_ones()) == Ok(run.len()) && !stays {
                    without(&mut after);
                    next.push(after);
                }
            }
        }
        next
    }

    /// The state after a whole `replay --to owed` of one letter.
    pub(crate) fn replay_owed(
        &mut self,
        state: &State,
        site: usize,
        event: usize,
        owed: u8,
        without: impl Fn(&mut State),
    ) -> Option<State> {
        let (run, unpaid) = self.errands(site, event, Some(owed), None);
        let mut after = *state;
        for (to, way) in run {
            self.pay(&mut after, event, to, way);
        }
        without(&mut after);
        (!unpaid).then_some(after)
    }

    /// What the core would have a replay do, and whether somebody stays unpaid.
    fn errands(&mut self, site: usize, event: usize, owed: Option<u8>, to: Destination) -> Errands {
        let key = (site, event, owed, to);
        if !self.errands.contains_key(&key) {
            let errands = self.ask(site, event, owed, to);
            self.errands.insert(key, errands);
        }
        self.errands[&key].clone()
    }

    fn ask(&self, site: usize, event: usize, owed: Option<u8>, to: Destination) -> Errands {
        let target = match to {
            None => Target::Owed,
            Some((to, Way::Queue)) => Target::Queue(Self::site(to)),
            Some((to, Way::Store)) => Target::Store(Self::site(to)),
        };
        let mut properties = Properties::new();
        let (source, holds) = match owed {
            None => {
                Marks::default().forwarded(&self.facts[event].origin).write(&mut properties);
                (Source::Queue(Self::site(site)), Holds::Events)
            }
            Some(owed) => {
                let names = NAMES.iter().enumerate().filter(|(site, _)| owed & 1 << site != 0).map(|(_, name)| *name);
                properties.insert(property::OWED.to_owned(), names.collect::<Vec<_>>().join(","));
                (Source::DeadLetters(Self::site(site)), Holds::Letters)
            }
        };
        let body = self.facts[event].body.clone();
        let delivery = Delivery {
            receipt: Receipt(String::new()),
            message_id: event.to_string(),
            attempt: 1,
            first_seen: None,
            body: body.clone(),
            properties,
        };
        let rules = &self.world.workers[&Self::site(site)].rules;
        let subject = Subject::read(&delivery, Ok(body), holds, false, rules, "/id", self.world.clock.now());
        let event = subject.event.as_ref().expect("a good event");
        let errands = errands(&source, &target, &subject, event, &rules.sites);
        let number = |site: &SiteId| NAMES.iter().position(|name| *name == site.as_str()).expect("one of them");
        (errands.run.iter().map(|errand| (number(&errand.site), errand.way)).collect(), !errands.unpaid.is_empty())
    }

    fn pay(&self, state: &mut State, event: usize, to: usize, way: Way) {
        match way {
            Way::Queue => state.queue[to] |= 1 << event,
            Way::Store => {
                let held = &mut state.held[to][self.key(event)];
                if *held == 0 || self.later(event, usize::from(*held) - 1) {
                    *held = u8::try_from(event + 1).expect("few events");
                }
            }
        }
    }
}

/// One batch of all that lies in a site's queue.
async fn work(world: &World, site: usize) {
    let site = world.numbered(site);
    let worker = world.hire(site, "model");
    let actor = Actor::Worker(site.number);
    let queue = world.queue(site, Kind::Queue, actor, "model");
    let letters = world.queue(site, Kind::Letters, actor, "model");
    let batch = queue.receive(10, Duration::ZERO).await.unwrap_or_default();
    work_off(&worker, &*queue, &*letters, &batch).await;
}

fn world(sites: usize) -> World {
    let mut policy = policy();
    (policy.attempts_max, policy.peer_attempts_max) = (2, 1);
    World::new(Options {
        seed: 1,
        sites: (0..sites).map(Cast::site).collect(),
        policy,
        rule: Rule::Bridge,
        traffic: Traffic::Counted { calls: Arc::new(AtomicU64::new(0)), twice: u64::MAX },
        duplicates: 0.0,
        traced: false,
    })
}
