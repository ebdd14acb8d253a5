//! Differences that somebody plants in stores that are at rest, and what the operator's verify, repair and backfill make of them. What each
//! must find and leave behind is computed here, from what was planted.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bridge_adapters::memory::MemoryStore;
use bridge_core::{
    event::{Change, Event, Key, Op, Payload, SiteId, Timestamp},
    limits,
    port::Clock,
    record::Record,
    reserved::RESERVED,
};
use bridge_ops::verify::{Kind, Options, Report};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fastrand::Rng;
use serde_json::json;
use uuid::Uuid;

use crate::{
    checkers::Checker,
    compare::{self, backfill, miscounted, options},
    executor::{Executor, Mortal},
    seed::{chance, pick, stream},
    site::Site,
    world::World,
};

/// What the operator does with stores that are at rest.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Keys that are written to all stores behind the bridge's back, some of them with a difference.
    pub keys: usize,
    /// Whether one store is filled from another, and not repaired.
    pub fills: bool,
    /// Polls after which the operator's runs are killed, one after the other; the last one is not.
    pub killed: Vec<u64>,
}

/// What a store has under a key.
#[derive(Clone, Debug)]
enum Item {
    Absent,
    Record(Record),
    /// No record of the bridge.
    Foreign,
}

/// A key as it was planted at each site, in the order of the sites' names.
struct Planted {
    key: Key,
    items: Vec<Item>,
    /// What is wrong with it.
    kind: Option<Kind>,
}

/// What is planted.
#[derive(Clone, Copy, Debug)]
enum Role {
    Same,
    Missing,
    Older,
    /// The same, and one is a tombstone whose life has ended.
    Resurrected,
    Foreign,
    Misfit,
    Ahead,
    /// A record that lives and is to expire, which only somebody else writes, and not everywhere.
    Expiring,
    /// A tombstone whose life has ended, and not everywhere.
    Ended,
}

const ROLES: [Role; 14] = [
    Role::Same,
    Role::Same,
    Role::Same,
    Role::Same,
    Role::Missing,
    Role::Missing,
    Role::Older,
    Role::Older,
    Role::Resurrected,
    Role::Foreign,
    Role::Misfit,
    Role::Ahead,
    Role::Expiring,
    Role::Ended,
];

/// Carries out an audit of a world that is at rest.
pub(crate) fn run(world: &World, audit: &Audit) {
    let done = Cell::new(false);
    let mut executor = Executor::new(world.clock.clone(), stream(world.options.seed, "order of the audit"));
    executor.spawn(async {
        let planted = plant(world, audit.keys);
        if audit.fills {
            fill(world, audit, &planted).await;
        } else {
            repair(world, audit, &planted).await;
        }
        done.set(true);
    });
    executor.run(|| done.get());
    if !done.get() {
        violate(world, Checker::Live, "the audit never ends".to_owned());
    }
}

fn violate(world: &World, checker: Checker, what: String) {
    world.books.open().violate(checker, what);
}

/// The stores, in the order of their sites' names.
fn shelves(world: &World) -> Vec<&MemoryStore> {
    world.sites.values().filter_map(|site| site.shelf.as_deref()).collect()
}

fn plant(world: &World, keys: usize) -> Vec<Planted> {
    let mut hand =
        Hand { rng: stream(world.options.seed, "audit"), sites: world.sites.keys().collect(), now: world.clock.now() };
    let planted: Vec<Planted> = (0..keys).map(|number| hand.draw(number)).collect();
    for Planted { key, items, .. } in &planted {
        for (shelf, item) in shelves(world).into_iter().zip(items) {
            match item {
                Item::Absent => {}
                Item::Record(record) => shelf.overwrite(record.clone()),
                Item::Foreign => shelf.spoil(key, "version", "it is somebody else's"),
            }
        }
    }
    world.books.note(|| {
        let told = planted.iter().filter_map(|one| Some(format!("{} {}", one.key, one.kind?.as_str())));
        format!("somebody plants {keys} keys: {}", told.collect::<Vec<_>>().join(", "))
    });
    planted
}

/// Draws what is planted.
struct Hand<'a> {
    rng: Rng,
    sites: Vec<&'a SiteId>,
    now: DateTime<Utc>,
}

