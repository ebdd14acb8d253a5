//! Files of every kind that `bridge config` refuses, and of every form that the clouds' own tools print.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::program::bridge;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("end_to_end").join(folder);
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn config(file: &Path) -> (Option<i32>, String, String) {
    let output = bridge().args(["config", "--config"]).arg(file).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The first line of each says which line and key are wrong, and a part of the words: `#!LINE: KEY: |WORDS`.
#[test]
fn each_bad_file_is_refused_with_file_line_and_key() {
    let mut wrong = BTreeMap::new();
    let files = files("bad-configurations");
    assert!(files.len() >= 40, "{}", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (place, words) = text.lines().next().unwrap().strip_prefix("#!").unwrap().split_once('|').unwrap();
        let (code, _, said) = config(&file);
        let expected = format!("{}:{place}", file.display());
        let line = said.lines().find(|line| line.contains(&expected) && line.contains(words));
        let secret = said.contains("aHVzaA");
        if code != Some(64) || line.is_none() || secret {
            wrong.insert(file.file_name().unwrap().to_owned(), format!("{code:?}, wanted {place}{words}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_good_file_is_taken() {
    let files = files("good-configurations");
    assert!(files.len() >= 15, "{}", files.len());
    for file in files {
        let (code, shown, said) = config(&file);
        assert_eq!(code, Some(0), "{}: {said}", file.display());
        assert!(!shown.contains("aHVzaA"), "{shown}");
    }
}

/// What no schema of one file can say: rules between two keys, the region of a queue, and what a name opens.
const BEYOND_THE_SCHEMA: [&str; 11] = [
    "connection-emulator-elsewhere.toml",
    "connection-emulator-without-http.toml",
    "connection-of-another-queue.toml",
    "fences.toml",
    "from-azure-beside-a-key.toml",
    "queue-name-same.toml",
    "queue-shared.toml",
    "queue-url-account.toml",
    "queue-url-region.toml",
    "table-arn-elsewhere.toml",
    "tombstones.toml",
];

/// An editor that has the schema shows what the program refuses, and nothing else.
#[test]
fn the_schema_and_the_program_agree() {
    let schema = crate::program::must(bridge().args(["schema", "config"])).stdout;
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (folder, good) in [("bad-configurations", false), ("good-configurations", true)] {
        for file in files(folder) {
            // What is no TOML never comes to a schema.
            let Ok(table) = std::fs::read_to_string(&file).unwrap().parse::<toml::Table>() else { continue };
            let name = file.file_name().unwrap().to_str().unwrap();
            let expected = good || BEYOND_THE_SCHEMA.contains(&name);
            let errors: Vec<_> =
                schema.iter_errors(&serde_json::to_value(&table).unwrap()).map(|error| error.to_string()).collect();
            if errors.is_empty() != expected {
                wrong.push(format!("{folder}/{name}: {errors:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
