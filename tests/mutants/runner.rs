//! Tries mutants, in the copy of the sources in which they sleep: for each the first seed that notices it, and the checkers
//! that noticed it among the first seeds. Its arguments: how many seeds each gets, and the mutants' numbers.

use std::{collections::BTreeSet, panic::catch_unwind};

use bridge_simulation::{
    matrix::{Case, disturb},
    run::{Settings, simulate},
};

/// Seeds that are run behind the first one that noticed, for the list of checkers.
const MORE: u64 = 20;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [seeds, mutants @ ..] = &numbers[..] else { panic!("numbers are needed: seeds, and mutants") };
    let seeds = *seeds;
    std::panic::set_hook(Box::new(|_| {}));
    for number in mutants {
        bridge_core::put_on_trial(usize::try_from(*number).expect("a small number"));
        println!("{number}\t{}", attempt(seeds));
    }
}

/// The first seed that notices, and by which checkers.
fn attempt(seeds: u64) -> String {
    let (mut first, mut checkers) = (None, BTreeSet::new());
    for seed in 1..=seeds {
        if first.is_some_and(|first| seed > first + MORE) {
            break;
        }
        let broken: Vec<&str> = match catch_unwind(|| simulate(seed, Settings::default())) {
            Ok(outcome) => outcome.violations.iter().map(|violation| violation.checker.as_str()).collect(),
            Err(_) => vec!["panic"],
        };
        if !broken.is_empty() {
            first.get_or_insert(seed);
            checkers.extend(broken);
        }
    }
    if Case::ALL.into_iter().any(|case| !matches!(catch_unwind(|| disturb(case)), Ok(Ok(_)))) {
        checkers.insert("crash matrix");
    }
    let seed = first.map_or_else(|| "-".to_owned(), |seed| seed.to_string());
    format!("{seed}\t{}", checkers.into_iter().collect::<Vec<_>>().join(", "))
}
