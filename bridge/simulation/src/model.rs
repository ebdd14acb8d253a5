//! The model check: every order in which messages can be delivered, delivered again, cut short by a crash at any await, set
//! aside by any failure and replayed, for two and three sites, two keys and three events. Breadth first, all states counted.
//!
//! What a delivery does is not modelled: the real worker does it, once for each situation it can be in, killed at each
//! await. What is modelled is only what lies where. A message that lies somewhere twice counts once, as a crash before its
//! removal delivers it again anyway; several letters of one event at one site count as one that is owed to all of theirs.
//! What goes wrong is bounded by a number of mishaps, in any places: without a bound the states are too many to count.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    events::Fact,
    model_step::{Cast, Delivered, Effects},
    world::START,
};

/// Sites, keys and events of a model at most.
pub(crate) const SITES: usize = 3;
pub(crate) const KEYS: usize = 2;
pub(crate) const EVENTS: usize = 3;

/// States that a check goes through at most: more would be a mistake of this module.
const STATES_MAX: usize = 5_000_000;

/// Steps in which a state must come to rest when nothing goes wrong any more.
const CALM_MAX: usize = 100;

/// Events as bits.
pub(crate) type Events = u8;

/// What lies where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// What each site's store holds of each key: an event's number, from 1, or 0.
    pub(crate) held: [[u8; KEYS]; SITES],
    /// What lies in each site's queue.
    pub(crate) queue: [Events; SITES],
    /// Who is owed each event by a letter at each site, a bit for each site that is owed.
    pub(crate) letters: [[u8; EVENTS]; SITES],
    /// How much may still go wrong.
    pub(crate) mishaps: u8,
}

impl State {
    /// The state in one number: two bits for what a store holds of a key, one for each event in a queue and for each site
    /// that a letter is owed to. Millions of states are known at once.
    fn pack(&self) -> u64 {
        let held = self.held.iter().flatten().map(|held| (u64::from(*held), 2));
        let queue = self.queue.iter().map(|events| (u64::from(*events), EVENTS));
        let letters = self.letters.iter().flatten().map(|owed| (u64::from(*owed), SITES));
        held.chain(queue).chain(letters).fold(u64::from(self.mishaps), |packed, (value, bits)| packed << bits | value)
    }
}

/// The story that is checked: how many sites, and what is written.
#[derive(Clone, Debug)]
pub struct Story {
    /// How many sites.
    pub sites: usize,
    /// How often something may go wrong: a crash, a failure of the store or of peers, a message delivered twice.
    pub mishaps: u8,
    /// Each event: the site that accepts it, what it does, the key, and the second of its stamp.
    pub events: [(usize, &'static str, usize, i64); EVENTS],
    /// Whether the second one has the name of the first: it is the same event with another content.
    pub anew: bool,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Ways from one to another.
    pub steps: u64,
    /// Situations in which the real worker was run, each killed at every await.
    pub situations: usize,
    /// States in which nothing lies anywhere any more; in all of them the stores agree.
    pub rests: usize,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, situations, rests } = self;
        write!(f, "{states} states, {steps} steps, {rests} at rest; the worker was run in {situations} situations")
    }
}

/// Stories in which something is at stake: ties between sites, a late create behind a delete, two contents of one event, all
/// at one key.
pub fn stories() -> Vec<Story> {
    let two = |events| Story { sites: 2, mishaps: 2, events, anew: false };
    vec![
        two([(0, "create", 0, 1), (1, "delete", 0, 2), (0, "upsert", 1, 1)]),
        two([(0, "upsert", 0, 1), (1, "upsert", 0, 1), (1, "create", 1, 1)]),
        two([(0, "create", 0, 1), (0, "delete", 0, 2), (1, "update", 0, 2)]),
        two([(0, "delete", 0, 1), (1, "delete", 0, 1), (0, "create", 0, 1)]),
        Story { anew: true, ..two([(0, "upsert", 0, 1), (0, "delete", 0, 1), (1, "update", 0, 1)]) },
        Story { anew: true, ..two([(0, "upsert", 0, 1), (0, "upsert", 0, 1), (0, "create", 1, 1)]) },
        Story { sites: 3, mishaps: 1, ..two([(0, "create", 0, 1), (1, "delete", 0, 1), (2, "upsert", 1, 1)]) },
    ]
}

