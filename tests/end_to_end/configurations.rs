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
