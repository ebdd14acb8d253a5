//! The operator compares stores, repairs them and fills one from another, with the shipped code and through ways on which all goes wrong too.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bridge_core::{event::SiteId, limits, port::Clock, retry::Backoff};
use bridge_ops::verify::{
    Failed, Finding, Held, Note, Options, Report, Target, Verify,
    backfill::{Backfill, Filled},
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    books::{Actor, State},
    checkers::Checker,
    executor::Mortal,
    world::World,
};

/// How long a write may be on its way: `bridge verify --settle`, unless it is given.
pub(crate) const SETTLE: Duration = Duration::from_secs(10);

/// How to compare, gently, so that a reading has several portions and keys come in several groups.
pub(crate) fn options(seed: u64, repair: bool) -> Options {
    Options {
        segments: 2,
        rate: None,
        settle: SETTLE,
        keys_max: 12,
        concurrent: 3,
        findings_max: 1_000,
        attempts_max: 7,
        give_up: Duration::from_mins(5),
        backoff: Backoff { base: Duration::from_millis(500), max: Duration::from_secs(20) },
        repair,
        future_max: limits::FUTURE_MAX,
        seed,
    }
}

/// What a comparison came to, and when.
pub(crate) struct Compared {
    pub(crate) report: Report,
    begun: DateTime<Utc>,
    /// When it began to wait for what may be on its way.
    pauses: Vec<DateTime<Utc>>,
}

/// Compares all stores.
///
/// # Errors
/// A store could not be used.
pub(crate) async fn verify(world: &World, name: &str, options: &Options) -> Result<Compared, Failed> {
    let targets: BTreeMap<SiteId, Target> = world
        .sites
        .iter()
        .filter_map(|(id, site)| {
            let scan = world.scan(site, &format!("verify {name}"))?;
            Some((id.clone(), Target { scan, store: world.store(site, Actor::Operator, &format!("verify {name}")) }))
        })
        .collect();
    let begun = world.clock.now();
    let pauses = Mutex::new(Vec::new());
    let note = |note: Note| {
        if matches!(note, Note::Suspects(_)) {
            pauses.lock().unwrap_or_else(PoisonError::into_inner).push(world.clock.now());
        }
    };
    let verify = Verify { sites: &targets, clock: &*world.clock, options, note: &note, trouble: &|_| {} };
    let ended = verify.run().await;
    world.books.note(|| match &ended {
        Ok(report) => format!("verify {name}: {} drifted, {} left", report.drift, report.left),
        Err(failed) => format!("verify {name}: {failed}: {}", failed.error.kind),
    });
    let pauses = pauses.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Compared { report: ended?, begun, pauses })
}

/// Fills the store of `to` from the one of `from`: runs that are killed, then one that is not, and once more while it fails.
pub(crate) async fn backfill(world: &World, from: &SiteId, to: &SiteId, killed: &[u64], dry_run: bool) -> Filled {
    for number in 0.. {
        let polls = killed.get(number).copied().unwrap_or(u64::MAX);
        let name = format!("backfill {from} {to} {number}");
        let options = options(world.options.seed, false);
        let (Some(scan), store) =
            (world.scan(&world.sites[from], &name), world.store(&world.sites[to], Actor::Operator, &name))
        else {
            break;
        };
        let backfill = Backfill {
            from: (from, &*scan),
            to: (to, &*store),
            clock: &*world.clock,
            options: &options,
            dry_run,
            note: &|_| {},
            trouble: &|_| {},
        };
        let mut filled = Filled::default();
        let ended = Mortal::new(backfill.run_into(&mut filled), polls).await;
        world.books.note(|| format!("{name}: {} read, {} written, {:?}", filled.read, filled.written, ended.is_some()));
        // What a store refused is told, and brought by another run once the store is well.
        if matches!(ended, Some(Ok(()))) && (filled.refused == 0 || world.books.open().calm) {
            return filled;
        }
        world.clock.sleep(Duration::from_secs(1)).await;
    }
    Filled::default()
}

/// Compares while events are on their way, and holds what is told against what the stores really wrote, and when.
pub(crate) async fn verify_meanwhile(world: &World, repair: bool, name: &str) {
    let options = options(world.options.seed, repair);
    let Ok(compared) = verify(world, name, &options).await else { return };
    let mut state = world.books.open();
    for what in wrong(&state, &compared, repair) {
        state.violate(Checker::Told, format!("verify {name}: {what}"));
    }
}

fn wrong(state: &State, compared: &Compared, repair: bool) -> Vec<String> {
    let Compared { report, begun, pauses } = compared;
    let settle = TimeDelta::from_std(SETTLE).unwrap_or_default();
    let sites = || 0..state.sites.len();
    let rank = |fact: Option<usize>| fact.map(|fact| state.facts[fact].rank());
    let greatest = |key: &str, at| sites().map(|site| rank(state.best_at(site, key, at))).max().flatten();
    let lacks = |key: &str, from, until| {
        let wanted = greatest(key, from);
        sites().any(|site| rank(state.best_at(site, key, until)) < wanted)
    };
    let mut wrong = Vec::new();
    // An item that a fault keeps from being read is told as foreign.
    let refused = |held: &Held| matches!(held, Held::Foreign(what) if what.contains("a fault of the plan"));
    let findings = report.findings.iter().filter(|finding| !finding.sites.values().any(refused));
    for Finding { key, kind, sites: held, repaired, failed, waiting: _ } in findings {
        // In flight is no drift: somewhere, what a site had before the pause was still not there after it.
        let drifted = kind.can_be_repaired() && pauses.iter().any(|pause| lacks(key, *pause, *pause + settle));
        if !drifted {
            wrong.push(format!("{key} is told to be {}, and was not for {} s", kind.as_str(), SETTLE.as_secs()));
        }
        if repair && !repaired && failed.is_none() {
            wrong.push(format!("{key} was not repaired, and nothing is told to be in the way"));
        }
        let shown =
            held.values().filter_map(Held::record).filter_map(|record| rank(state.fact_of_record(record))).max();
        if *repaired && sites().any(|site| rank(state.best_at(site, key, state.now())) < shown) {
            wrong.push(format!("{key} is told to be repaired, and is not"));
        }
    }
    let keys: std::collections::BTreeSet<&str> = state.facts.iter().map(|fact| fact.key.as_str()).collect();
    for key in keys.into_iter().filter(|key| lacks(key, *begun, state.now())) {
        if !report.findings.iter().any(|finding| finding.key == key) {
            wrong.push(format!("{key} differed from begin to end, and is not told"));
        }
    }
    wrong.extend(miscounted(report));
    wrong
}

/// What a report says twice, and not alike.
pub(crate) fn miscounted(report: &Report) -> Option<String> {
    let found = report.findings.len() as u64;
    let left = report.findings.iter().filter(|finding| !finding.repaired).count() as u64;
    let kinds: u64 = report.by_kind.values().map(|sum| sum.found).sum();
    let right = report.drift == found
        && kinds == found
        && report.left == left
        && report.keys_looked_at == found + report.in_flight
        && report.unlisted == 0;
    (!right).then(|| {
        format!("{} keys drifted, {} are left, {found} are listed and {left} of them left", report.drift, report.left)
    })
}