/// Goes through all states of a story.
///
/// # Errors
/// The first state in which a rule is broken, and the way there.
pub fn explore(story: &Story) -> Result<Explored, String> {
    let start: DateTime<Utc> = START.parse().expect("a time");
    let facts = story.events.iter().zip(1..).map(|((site, op, key, second), number): (_, usize)| {
        let at = start + TimeDelta::seconds(*second);
        let origin = Cast::site(*site);
        let id = Uuid::from_u128(if story.anew && number == 2 { 1 } else { number as u128 });
        Fact::new(number, id, &origin, &format!("key-{key}"), op, at, &at.to_rfc3339())
    });
    let cast = Cast::new(story.sites, facts.collect());
    let mishaps = story.mishaps;
    Search {
        cast,
        mishaps,
        from: HashMap::new(),
        todo: VecDeque::new(),
        good: HashSet::new(),
        explored: Explored::default(),
    }
    .run()
}

struct Search {
    cast: Cast,
    mishaps: u8,
    /// Each known state, with the one it was first reached from.
    from: HashMap<u64, Option<State>>,
    todo: VecDeque<State>,
    /// States from which it is known that a calm leads to rest.
    good: HashSet<u64>,
    explored: Explored,
}

impl Search {
    fn run(mut self) -> Result<Explored, String> {
        let mut first = State { mishaps: self.mishaps, ..State::default() };
        for event in 0..EVENTS {
            first.queue[self.cast.origin(event)] |= 1 << event;
        }
        self.meet(first, None)?;
        while let Some(state) = self.todo.pop_front() {
            for next in self.deliveries(&state).into_iter().chain(self.replays(&state)) {
                self.explored.steps += 1;
                self.only_up(&state, &next)?;
                self.meet(next, Some(state))?;
            }
            self.comes_to_rest(state)?;
        }
        self.explored.states = self.from.len();
        self.explored.situations = self.cast.situations();
        Ok(self.explored)
    }

    fn meet(&mut self, state: State, from: Option<State>) -> Result<(), String> {
        if self.from.contains_key(&state.pack()) {
            return Ok(());
        }
        self.from.insert(state.pack(), from);
        assert!(self.from.len() <= STATES_MAX, "more states than there can be");
        for event in 0..EVENTS {
            if let Some(site) = (0..self.cast.sites).find(|site| !self.will_have(&state, event, *site)) {
                return Err(self.tell(&state, &format!("site {site} will never have event {}", event + 1)));
            }
        }
        if state.queue == [0; SITES] && state.letters == [[0; EVENTS]; SITES] {
            self.explored.rests += 1;
            let last = self.cast.winners();
            if let Some(site) = (0..self.cast.sites).find(|site| state.held[*site] != last) {
                return Err(self.tell(&state, &format!("at rest, and site {site} does not hold {last:?}")));
            }
        }
        self.todo.push_back(state);
        Ok(())
    }

    /// Whether the event or a later write of its key is in the site's store, or will come there.
    fn will_have(&self, state: &State, event: usize, site: usize) -> bool {
        let key = self.cast.key(event);
        let held = state.held[site][key];
        if held > 0 && !self.cast.later(event, usize::from(held) - 1) {
            return true;
        }
        let as_good = (0..EVENTS).filter(|other| self.cast.key(*other) == key && !self.cast.later(event, *other));
        as_good.into_iter().any(|other| {
            let waits = state.queue[site] & 1 << other != 0 || state.queue[self.cast.origin(other)] & 1 << other != 0;
            let owed = (0..self.cast.sites).any(|at| state.letters[at][other] & 1 << site != 0);
            waits || owed
        })
    }