impl Hand<'_> {
    fn draw(&mut self, number: usize) -> Planted {
        let key: Key = format!("audit-{number:02}").parse().expect("a key");
        let role = pick(&mut self.rng, &ROLES);
        let at = self.now - TimeDelta::seconds(self.rng.i64(3_600..50 * 86_400));
        let ended = self.now - TimeDelta::days(70);
        let ahead = self.now + TimeDelta::days(self.rng.i64(1..30_000));
        let op = pick(&mut self.rng, &[Op::Create, Op::Update, Op::Upsert, Op::Delete]);
        let lives = pick(&mut self.rng, &[Op::Create, Op::Update, Op::Upsert]);
        let record = match role {
            Role::Resurrected | Role::Ended => self.record(&key, ended, Op::Delete),
            Role::Ahead => self.record(&key, ahead, op),
            Role::Expiring => {
                Record { expires_after: Some(Duration::from_secs(1_000)), ..self.record(&key, at, lives) }
            }
            Role::Misfit => self.record(&key, at, lives),
            Role::Same | Role::Missing | Role::Older | Role::Foreign => self.record(&key, at, op),
        };
        let behind = match role {
            Role::Older => Item::Record(self.before(&record, op)),
            Role::Resurrected => Item::Record(self.before(&record, lives)),
            Role::Foreign => Item::Foreign,
            Role::Misfit => {
                let payload: Payload =
                    json!({ "id": key.as_str(), "number": -1 }).to_string().parse().expect("a payload");
                Item::Record(Record { payload: Some(payload), ..record.clone() })
            }
            Role::Same => Item::Record(record.clone()),
            Role::Missing | Role::Ahead | Role::Expiring | Role::Ended => Item::Absent,
        };
        let kind = match role {
            Role::Same | Role::Ended => None,
            Role::Missing => Some(Kind::Missing),
            Role::Older | Role::Resurrected => Some(Kind::Older),
            Role::Foreign => Some(Kind::Foreign),
            Role::Misfit | Role::Expiring => Some(Kind::Misfit),
            Role::Ahead => Some(Kind::Ahead),
        };
        // One site is behind for sure, and one is not.
        let (last, first) = (self.rng.usize(..self.sites.len()), self.rng.usize(1..self.sites.len()));
        let items = (0..self.sites.len()).map(|site| {
            let is_behind = site == last || site != (last + first) % self.sites.len() && chance(&mut self.rng, 0.5);
            if is_behind { behind.clone() } else { Item::Record(record.clone()) }
        });
        Planted { key, items: items.collect(), kind }
    }

    fn record(&mut self, key: &Key, at: DateTime<Utc>, op: Op) -> Record {
        let origin = pick(&mut self.rng, &self.sites).clone();
        // Whole seconds, so that two of them are often of one instant.
        let utc = DateTime::from_timestamp(at.timestamp(), 0).expect("a time");
        let event = Event::from(Change {
            id: Uuid::from_u128(self.rng.u128(..)),
            origin: origin.clone(),
            op,
            key: key.clone(),
            payload: json!({ "id": key.as_str(), "number": self.rng.u32(..) }).to_string().parse().expect("a payload"),
            timestamp: Timestamp { utc, text: utc.to_rfc3339_opts(SecondsFormat::AutoSi, true) },
            trace: None,
        });
        let site = pick(&mut self.rng, &self.sites).clone();
        Record::new(&event, &site, utc, limits::TOMBSTONE_LIFE)
    }

    /// A write of the same key that came before `record`: at the same instant, if that is possible, or earlier.
    fn before(&mut self, record: &Record, op: Op) -> Record {
        let at = record.version.timestamp();
        for _ in 0..10 {
            let other = self.record(&record.key, at, op);
            let rank = |record: &Record| (record.source_region.clone(), record.event_id);
            if rank(&other) < rank(record) && chance(&mut self.rng, 0.5) {
                return other;
            }
        }
        let earlier = self.rng.i64(1..100_000);
        self.record(&record.key, at - TimeDelta::seconds(earlier), op)
    }
}

/// What all stores hold, by site and key.
type Stock = Vec<BTreeMap<Key, Record>>;

fn stock(world: &World) -> Stock {
    world.sites.values().map(|site: &Site| site.store.snapshot()).collect()
}

