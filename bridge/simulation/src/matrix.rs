//! The crash matrix: a batch and a replay, stopped at every await and with every call made twice, must end as they do
//! undisturbed. Nothing here is left to chance.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bridge_adapters::layer::{Fault, Rule as FaultRule};
use bridge_core::{
    carry_out::work_off,
    event::SiteId,
    failure::FailureKind,
    limits::REFUSED_KEYS_MAX,
    marks::Marks,
    port::{Message, Properties, Queue},
    reserved::RESERVED,
};
use bridge_ops::replay::{
    pace::Pace,
    route::{Source, Target},
};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    books::{Actor, Kind, Place},
    checkers::at_the_end,
    events::{Anew, Fact},
    executor::Mortal,
    host::HostKind,
    operator::{self, Kept},
    run::calm,
    wire::Traffic,
    world::{Options, Rule, START, World, policy},
};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

/// Awaits and calls that a case may have at most; a case without an end would be a mistake of this module.
const STEPS_MAX: u64 = 10_000;

/// More keys than a store may refuse one after the other.
const KEYS: [&str; 12] = ["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11", "k12"];
const _: () = assert!(KEYS.len() > REFUSED_KEYS_MAX);

/// Messages of a batch.
const BATCH: usize = KEYS.len();

/// What is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// A batch of every kind of event, worked off where it was written, then what came of it at the peer.
    Batch,
    /// The same while the peer is dark: letters are written.
    PeerDark,
    /// `replay --from SITE/dlq --to owed` of those letters.
    ReplayOwed,
    /// `replay --from SITE/queue --to PEER/store`: the site's compute is gone, its queue is not.
    ReplayQueue,
    /// A batch of more keys than a store may refuse one after the other, and a store that refuses all.
    WrongStore,
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Batch, Self::PeerDark, Self::ReplayOwed, Self::ReplayQueue, Self::WrongStore];
}

/// What is done to a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    None,
    /// Dropped before this poll, as a process is killed.
    Killed(u64),
    /// This call is made twice.
    Twice(u64),
}

/// How much a matrix tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Awaits at which the case was killed.
    pub kills: u64,
    /// Calls that were made twice.
    pub repeats: u64,
}

/// All that counts in the end: what each store holds of each key, and which letters lie where, for which reason. A second
/// letter of one event is no harm.
type Left = BTreeMap<SiteId, (BTreeMap<String, String>, BTreeSet<(Vec<u8>, String)>)>;

/// Disturbs a case in every way.
///
/// # Errors
/// The disturbance after which it ended differently, or broke a rule.
pub fn disturb(case: Case) -> Result<Tried, String> {
    let (undisturbed, _, calls) = play(case, Disturbance::None)?;
    let mut tried = Tried::default();
    let compare = |disturbance: Disturbance| {
        let (left, survived, _) = play(case, disturbance)?;
        if left != undisturbed {
            return Err(format!("{case:?} {disturbance:?}: ended as {left:#?}, undisturbed as {undisturbed:#?}"));
        }
        Ok(survived)
    };
    for call in 0..calls {
        compare(Disturbance::Twice(call))?;
        tried.repeats += 1;
    }
    while !compare(Disturbance::Killed(tried.kills))? {
        tried.kills += 1;
        assert!(tried.kills < STEPS_MAX, "{case:?} never ends");
    }
    Ok(tried)
}

/// Plays a case with one disturbance, then lets all come to rest; answers what is left, whether the case came to its own
/// end, and how many calls it made.
fn play(case: Case, disturbance: Disturbance) -> Result<(Left, bool, u64), String> {
    let calls = Arc::new(AtomicU64::new(0));
    let twice = if let Disturbance::Twice(call) = disturbance { call } else { u64::MAX };
    let world = World::new(Options {
        seed: 1,
        sites: [HERE, THERE].map(|name| name.parse().expect("a site's name")).to_vec(),
        policy: policy(),
        rule: Rule::Bridge,
        traffic: Traffic::Counted { calls: Arc::clone(&calls), twice },
        duplicates: 0.0,
        traced: false,
    });
    let filling = if case == Case::WrongStore { fill_with_keys } else { fill };
    filling(&world);
    if case == Case::ReplayOwed {
        // The letters are not what is disturbed here: calls are counted from the replay on.
        calls.store(u64::MAX / 2, Ordering::Relaxed);
        dark(&world);
        world.clock.drive(work(&world, HERE));
        world.site(THERE).inbound.clear();
        calls.store(0, Ordering::Relaxed);
    }
    let polls = if let Disturbance::Killed(polls) = disturbance { polls } else { u64::MAX };
    let survived = world.clock.drive(Mortal::new(live(&world, case), polls)).is_some();
    let made = calls.swap(u64::MAX / 2, Ordering::Relaxed);
    let aside = || world.site(HERE).letters.snapshot().into_iter().map(|(body, _)| body).collect::<BTreeSet<_>>();
    if case == Case::WrongStore && aside().len() >= REFUSED_KEYS_MAX {
        return Err(format!(
            "{case:?} {disturbance:?}: every event became a letter, though the store is what is wrong"
        ));
    }
    world.site(THERE).inbound.clear();
    world.site(HERE).writes.clear();
    // What the dead had in its hands comes back when its leases end.
    world.clock.advance(Duration::from_mins(1));
    calm(&world, &[HostKind::Container; 2], 10, false);
    at_the_end(&world);
    match world.books.open().violations.first() {
        Some(violation) => Err(format!("{case:?} {disturbance:?}: {violation}")),
        None => Ok((left(&world), survived, made)),
    }
}