    fn only_up(&self, before: &State, after: &State) -> Result<(), String> {
        for (site, (before_held, after_held)) in before.held.iter().zip(&after.held).enumerate() {
            for (old, new) in before_held.iter().zip(after_held) {
                let fell = *old > 0 && (*new == 0 || self.cast.later(usize::from(*old) - 1, usize::from(*new) - 1));
                if fell {
                    return Err(self.tell(before, &format!("then site {site} went back from {old} to {new}")));
                }
            }
        }
        Ok(())
    }

    /// Every batch of what lies in a queue, whatever the store and the peers answer, killed anywhere or not.
    fn deliveries(&mut self, state: &State) -> Vec<State> {
        let mut next = Vec::new();
        for site in 0..self.cast.sites {
            for batch in (1..1_u8 << EVENTS).filter(|batch| batch & !state.queue[site] == 0) {
                let outcomes = self.cast.outcomes(Delivered { site, batch, held: state.held[site] });
                next.push(apply(state, site, &outcomes.calm));
                if let Some(mishaps) = state.mishaps.checked_sub(1) {
                    let state = State { mishaps, ..*state };
                    next.extend(outcomes.mishaps.iter().map(|effects| apply(&state, site, effects)));
                }
            }
        }
        next
    }

    /// Every replay of one message, of which some errands are confirmed, or all and the message is removed.
    fn replays(&mut self, state: &State) -> Vec<State> {
        let mut next = Vec::new();
        for site in 0..self.cast.sites {
            for event in 0..EVENTS {
                let letters = state.letters[site][event];
                for owed in (1..1_u8 << SITES).filter(|owed| owed & !letters == 0) {
                    let without = |state: &mut State| state.letters[site][event] &= !owed;
                    next.extend(self.cast.replays(state, site, event, Some(owed), without));
                }
                if state.queue[site] & 1 << event != 0 {
                    let without = |state: &mut State| state.queue[site] &= !(1 << event);
                    next.extend(self.cast.replays(state, site, event, None, without));
                }
            }
        }
        next
    }

    /// When nothing goes wrong any more, everything comes to rest.
    fn comes_to_rest(&mut self, state: State) -> Result<(), String> {
        let mut way = vec![state];
        loop {
            let now = way[way.len() - 1];
            if self.good.contains(&now.pack()) {
                break;
            }
            let Some(next) = self.calm(&now) else { break };
            if way.len() > CALM_MAX {
                return Err(self.tell(&state, "it never comes to rest"));
            }
            way.push(next);
        }
        self.good.extend(way.iter().map(State::pack));
        Ok(())
    }

    fn calm(&mut self, state: &State) -> Option<State> {
        if let Some(site) = (0..self.cast.sites).find(|site| state.queue[*site] != 0) {
            let delivered = Delivered { site, batch: state.queue[site], held: state.held[site] };
            return Some(apply(state, site, &self.cast.outcomes(delivered).calm));
        }
        for site in 0..self.cast.sites {
            if let Some(event) = (0..EVENTS).find(|event| state.letters[site][*event] != 0) {
                let owed = state.letters[site][event];
                return self.cast.replay_owed(state, site, event, owed, |state| state.letters[site][event] = 0);
            }
        }
        None
    }

    /// The way to a state, for the one who must mend it.
    fn tell(&self, state: &State, what: &str) -> String {
        let mut way = vec![*state];
        while let Some(Some(before)) = self.from.get(&way[way.len() - 1].pack()) {
            way.push(*before);
        }
        let way: Vec<String> = way.iter().rev().map(|state| format!("{state:?}")).collect();
        format!("{what}\n{}", way.join("\n"))
    }
}

fn apply(state: &State, site: usize, effects: &Effects) -> State {
    let mut next = *state;
    next.held[site] = effects.held;
    next.queue[site] &= !effects.removed;
    for (queue, sent) in next.queue.iter_mut().zip(effects.sent) {
        *queue |= sent;
    }
    for (letters, written) in next.letters[site].iter_mut().zip(effects.letters) {
        *letters |= written;
    }
    next
}