/// Whether two records say the same.
fn same(one: Option<&Record>, other: Option<&Record>) -> bool {
    let content = |record: &Record| {
        (
            record.version.as_str().to_owned(),
            record.op,
            record.payload.as_ref().map(|payload| payload.as_str().to_owned()),
        )
    };
    one.map(content) == other.map(content)
}

/// Where two stocks differ, without the bridge's own keys.
fn differences(world: &World, wanted: &Stock, found: &Stock) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((site, wanted), found) in world.sites.keys().zip(wanted).zip(found) {
        let keys: BTreeSet<&Key> = wanted.keys().chain(found.keys()).collect();
        for key in keys.into_iter().filter(|key| !key.as_str().starts_with(RESERVED)) {
            let (wanted, found) = (wanted.get(key), found.get(key));
            if !same(wanted, found) {
                let version =
                    |record: Option<&Record>| record.map_or("nothing".to_owned(), |record| record.version.to_string());
                wrong.push(format!("{site} holds of {key} {}, and should hold {}", version(found), version(wanted)));
            }
        }
    }
    wrong
}

/// The operator looks, repairs and looks again.
async fn repair(world: &World, audit: &Audit, planted: &[Planted]) {
    let before = stock(world);
    let all: BTreeMap<String, Kind> = planted.iter().filter_map(|one| Some((one.key.to_string(), one.kind?))).collect();
    let lasting =
        || all.iter().filter(|(_, kind)| !kind.can_be_repaired()).map(|(key, kind)| (key.clone(), *kind)).collect();
    if audit.killed.is_empty() {
        looked(world, "before", &all, false).await;
        wrong(world, differences(world, &before, &stock(world)), "a look");
    }
    let repairs = options(world.options.seed, true);
    for (number, polls) in audit.killed.iter().enumerate() {
        Mortal::new(compare::verify(world, &format!("repair {number}"), &repairs), *polls).await;
    }
    let found = look(world, "repair", &repairs).await;
    let told: BTreeMap<String, Kind> = found.findings.iter().map(|one| (one.key.clone(), one.kind)).collect();
    let right = |(key, kind): (&String, &Kind)| all.get(key) == Some(kind);
    let missed = all
        .iter()
        .filter(|(key, kind)| !(told.contains_key(*key) || kind.can_be_repaired() && !audit.killed.is_empty()));
    let missed = missed.count();
    if missed > 0 || !told.iter().all(right) {
        violate(world, Checker::Told, format!("the repair tells of {told:?}, and {all:?} were planted"));
    }
    for one in found.findings.iter().filter(|one| one.repaired != one.kind.can_be_repaired()) {
        violate(world, Checker::Repaired, format!("{} is {}, repaired: {}", one.key, one.kind.as_str(), one.repaired));
    }
    let mut wanted = before;
    for Planted { key, items, kind } in planted {
        let versions =
            items.iter().filter_map(|item| if let Item::Record(record) = item { Some(record) } else { None });
        if kind.is_some_and(Kind::can_be_repaired)
            && let Some(greatest) = versions.max_by_key(|record| rank(record))
        {
            for stock in &mut wanted {
                stock.insert(key.clone(), greatest.clone());
            }
        }
    }
    wrong(world, differences(world, &wanted, &stock(world)), "a repair");
    looked(world, "after", &lasting(), false).await;
}

/// The place in the order of all writes, computed here and not by the code that is tested.
fn rank(record: &Record) -> (DateTime<Utc>, SiteId, Uuid) {
    let at = DateTime::parse_from_rfc3339(&record.timestamp).expect("it was planted with one");
    (at.to_utc(), record.source_region.clone(), record.event_id)
}

fn wrong(world: &World, differences: Vec<String>, after: &str) {
    for what in differences {
        violate(world, Checker::Repaired, format!("after {after} {what}"));
    }
}

/// Looks, and finds `wanted` and nothing else.
async fn looked(world: &World, name: &str, wanted: &BTreeMap<String, Kind>, repair: bool) {
    let report = look(world, name, &options(world.options.seed, repair)).await;
    let found: BTreeMap<String, Kind> = report.findings.iter().map(|one| (one.key.clone(), one.kind)).collect();
    if found != *wanted || report.in_flight > 0 {
        let what =
            format!("verify {name} finds {found:?} and {} in flight, and {wanted:?} were planted", report.in_flight);
        violate(world, Checker::Told, what);
    }
}

