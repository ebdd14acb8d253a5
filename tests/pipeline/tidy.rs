//! What the documents claim of the tree, held against the tree.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules" | ".git") {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

/// Every path in a document's backticks exists, seen from the root or from a crate's `src`.
#[test]
fn documents_name_only_files_that_exist() {
    let mut documents = Vec::new();
    files(&root(), ".md", &mut documents);
    let mut missing = Vec::new();
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let path = quoted.split('#').next().unwrap();
            let is_path = ["bridge/", "docs/", "runbooks/", "schema/", "tests/", "deploy/"]
                .iter()
                .any(|top| path.starts_with(top))
                && !path.contains([' ', '*', '{', '<', '\n']);
            if is_path && !root().join(path).exists() {
                missing.push(format!("{}: {path}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// A file of over 600 lines hides more than one idea.
#[test]
fn files_stay_short() {
    let mut sources = Vec::new();
    files(&root(), ".rs", &mut sources);
    let lines = |path: &PathBuf| std::fs::read_to_string(path).unwrap().lines().count();
    let long: Vec<_> = sources.iter().map(|path| (lines(path), path)).filter(|(lines, _)| *lines > 600).collect();
    assert!(long.is_empty(), "{long:?}");
}

/// A vendor's SDK is named in the adapters alone (and in localcloud, which serves the other end).
#[test]
fn only_adapters_name_a_vendors_sdk() {
    for crate_folder in ["bridge/core/src", "bridge/app/src"] {
        let mut sources = Vec::new();
        files(&root().join(crate_folder), ".rs", &mut sources);
        for source in sources {
            let text = std::fs::read_to_string(&source).unwrap();
            for name in ["aws_sdk_", "aws_config", "azure_core", "azure_data_cosmos", "azure_identity", "fe2o3"] {
                assert!(!text.contains(name), "{} names {name}", source.display());
            }
        }
    }
}
