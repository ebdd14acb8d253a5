//! A copy of the core, of memory and of the simulation in which all mutants of the core sleep.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    mutant::{copy, put_to_sleep, read, write},
    table::MUTANTS,
};

/// The crates that the copy consists of; none has an SDK below it.
const CRATES: [&str; 4] = ["bridge/core", "bridge/ops", "bridge/adapters", "bridge/simulation"];

const RUNNER: &str = r#"
[package]
name = "mutants"
version = "0.1.0"
edition = "2024"

[dependencies]
bridge-core.workspace = true
bridge-simulation.workspace = true
"#;

/// The tests of the pipeline, without the one that looks at the whole tree, and what they share.
const TESTS: &str = r#"
[package]
name = "bridge-tests"
version = "0.1.0"
edition = "2024"

[features]
clouds = []

[lib]
path = "support/lib.rs"

[[test]]
name = "pipeline"
path = "pipeline/main.rs"

[dependencies]
bridge-adapters.workspace = true
bridge-core.workspace = true
bridge-ops.workspace = true
bridge-simulation.workspace = true
async-trait.workspace = true
bytes.workspace = true
chrono.workspace = true
fastrand.workspace = true
futures-util.workspace = true
jsonschema.workspace = true
proptest.workspace = true
serde.workspace = true
serde_json.workspace = true
sha2.workspace = true
tokio.workspace = true
uuid.workspace = true
"#;
const LEFT_OUT: (&str, &str) = ("tests/pipeline/main.rs", "mod tidy;\n");

/// The copy, built.
pub(crate) struct Tree {
    tree: PathBuf,
    target: PathBuf,
}

impl Tree {
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(arguments).env("CARGO_TARGET_DIR", &self.target).env_remove("RUSTFLAGS").current_dir(&self.tree);
        cargo
    }

    /// The program that tries the mutants in worlds.
    pub(crate) fn program(&self) -> PathBuf {
        self.target.join("debug/mutants")
    }

    /// Whether a test of the pipeline passes; with this mutant on trial, if any.
    pub(crate) fn passes(&self, test: &str, mutant: Option<usize>) -> bool {
        let mut tests =
            self.cargo(&["test", "--offline", "--quiet", "--package", "bridge-tests", "--test", "pipeline", "--"]);
        tests.args(["--exact", test]).envs(mutant.map(|number| ("MUTANT", number.to_string())));
        let tried = tests.output().expect("cargo runs");
        let said = String::from_utf8_lossy(&tried.stdout);
        assert!(said.contains("running 1 test"), "there is no test {test}: {said}");
        tried.status.success()
    }
}

/// The crate that holds the switch, for a file.
pub(crate) fn switch(path: &str) -> &'static str {
    if path.contains("/core/") { "crate" } else { "bridge_core" }
}

/// Writes the copy below `target` and builds it.
pub(crate) fn build(root: &Path, target: &Path) -> Tree {
    let tree = target.join("tree");
    for folder in CRATES {
        copy(&root.join(folder).join("src"), &tree.join(folder).join("src"), &[]).expect("sources can be copied");
        let manifest = read(&root.join(folder).join("Cargo.toml"));
        let (kept, _tests) = manifest.split_once("[[test]]").unwrap_or((&manifest, ""));
        write(&tree.join(folder).join("Cargo.toml"), kept);
    }
    for folder in ["tests/support", "tests/pipeline", "schema"] {
        copy(&root.join(folder), &tree.join(folder), &[]).expect("sources can be copied");
    }
    let (file, line) = LEFT_OUT;
    let text = read(&tree.join(file));
    assert_eq!(text.matches(line).count(), 1, "{file} has changed");
    write(&tree.join(file), &text.replace(line, ""));
    write(&tree.join("tests/Cargo.toml"), TESTS);
    put_to_sleep(&tree, MUTANTS, switch, &["bridge/core/src/lib.rs"]);
    let manifest = read(&root.join("Cargo.toml"));
    let (kept, _profiles) = manifest.split_once("\n[profile").expect("profiles stand at the end");
    let members = kept.lines().find(|line| line.starts_with("members = ")).expect("there are members");
    let crates: Vec<String> = CRATES.iter().chain(&["mutants", "tests"]).map(|name| format!("{name:?}")).collect();
    let kept = kept.replace(members, &format!("members = [{}]", crates.join(", ")));
    write(
        &tree.join("Cargo.toml"),
        &format!("{kept}\n[profile.dev]\nopt-level = 0\ndebug = false\nincremental = false\n"),
    );
    write(&tree.join("Cargo.lock"), &read(&root.join("Cargo.lock")));
    write(&tree.join("mutants/Cargo.toml"), RUNNER);
    write(&tree.join("mutants/src/main.rs"), &read(&root.join("tests/mutants/runner.rs")));
    let built = Tree { tree, target: target.join("target") };
    for arguments in [["--package", "mutants"].as_slice(), &["--package", "bridge-tests", "--test", "pipeline"]] {
        let ended = built.cargo(&["build", "--offline", "--quiet"]).args(arguments).output().expect("cargo runs");
        assert!(ended.status.success(), "the mutants do not build:\n{}", String::from_utf8_lossy(&ended.stderr));
    }
    built
}