/// A comparison that nobody kills, made again where a store did not answer in time.
async fn look(world: &World, name: &str, options: &Options) -> Report {
    for _ in 0..5 {
        if let Ok(compared) = compare::verify(world, name, options).await {
            if let Some(what) = miscounted(&compared.report) {
                violate(world, Checker::Told, format!("verify {name}: {what}"));
            }
            return compared.report;
        }
    }
    violate(world, Checker::Live, format!("verify {name} fails again and again"));
    Report::default()
}

/// What must become of a record that is brought to another store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    written: u64,
    kept: u64,
    expired: u64,
    foreign: u64,
    ahead: u64,
    refused: u64,
}

/// The operator fills one store from another, and looks first what that would do.
async fn fill(world: &World, audit: &Audit, planted: &[Planted]) {
    let mut rng = stream(world.options.seed, "what is filled");
    let count = world.sites.len();
    let from = rng.usize(..count);
    let to = (from + rng.usize(1..count)) % count;
    let before = stock(world);
    let (counts, wanted) = filled(world, planted, &before, from, to);
    let [from, to] = [from, to].map(|site| world.sites.keys().nth(site).expect("it was drawn"));
    let told = |filled: &bridge_ops::verify::backfill::Filled| Counts {
        written: filled.written,
        kept: filled.kept,
        expired: filled.expired,
        foreign: filled.foreign,
        ahead: filled.ahead,
        refused: filled.refused,
    };
    let dry = told(&backfill(world, from, to, &[], true).await);
    if dry != counts {
        violate(world, Checker::Told, format!("a backfill would do {dry:?}, and is to do {counts:?}"));
    }
    wrong(world, differences(world, &before, &stock(world)), "a dry run");
    let done = told(&backfill(world, from, to, &audit.killed, false).await);
    // A write whose answer was lost is made again, and then it is there.
    let both = |counts: Counts| Counts { written: 0, kept: counts.written + counts.kept, ..counts };
    if done.written > counts.written || both(done) != both(counts) {
        violate(world, Checker::Told, format!("a backfill tells of {done:?}, and is to do {counts:?}"));
    }
    wrong(world, differences(world, &wanted, &stock(world)), "a backfill");
}

/// What a backfill is to do, and what all stores are to hold afterwards.
fn filled(world: &World, planted: &[Planted], before: &Stock, from: usize, to: usize) -> (Counts, Stock) {
    let (mut counts, mut wanted) = (Counts::default(), before.clone());
    let mut role: BTreeMap<&Key, &Planted> = planted.iter().map(|one| (&one.key, one)).collect();
    let is_foreign = |one: &Planted, site: usize| matches!(one.items[site], Item::Foreign);
    counts.foreign += planted.iter().filter(|one| is_foreign(one, from)).count() as u64;
    for (key, record) in before[from].iter().filter(|(key, _)| !key.as_str().starts_with(RESERVED)) {
        let one = role.remove(key);
        let kind = one.and_then(|one| one.kind);
        let held = before[to].get(key);
        let changed = || held.is_none_or(|held| rank(held) < rank(record));
        let ended = record.deleted() && rank(record).0 + life(world) <= world.clock.now() + TimeDelta::minutes(2);
        // Of a misfit one site has what was changed: its content is not its version's, or it lives and expires.
        let expires = !record.deleted() && record.expires_after.is_some();
        let misfit = expires || kind == Some(Kind::Misfit) && record.version.content() != record.content();
        match kind {
            _ if misfit => counts.foreign += 1,
            Some(Kind::Ahead) => counts.ahead += 1,
            Some(Kind::Foreign) if one.is_some_and(|one| is_foreign(one, to)) => counts.refused += 1,
            _ if ended && held.is_none() => counts.expired += 1,
            _ if changed() => {
                counts.written += 1;
                wanted[to].insert(key.clone(), record.clone());
            }
            _ => counts.kept += 1,
        }
    }
    (counts, wanted)
}

fn life(world: &World) -> TimeDelta {
    TimeDelta::from_std(world.options.policy.tombstone_life).unwrap_or(TimeDelta::MAX)
}
