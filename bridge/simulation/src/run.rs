//! One seed from begin to end: the episodes of its scenario, then a calm in which everything must come to rest.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fmt,
    time::Duration,
};

use bridge_core::{
    event::SiteId,
    port::{Clock, Message, Properties},
    property,
};
use bridge_ops::replay::route::{Source, Target};
use bytes::Bytes;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    audit,
    books::{Actor, Kind},
    checkers::{Checker, Violation, at_the_end},
    compare,
    events::{Draft, Fact},
    executor::{Executor, Stop},
    faults,
    holdings::Holdings,
    host::{self, HostKind, Manner},
    operator, readings,
    scenario::{Episode, Replay, Scenario},
    seed::stream,
    site::Site,
    world::{Rule, World},
};

/// By when after the last fault all must be at rest, in virtual time: several full retries, leases and pauses of circuits,
/// some replays, and half of the longest outage, for which a message hides that no letter holds.
const CALM_MAX: Duration = Duration::from_mins(80);

/// What is simulated, beside the seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// How many sites; as the seed has it if none.
    pub sites: Option<usize>,
    /// By which rule stores write.
    pub rule: Rule,
    /// Whether a trace is kept. It changes nothing else.
    pub traced: bool,
}

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was found wrong, in the order of finding.
    pub violations: Vec<Violation>,
    /// What happened, if it was to be kept: the scenario, then a line for each thing.
    pub trace: Vec<String>,
    /// How much happened.
    pub counts: Counts,
}

/// How much happened in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Its sites.
    pub sites: usize,
    /// Events that applications wrote.
    pub events: usize,
    /// Messages that queues gave away.
    pub deliveries: u64,
    /// Virtual time that passed.
    pub elapsed: Duration,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sites, events, deliveries, elapsed } = self;
        write!(f, "{sites} sites, {events} events, {deliveries} deliveries, {} s of virtual time", elapsed.as_secs())
    }
}

/// Runs the world of `seed`.
pub fn simulate(seed: u64, settings: Settings) -> Outcome {
    let scenario = Scenario::of(seed, settings.sites, settings.rule, settings.traced);
    let world = World::new(scenario.options.clone());
    world.books.open().expect_of_workers(&scenario);
    for (number, episode) in scenario.episodes.iter().enumerate() {
        play(&world, &scenario, number, episode);
        world.clock.advance(episode.night);
    }
    calm(&world, &scenario.hosts, scenario.batch, scenario.auto);
    at_the_end(&world);
    if let Some(refill) = scenario.refill.as_ref().filter(|_| world.is_sound()) {
        play(&world, &scenario, scenario.episodes.len(), refill);
        calm(&world, &scenario.hosts, scenario.batch, scenario.auto);
        at_the_end(&world);
    }
    if let Some(audit) = scenario.audit.as_ref().filter(|_| world.is_sound()) {
        audit::run(&world, audit);
    }
    let mut books = world.books.open();
    let trace = books.trace.take();
    Outcome {
        seed,
        violations: std::mem::take(&mut books.violations),
        trace: if settings.traced {
            scenario.to_string().lines().map(str::to_owned).chain(trace).collect()
        } else {
            Vec::new()
        },
        counts: Counts {
            sites: world.sites.len(),
            events: books.facts.len(),
            deliveries: books.delivered.values().sum(),
            elapsed: world.clock.elapsed(),
        },
    }
}

