//! Many seeds, one after the other on each core; and that a seed repeats itself, without which none of them is worth much.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    checkers::Checker,
    run::{Outcome, Settings, simulate},
};

/// Outcomes of failed seeds that are kept.
const FAILED_MAX: usize = 100;

/// What came of many seeds.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Seeds that were run.
    pub seeds: u64,
    /// Those that broke a rule.
    pub bad: u64,
    /// In how many of them each rule was broken.
    pub broken: BTreeMap<Checker, u64>,
    /// The first of them, in their order.
    pub failed: Vec<Outcome>,
    /// Events that were written in all worlds.
    pub events: u64,
    /// Messages that queues gave away in all worlds.
    pub deliveries: u64,
    /// Virtual time that passed in all worlds.
    pub elapsed: Duration,
}

impl Sweep {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.events += outcome.counts.events as u64;
        self.deliveries += outcome.counts.deliveries;
        self.elapsed += outcome.counts.elapsed;
        if outcome.violations.is_empty() {
            return;
        }
        self.bad += 1;
        let broken: BTreeSet<Checker> = outcome.violations.iter().map(|violation| violation.checker).collect();
        for checker in broken {
            *self.broken.entry(checker).or_default() += 1;
        }
        self.failed.push(outcome);
        self.failed.sort_by_key(|outcome| outcome.seed);
        self.failed.truncate(FAILED_MAX);
    }
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, bad, events, deliveries, elapsed, .. } = self;
        let days = elapsed.as_secs() / 86_400;
        write!(f, "{seeds} seeds, {bad} bad; {events} events, {deliveries} deliveries, {days} days of virtual time")?;
        for (checker, worlds) in &self.broken {
            write!(f, "\n  {checker}: broken in {worlds}")?;
        }
        Ok(())
    }
}

/// Runs `seeds` on all cores, until they are done or `stop` says so; `progress` is told of each.
pub fn sweep(
    seeds: Range<u64>,
    settings: Settings,
    progress: &(dyn Fn() + Sync),
    stop: &(dyn Fn() -> bool + Sync),
) -> Sweep {
    let next = AtomicU64::new(seeds.start);
    let swept = Mutex::new(Sweep::default());
    let work = || {
        while !stop() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let outcome = simulate(seed, settings);
            swept.lock().unwrap_or_else(PoisonError::into_inner).add(outcome);
            progress();
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    swept.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a seed twice and compares the traces, byte for byte.
///
/// # Errors
/// The first line in which they differ, from both.
pub fn repeats(seed: u64, settings: Settings) -> Result<Outcome, String> {
    let traced = Settings { traced: true, ..settings };
    let (one, other) = (simulate(seed, traced), simulate(seed, traced));
    let longest = one.trace.len().max(other.trace.len());
    for at in 0..longest {
        let (one, other) = (one.trace.get(at), other.trace.get(at));
        if one != other {
            return Err(format!("seed {seed} does not repeat itself, line {at}: {one:?}, then {other:?}"));
        }
    }
    Ok(one)
}
