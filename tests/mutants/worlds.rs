//! Worlds of the simulation and the crash matrix, for mutants that no other test has noticed (`core.py`).

use bridge_simulation::{
    matrix::{Case, disturb},
    run::{Settings, simulate},
};

/// Worlds that a mutant gets to be noticed in.
const SEEDS: u64 = 200;

#[test]
fn no_world_breaks_a_rule() {
    for seed in 1..=SEEDS {
        assert_eq!(simulate(seed, Settings::default()).violations, [], "seed {seed}");
    }
}

#[test]
fn no_crash_makes_a_difference() {
    for case in Case::ALL {
        disturb(case).unwrap_or_else(|difference| panic!("{difference:?}"));
    }
}
