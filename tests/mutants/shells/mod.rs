//! Wrong shells: the real adapters, application and localcloud, each with one change. A test that is named beside it must notice:
//! `BINARY TEST`, as in `conformance sqs::an_acked_message_is_gone`.
//!
//! Not here: mutants of FIFO queues, which no configuration takes.

mod adapters;
mod app;
mod localcloud;
mod tree;

use std::{collections::BTreeSet, path::Path, time::Instant};

use crate::mutant::Mutant;

/// All of them.
pub(crate) fn mutants() -> impl Iterator<Item = &'static Mutant> + Clone {
    [adapters::MUTANTS, app::MUTANTS, localcloud::MUTANTS].into_iter().flatten()
}

/// The crate that holds the switch, for a file: localcloud knows no other crate.
pub(crate) fn switch(path: &str) -> &'static str {
    if ["/localcloud/", "/core/"].iter().any(|folder| path.contains(folder)) { "crate" } else { "bridge_core" }
}

/// `BRIDGE_MUTANTS`, parts of names or files with commas between them, chooses some.
#[test]
fn every_mutant_of_the_shells_is_noticed() {
    let asked = std::env::var("BRIDGE_MUTANTS").unwrap_or_default();
    let is_asked =
        |mutant: &Mutant| asked.split(',').any(|part| mutant.name.contains(part) || mutant.path().contains(part));
    let chosen: Vec<(usize, &Mutant)> = mutants().enumerate().filter(|(_, mutant)| is_asked(mutant)).collect();
    let tree = tree::build(&crate::root(), &Path::new(env!("CARGO_TARGET_TMPDIR")).join("shells"));
    let tests: BTreeSet<&str> = chosen.iter().map(|(_, mutant)| mutant.noticed_by).collect();
    let (passed, said) = tree.passes(tests.iter().copied(), None);
    assert!(passed, "with no mutant on trial:\n{said}");
    println!("| | mutant | file | noticed by | why | |");
    let mut survivors = Vec::new();
    for (number, mutant) in chosen {
        let Mutant { name, noticed_by, .. } = mutant;
        let begin = Instant::now();
        let (survives, said) = tree.passes([*noticed_by], Some(number));
        let seconds = begin.elapsed().as_secs_f64();
        let (verdict, why) = if survives { ("SURVIVES", String::new()) } else { ("noticed", why(&said)) };
        println!("| {verdict} | {name} | {} | {noticed_by} | {why} | {seconds:.1} s |", mutant.path());
        if survives {
            survivors.push(format!("{name}: {noticed_by} passes"));
        }
    }
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}

/// The first words of a failure: they show whether a test failed for the mutant's sake.
fn why(said: &str) -> String {
    let mut lines = said.lines().skip_while(|line| !line.contains("panicked at"));
    lines.nth(1).unwrap_or("it hung").trim().chars().take(100).collect()
}