/// Plays an episode until everything in it has happened, and kills whoever still works.
fn play(world: &World, scenario: &Scenario, number: usize, episode: &Episode) {
    let rng = |name: &str| stream(world.options.seed, &format!("{name} of episode {number}"));
    world.books.open().calm = false;
    if let Some(fill) = &episode.fill {
        world.empty(&fill.to);
    }
    let left = Cell::new(0_usize);
    let active = RefCell::new(BTreeSet::new());
    let mut executor = Executor::new(world.clock.clone(), rng("order"));
    for site in world.sites.values() {
        let (kind, name) = (scenario.hosts[site.number], number.to_string());
        let manner = Manner { kind, batch: scenario.batch, auto: scenario.auto };
        executor.spawn(async move { host::serve(world, site, manner, episode.life, &name).await });
    }
    let mut ids = rng("names");
    for draft in &episode.drafts {
        let id = Uuid::from_u128(ids.u128(..));
        executor.spawn(count(&left, apply(world, draft, id)));
    }
    for at in 0..episode.spells.len() {
        let active = &active;
        executor.spawn(count(&left, async move {
            let spell = &episode.spells[at];
            world.clock.sleep(spell.after).await;
            world.books.note(|| format!("begins: {spell}"));
            active.borrow_mut().insert(at);
            faults::set(world, &episode.spells, &active.borrow());
            world.clock.sleep(spell.lasts).await;
            world.books.note(|| format!("ends: {spell}"));
            active.borrow_mut().remove(&at);
            faults::set(world, &episode.spells, &active.borrow());
        }));
    }
    for step in &episode.steps {
        executor.spawn(count(&left, async move {
            world.clock.sleep(step.after).await;
            let site = world.numbered(step.site);
            world.books.note(|| format!("the clock of {site} is set {} ms off", step.millis));
            site.clock.set(TimeDelta::milliseconds(step.millis));
        }));
    }
    for (at, replay) in episode.replays.iter().enumerate() {
        executor.spawn(count(&left, async move {
            world.clock.sleep(replay.after).await;
            operator::replay(world, replay, false, &format!("{number}.{at}")).await;
        }));
    }
    for (at, (after, repair)) in episode.verifies.iter().enumerate() {
        executor.spawn(count(&left, async move {
            world.clock.sleep(*after).await;
            compare::verify_meanwhile(world, *repair, &format!("{number}.{at}")).await;
        }));
    }
    if let Some(fill) = &episode.fill {
        executor.spawn(count(&left, async move {
            world.clock.sleep(fill.after).await;
            compare::backfill(world, &fill.from, &fill.to, &fill.killed, false).await;
        }));
    }
    // No task of its own: who looks changes nothing, the order of the others neither.
    let (begun, mut looks) = (world.clock.elapsed(), episode.looks.iter().peekable());
    let mut look = || {
        while looks.next_if(|after| world.clock.elapsed() >= begun + **after).is_some() {
            readings::read(world, &scenario.hosts);
        }
    };
    let done = || {
        look();
        left.get() == 0 || world.books.hopeless()
    };
    if executor.run(done) == Stop::Stuck {
        world.books.open().violate(Checker::Live, format!("episode {number} never ends"));
    }
    world.books.note(|| format!("episode {number} ends, whoever still works is killed"));
}

/// Counts a task that must come to its end, from now on.
#[allow(clippy::future_not_send, reason = "a world has one thread")]
fn count<'a>(left: &'a Cell<usize>, task: impl Future<Output = ()> + 'a) -> impl Future<Output = ()> + 'a {
    left.set(left.get() + 1);
    async move {
        task.await;
        left.set(left.get() - 1);
    }
}

/// An application writes an event, perhaps renders it anew for a second try, and perhaps sends the first one once more.
async fn apply(world: &World, draft: &Draft, id: Uuid) {
    world.clock.sleep(draft.after).await;
    let site = world.numbered(draft.site);
    let number = world.books.open().facts.len() + 1;
    let peer = world.numbered((draft.site + 1) % world.sites.len());
    let fact = draft.write(number, id, &site.id, &peer.id, site.clock.now());
    let message = |fact: &Fact| {
        let mut properties = Properties::new();
        fact.marks.write(&mut properties);
        Message { id: id.to_string(), body: fact.body.clone(), properties }
    };
    let first = message(&fact);
    world.books.write(fact.clone());
    send(world, site, &first).await;
    if let Some((pause, anew)) = draft.anew {
        world.clock.sleep(pause).await;
        let number = world.books.open().facts.len() + 1;
        if let Some(fact) = fact.anew(number, anew) {
            let second = message(&fact);
            world.books.write(fact);
            send(world, site, &second).await;
        }
    }
    if let Some((pause, elsewhere)) = draft.again {
        world.clock.sleep(pause).await;
        send(world, world.numbered(elsewhere), &first).await;
    }
}