/// The case itself.
async fn live(world: &World, case: Case) {
    let site = |name: &str| name.parse::<SiteId>().expect("a site's name");
    match case {
        Case::Batch => {
            work(world, HERE).await;
            work(world, THERE).await;
        }
        Case::PeerDark => {
            dark(world);
            work(world, HERE).await;
        }
        Case::WrongStore => {
            let kind = FailureKind::Rejected { detail: "no record fits in".to_owned() };
            world.site(HERE).writes.add(FaultRule::always(Fault::Before(kind)));
            work(world, HERE).await;
            work(world, THERE).await;
        }
        Case::ReplayOwed => replay(world, Source::DeadLetters(site(HERE)), Target::Owed).await,
        Case::ReplayQueue => replay(world, Source::Queue(site(HERE)), Target::Store(site(THERE))).await,
    }
}

/// One batch, by a worker of its own.
async fn work(world: &World, name: &str) {
    let site = world.site(name);
    let worker = world.hire(site, "matrix");
    let actor = Actor::Worker(site.number);
    let queue = world.queue(site, Kind::Queue, actor, "matrix");
    let letters = world.queue(site, Kind::Letters, actor, "matrix");
    let batch = queue.receive(BATCH, Duration::ZERO).await.unwrap_or_default();
    work_off(&worker, &*queue, &*letters, &batch).await;
}

async fn replay(world: &World, from: Source, to: Target) {
    let setting = operator::setting(world, from, to, "matrix");
    if let Ok(entries) = operator::plan(&setting).await {
        operator::run(&setting, &entries, &Kept::default(), Pace::new(None)).await;
    }
}

fn dark(world: &World) {
    world.site(THERE).inbound.add(FaultRule::always(Fault::Before(FailureKind::Unavailable)));
}

/// One of each: a create and its delete, two updates of which one loses, a tie with the peer, a peer's event, one event
/// with two contents, no event.
fn fill(world: &World) {
    let start: DateTime<Utc> = START.parse().expect("a time");
    let events = [
        (HERE, "create", "a", 1),
        (HERE, "delete", "a", 2),
        (HERE, "update", "b", 3),
        (HERE, "update", "b", 1),
        (HERE, "upsert", "c", 2),
        (THERE, "upsert", "c", 2),
        (THERE, "delete", "d", 1),
    ];
    for (number, (origin, op, key, second)) in (1..).zip(events) {
        let at = start + TimeDelta::seconds(second);
        let id = Uuid::from_u128(number as u128);
        let origin: SiteId = origin.parse().expect("a site's name");
        put(world, HERE, &Fact::new(number, id, &origin, key, op, at, &at.to_rfc3339()));
    }
    // The peer has its own two already, as their origin would.
    for number in [6, 7] {
        let fact = world.books.open().facts[number - 1].clone();
        lay(world, THERE, &fact);
    }
    let at = start + TimeDelta::seconds(4);
    let first =
        Fact::new(8, Uuid::from_u128(8), &HERE.parse().expect("a site's name"), "e", "upsert", at, &at.to_rfc3339());
    let second = first.anew(9, Anew { op: "delete", other_row: false }).expect("another content");
    put(world, HERE, &first);
    put(world, HERE, &second);
    let mut flawed = world.books.open().facts[0].clone();
    (flawed.number, flawed.id) = (10, Uuid::from_u128(10));
    (flawed.body, flawed.refused) = (r#"{"event_id": "nonsense"}"#.into(), Some("invalid_event"));
    put(world, HERE, &flawed);
}

/// A batch of one event for each of its keys.
fn fill_with_keys(world: &World) {
    let start: DateTime<Utc> = START.parse().expect("a time");
    let origin: SiteId = HERE.parse().expect("a site's name");
    for (number, key) in (1..).zip(KEYS) {
        let id = Uuid::from_u128(number as u128);
        put(world, HERE, &Fact::new(number, id, &origin, key, "upsert", start, &start.to_rfc3339()));
    }
}

fn put(world: &World, name: &str, fact: &Fact) {
    world.books.write(fact.clone());
    lay(world, name, fact);
}

/// At a site that is not its origin it comes as its origin's forward.
fn lay(world: &World, name: &str, fact: &Fact) {
    let site = world.site(name);
    let mut properties = Properties::new();
    if fact.origin != site.id {
        Marks { forwarded_by: Some(fact.origin.clone()), ..Marks::default() }.write(&mut properties);
    }
    let message = Message { id: "from outside".to_owned(), body: fact.body.clone(), properties };
    world.clock.drive(site.queue.send(std::slice::from_ref(&message)));
    let place = Place { site: site.number, kind: Kind::Queue };
    world.books.accepted(place, Actor::Application, &message);
}

fn left(world: &World) -> Left {
    let of = |site: &crate::site::Site| {
        // A worker whose write failed may have asked the store to take a record of the bridge's own.
        let records = site.store.snapshot().into_iter().filter(|(key, _)| !key.as_str().starts_with(RESERVED));
        let records = records.map(|(key, record)| {
            (key.to_string(), format!("{} {} {:?}", record.version, record.op.as_str(), record.payload))
        });
        let letters = site.letters.snapshot().into_iter();
        let letters = letters
            .map(|(body, properties)| (body.to_vec(), properties.get("bridge_reason").cloned().unwrap_or_default()));
        (records.collect(), letters.collect())
    };
    world.sites.values().map(|site| (site.id.clone(), of(site))).collect()
}
