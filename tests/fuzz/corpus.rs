//! Every target over its corpus, without libFuzzer: what was found once stays found, and no target begins with nothing.

#![allow(clippy::unwrap_used, reason = "a step that fails must fail its test")]

use std::{fs, path::PathBuf};

use bridge_fuzz::targets::{ALL, folder};

/// Bytes of the whole corpus. It is there to begin with; what libFuzzer finds on its way stays below `target`.
const CORPUS_BYTES_MAX: u64 = 100 * 1024;

fn files(place: PathBuf) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path())
}

#[test]
fn every_target_holds_over_its_corpus() {
    for target in ALL {
        let inputs: Vec<PathBuf> = target.corpora().into_iter().flat_map(files).collect();
        assert!(!inputs.is_empty(), "{target:?} has no corpus");
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            let held = std::panic::catch_unwind(|| target.run(&bytes));
            assert!(held.is_ok(), "{target:?} does not hold for {}", input.display());
        }
    }
}

#[test]
fn the_corpus_is_small_and_has_nothing_without_a_target() {
    let folders: Vec<PathBuf> = files(folder().join("corpus")).collect();
    for place in &folders {
        let name = place.file_name().unwrap().to_str().unwrap();
        assert!(ALL.iter().any(|target| target.name == name), "{name} is no target");
    }
    let bytes: u64 = folders.into_iter().flat_map(files).map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes}");
}