/// An application is not what is tested: its queue takes what it sends.
async fn send(world: &World, site: &Site, message: &Message) {
    use bridge_core::port::Queue;
    let place = crate::books::Place { site: site.number, kind: Kind::Queue };
    let sent = site.queue.send(std::slice::from_ref(message)).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    world.books.accepted(place, Actor::Application, message);
}

/// Nothing goes wrong any more: the queues drain, what is owed is brought, the queues drain again. The operator brings what the workers do not
/// bring by themselves, which is all if they bring nothing (`auto`).
pub(crate) fn calm(world: &World, hosts: &[HostKind], batch: usize, auto: bool) {
    faults::set(world, &[], &BTreeSet::new());
    world.books.note(|| "calm".to_owned());
    world.books.open().calm = true;
    let begun = world.clock.elapsed();
    let rested = Cell::new(false);
    let late = || world.clock.elapsed() > begun + CALM_MAX;
    let mut executor = Executor::new(world.clock.clone(), stream(world.options.seed, "order of the calm"));
    for site in world.sites.values() {
        executor.spawn(host::serve(world, site, Manner { kind: hosts[site.number], batch, auto }, None, "calm"));
    }
    let rested = &rested;
    executor.spawn(async move {
        let mut round = 0;
        loop {
            while world.sites.values().any(|site| !site.queue.is_empty()) {
                world.clock.sleep(Duration::from_secs(1)).await;
            }
            let owing: Vec<&Site> = world.sites.values().filter(|site| owes(world, site)).collect();
            let needed = needed(world);
            if owing.is_empty() && needed.is_empty() {
                break rested.set(true);
            }
            // A round that brings nothing must not stop the time.
            world.clock.sleep(Duration::from_secs(1)).await;
            let owing = owing.into_iter().filter(|site| !auto || !goes_by_itself(world, site));
            for site in owing {
                let from = Source::DeadLetters(site.id.clone());
                operator::replay(world, &Replay::of(from, Target::Owed), !auto, &format!("calm.{round}")).await;
                round += 1;
            }
            for (site, bodies) in needed {
                operator::accept_old(world, site, &bodies, &format!("calm.{round}")).await;
                round += 1;
            }
        }
    });
    executor.run(|| rested.get() || late() || world.books.hopeless());
    drop(executor);
    readings::read(world, hosts);
    if !rested.get() && !world.books.hopeless() {
        let left = |site: &Site| format!("{site} {} + {} letters", site.queue.len(), site.letters.len());
        let left: Vec<String> = world.sites.values().map(left).collect();
        let what = format!("not at rest {} s after the last fault: {}", CALM_MAX.as_secs(), left.join(", "));
        world.books.open().violate(Checker::Live, what);
    }
}

/// Old events that an operator has to accept, by the site that has set them aside.
fn needed(world: &World) -> Vec<(&SiteId, Vec<Bytes>)> {
    let state = world.books.open();
    let holdings = Holdings::of(world, &state);
    let needed = world.sites.values().map(|site| (&site.id, holdings.needed(&state, site)));
    needed.filter(|(_, bodies)| !bodies.is_empty()).collect()
}

/// Whether somebody is owed an event by a letter of `site`, and may have it.
fn owes(world: &World, site: &Site) -> bool {
    !owing(world, site).is_empty()
}

/// Whether every letter of `site` that owes an event is of a reason that needs no operator. Written here anew, as a checker would.
fn goes_by_itself(world: &World, site: &Site) -> bool {
    let by_itself =
        |reason: &String| matches!(reason.as_str(), "peer_unavailable" | "retries_exhausted" | "store_away");
    owing(world, site).iter().all(|letter| letter.get(property::REASON).is_some_and(by_itself))
}

/// The properties of the letters of `site` that owe an event to somebody who may have it.
fn owing(world: &World, site: &Site) -> Vec<Properties> {
    let letters = site.letters.snapshot();
    let state = world.books.open();
    let may = |fact: usize| state.facts[fact].refused.is_none() && !state.is_old(fact, TimeDelta::zero());
    let good = |body: &Bytes| state.fact_of(body).is_none_or(may);
    let owes = |(body, properties): &(Bytes, Properties)| properties.contains_key(property::OWED) && good(body);
    letters.into_iter().filter(owes).map(|(_, properties)| properties).collect()
}
