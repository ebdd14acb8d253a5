//! A copy of the core, of memory and of the simulation in which all mutants sleep: each of their changes asks a switch, so
//! that one build serves all of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::table::MUTANTS;

/// The crates that the copy consists of; none has an SDK below it.
const CRATES: [&str; 4] = ["bridge/core", "bridge/ops", "bridge/adapters", "bridge/simulation"];

/// What is added to the core: the switch.
const SWITCH: &str = "
static MUTANT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(usize::MAX);
/// Puts one mutant on trial.
pub fn put_on_trial(number: usize) {
    MUTANT.store(number, std::sync::atomic::Ordering::SeqCst);
}
/// Whether this mutant is on trial.
pub fn on_trial(number: usize) -> bool {
    MUTANT.load(std::sync::atomic::Ordering::Relaxed) == number
}
";

const RUNNER: &str = r#"
[package]
name = "mutants"
version = "0.1.0"
edition = "2024"

[dependencies]
bridge-core.workspace = true
bridge-simulation.workspace = true
"#;

/// Writes the copy below `target` and builds it; answers the program that tries the mutants.
pub(crate) fn build(root: &Path, target: &Path) -> PathBuf {
    let tree = target.join("tree");
    for folder in CRATES {
        copy(&root.join(folder).join("src"), &tree.join(folder).join("src")).expect("sources can be copied");
        let manifest = read(&root.join(folder).join("Cargo.toml"));
        let (kept, _tests) = manifest.split_once("[[test]]").unwrap_or((&manifest, ""));
        write(&tree.join(folder).join("Cargo.toml"), kept);
    }
    mutate(&tree);
    let manifest = read(&root.join("Cargo.toml"));
    let (kept, _profiles) = manifest.split_once("\n[profile").expect("profiles stand at the end");
    let members = kept.lines().find(|line| line.starts_with("members = ")).expect("there are members");
    let crates: Vec<String> = CRATES.iter().chain(&["mutants"]).map(|name| format!("{name:?}")).collect();
    let kept = kept.replace(members, &format!("members = [{}]", crates.join(", ")));
    write(
        &tree.join("Cargo.toml"),
        &format!("{kept}\n[profile.dev]\nopt-level = 0\ndebug = false\nincremental = false\n"),
    );
    write(&tree.join("Cargo.lock"), &read(&root.join("Cargo.lock")));
    write(&tree.join("mutants/Cargo.toml"), RUNNER);
    write(&tree.join("mutants/src/main.rs"), &read(&root.join("tests/mutants/runner.rs")));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--offline", "--quiet", "--package", "mutants"])
        .env("CARGO_TARGET_DIR", target.join("target"))
        .env_remove("RUSTFLAGS")
        .current_dir(&tree)
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "the mutants do not build:\n{}", String::from_utf8_lossy(&built.stderr));
    target.join("target/debug/mutants")
}

/// Puts every mutant to sleep in the copied sources.
fn mutate(tree: &Path) {
    let mut missing = Vec::new();
    for (number, mutant) in MUTANTS.iter().enumerate() {
        let path = tree.join(mutant.path());
        let source = read(&path);
        assert!(mutant.new.contains("MUTANT"), "{} changes nothing", mutant.name);
        if source.matches(mutant.old).count() != 1 {
            missing.push(format!("{}: not once in {}: {}", mutant.name, mutant.path(), mutant.old));
            continue;
        }
        let switch = if mutant.path().contains("/core/") { "crate" } else { "bridge_core" };
        let new = mutant.new.replace("MUTANT", &format!("{switch}::on_trial({number})"));
        fs::write(&path, source.replacen(mutant.old, &new, 1)).expect("the copy can be changed");
    }
    assert!(missing.is_empty(), "the sources have changed, write these mutants anew:\n{}", missing.join("\n"));
    let path = tree.join("bridge/core/src/lib.rs");
    fs::write(&path, read(&path) + SWITCH).expect("the copy can be changed");
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it lies in the copy")).expect("the copy can be written");
    fs::write(path, text).expect("the copy can be written");
}
