//! The test of the tests: wrong cores, each of which the simulation must notice, and wrong shells, each of which a test must.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod mutant;
mod shells;
mod table;
mod tree;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use table::MUTANTS;

/// Worlds that a mutant gets to be noticed in.
const SEEDS: u64 = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whoever changes a source hears of its mutants at once.
#[test]
fn every_text_is_where_its_mutant_says() {
    let cores = mutant::asleep(&root(), MUTANTS, tree::switch);
    let shells = mutant::asleep(&root(), shells::mutants(), shells::switch);
    let misfits: Vec<String> = [cores, shells].into_iter().filter_map(Result::err).flatten().collect();
    assert!(misfits.is_empty(), "write these mutants anew:\n{}", misfits.join("\n"));
}

/// A test that was renamed notices nothing.
#[test]
fn every_test_that_a_mutant_names_is_there() {
    let mut sources = String::new();
    for folder in ["bridge", "tests"] {
        gather(&root().join(folder), &mut sources);
    }
    let tests = shells::mutants().map(|mutant| mutant.noticed_by);
    let is_missing = |test: &&str| {
        let name = test.rsplit([' ', ':']).next().unwrap_or_default();
        !sources.contains(&format!("fn {name}("))
    };
    let missing: Vec<&str> = tests.filter(is_missing).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The text of every source below `folder`.
fn gather(folder: &Path, text: &mut String) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            gather(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &mutant::read(&path);
        }
    }
}

#[test]
fn every_mutant_is_noticed() {
    let root = root();
    let document = std::fs::read_to_string(root.join("docs/simulation.md")).unwrap();
    let told = |mutant: &&mutant::Mutant| document.contains(&format!("| `{}` |", mutant.name));
    let untold: Vec<_> = MUTANTS.iter().filter(|mutant| !told(mutant)).map(|mutant| mutant.name).collect();
    assert!(untold.is_empty(), "docs/simulation.md lacks {}", untold.join(", "));
    let tree = tree::build(&root, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants"));
    // Worlds in which a mutant that a test notices is at work may never end. With a number that no mutant has nothing may be noticed.
    let standing_in = |number: usize| MUTANTS.get(number)?.noticed_by.strip_prefix("test ");
    let numbers: Vec<usize> = (0..=MUTANTS.len()).filter(|number| standing_in(*number).is_none()).collect();
    let mut simulated = Command::new(tree.program());
    let tried = simulated.arg(SEEDS.to_string()).args(numbers.iter().map(ToString::to_string)).output().unwrap();
    let text = String::from_utf8(tried.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert!(tried.status.success() && lines.len() == numbers.len(), "{text}");
    let mut wrong = Vec::new();
    for (number, line) in numbers.into_iter().zip(&lines) {
        let Some(mutant) = MUTANTS.get(number) else {
            assert_eq!(line[1..], ["-", ""], "with no mutant on trial something was noticed");
            continue;
        };
        println!("{}: seed {}, noticed by {}", mutant.name, line[1], line[2]);
        if !line[2].split(", ").any(|checker| checker == mutant.noticed_by) {
            wrong.push(format!("{}: not noticed by {}, but by {:?}", mutant.name, mutant.noticed_by, line[2]));
        }
    }
    for (number, mutant) in MUTANTS.iter().enumerate() {
        let Some(substitute) = standing_in(number) else { continue };
        assert!(tree.passes(substitute, None), "{substitute} fails with no mutant on trial");
        if tree.passes(substitute, Some(number)) {
            wrong.push(format!("{}: {substitute} passes", mutant.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
