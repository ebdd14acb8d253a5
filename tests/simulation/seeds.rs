//! Fixed seeds. One that failed once stays as a test of its own, named for what it found.

use bridge_simulation::{
    checkers::Checker,
    run::{Outcome, Settings, simulate},
    sweep::{Sweep, repeats, sweep},
    world::Rule,
};

/// How many worlds a run of the tests goes through, unless told otherwise: some dozen seconds on two cores.
const SEEDS: u64 = 10_000;

fn seeds() -> u64 {
    std::env::var("BRIDGE_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap())
}

fn run(seeds: std::ops::Range<u64>, settings: Settings) -> Sweep {
    sweep(seeds, settings, &|| {}, &|| false)
}

fn told(swept: &Sweep) -> String {
    let line =
        |outcome: &Outcome| format!("{}: bridge simulate --seed {} --trace", outcome.violations[0], outcome.seed);
    swept.failed.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_seed_breaks_a_rule() {
    for seed in 0..20 {
        let outcome = repeats(seed, Settings::default()).unwrap();
        assert!(outcome.trace.len() > 20, "a trace of {} lines shows nothing", outcome.trace.len());
    }
    let swept = run(1..seeds() + 1, Settings::default());
    println!("{swept}");
    assert_eq!((swept.seeds, swept.bad), (seeds(), 0), "\n{}", told(&swept));
}

/// What people write by hand, in the same worlds: it diverges, and it brings back what was deleted.
#[test]
fn the_rule_that_people_write_by_hand_breaks_them() {
    let swept = run(1..101, Settings { rule: Rule::ByHand, ..Settings::default() });
    let worlds = |checker: Checker| swept.broken.get(&checker).copied().unwrap_or_default();
    let counts = [Checker::Converged, Checker::NoResurrection, Checker::Monotonic].map(worlds);
    println!("of 100 worlds by hand {counts:?} diverge, resurrect, go back");
    assert!(counts.iter().all(|count| *count >= 20), "{counts:?}");
}

/// The seed that `docs/simulation.md` tells the story of: by hand a deleted entity comes back at one site for ever, by the
/// bridge's rule nothing is wrong.
#[test]
fn the_seed_of_the_document_shows_both() {
    const SEED: u64 = 158;
    let by_hand = simulate(SEED, Settings { rule: Rule::ByHand, ..Settings::default() });
    let broken: Vec<Checker> = by_hand.violations.iter().map(|violation| violation.checker).collect();
    assert_eq!(broken, [Checker::NoResurrection, Checker::Converged], "{:?}", by_hand.violations);
    assert_eq!(simulate(SEED, Settings::default()).violations, []);
    let document = include_str!("../../docs/simulation.md");
    assert!(document.contains(&format!("--seed {SEED} --rule by-hand")));
    for violation in by_hand.violations {
        assert!(document.contains(&violation.to_string()), "not in the document: {violation}");
    }
}
