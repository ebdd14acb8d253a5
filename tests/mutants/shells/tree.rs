//! A copy of the whole tree in which all mutants of the shells sleep, and its tests.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{mutants, switch};
use crate::mutant::{copy, put_to_sleep, read, write};

/// Where localcloud and the application have the switch. The application takes the core's.
const ROOTS: [&str; 2] = ["bridge/core/src/lib.rs", "bridge/localcloud/src/lib.rs"];

/// The players of function hosts give a process nothing of their own environment; here they pass the mutant on.
const PLAYERS: (&str, &str, &str) = (
    "tests/clients/hosts/settings.py",
    r#"return dict(setting.split("=", 1) for setting in settings)"#,
    r#"import os
    mutant = {"MUTANT": os.environ["MUTANT"]} if "MUTANT" in os.environ else {}
    return {**mutant, **dict(setting.split("=", 1) for setting in settings)}"#,
);

/// A test that takes longer than this has hung, which is one way to notice.
const TIMEOUTS: &str =
    "[profile.default]\nfail-fast = false\nslow-timeout = { period = \"60s\", terminate-after = 4 }\n";

/// What nextest exits with if a test failed ("Exit codes" in its documentation, read 2026-12).
const TEST_FAILED: i32 = 100;

/// The copy, built.
pub(super) struct Tree {
    tree: PathBuf,
    target: PathBuf,
}

impl Tree {
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(arguments).current_dir(&self.tree);
        // What nextest and cargo tell the process that runs this test is not for those that it starts.
        let theirs = |name: &str| name.starts_with("NEXTEST") || name.starts_with("CARGO_") && name != "CARGO_HOME";
        for (name, _) in std::env::vars().filter(|(name, _)| theirs(name)) {
            cargo.env_remove(name);
        }
        cargo.env("CARGO_TARGET_DIR", &self.target).env("BRIDGE_PACKAGE_DIR", self.package());
        cargo
    }

    fn package(&self) -> PathBuf {
        self.target.join("laid-out")
    }

    /// Runs cargo, which must do it; what it printed goes to this file of the target folder.
    fn must(&self, arguments: &[&str], file: &str) {
        let output = self.cargo(arguments).output().expect("cargo runs");
        assert!(output.status.success(), "{arguments:?}:\n{}", words(&output));
        write(&self.target.join(file), &String::from_utf8_lossy(&output.stdout));
    }

    /// Whether these tests pass, with this mutant on trial if any; and what was said of it.
    pub(super) fn passes<'a>(&self, tests: impl IntoIterator<Item = &'a str>, mutant: Option<usize>) -> (bool, String) {
        let filter = |test: &str| {
            let (binary, test) = test.split_once(' ').unwrap_or_else(|| panic!("{test}: BINARY TEST is expected"));
            format!("(binary(={binary}) & test(={test}))")
        };
        let filters: Vec<String> = tests.into_iter().map(filter).collect();
        let mut run = self.cargo(&["nextest", "run", "--binaries-metadata"]);
        run.arg(self.target.join("binaries.json")).args(["-E", &filters.join(" | ")]);
        run.envs(mutant.map(|number| ("MUTANT", number.to_string())));
        let output = run.output().expect("cargo runs");
        let said = words(&output);
        // A filter that matches nothing is an error of its own.
        assert!(output.status.success() || output.status.code() == Some(TEST_FAILED), "{filters:?}: {said}");
        let count = filters.len();
        let plural = if count == 1 { "" } else { "s" };
        assert!(said.contains(&format!("{count} test{plural} run:")), "not all of {filters:?} exist:\n{said}");
        (output.status.success(), said)
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes the copy below `folder` and builds it.
pub(super) fn build(root: &Path, folder: &Path) -> Tree {
    let tree = Tree { tree: folder.join("tree"), target: folder.join("target") };
    if tree.tree.exists() {
        // What was removed from the sources must not stay in the copy.
        std::fs::remove_dir_all(&tree.tree).expect("the copy can be removed");
    }
    copy(root, &tree.tree, &["target", ".git", "node_modules", "__pycache__"]).expect("sources can be copied");
    put_to_sleep(&tree.tree, mutants(), switch, &ROOTS);
    let (file, old, new) = PLAYERS;
    let players = read(&tree.tree.join(file));
    assert_eq!(players.matches(old).count(), 1, "{file} has changed");
    write(&tree.tree.join(file), &players.replace(old, new));
    write(&tree.tree.join(".config/nextest.toml"), TIMEOUTS);
    seed(&folder.join("../../debug"), &tree.target.join("debug"));
    tree.must(&["build", "--offline", "--quiet", "--workspace", "--all-targets"], "build.txt");
    let list =
        ["nextest", "list", "--offline", "--workspace", "--list-type", "binaries-only", "--message-format", "json"];
    tree.must(&list, "binaries.json");
    let mut unpack = Command::new("python3");
    unpack.arg(tree.tree.join("tests/clients/unpack.py")).arg("--program").arg(tree.target.join("debug/bridge"));
    assert!(unpack.arg(tree.package()).status().expect("python3 runs").success(), "the program is not laid out");
    tree
}

/// Takes over the dependencies that are built already: they are the same, and take a quarter of an hour.
fn seed(from: &Path, to: &Path) {
    if to.exists() {
        return;
    }
    // Half a seed would grow into a build of everything.
    let part = to.with_extension("part");
    std::fs::create_dir_all(&part).expect("the copy can be written");
    for name in ["deps", "build", ".fingerprint"] {
        // With times, by which cargo knows what is fresh.
        let copied = Command::new("cp").arg("-a").arg(from.join(name)).arg(&part).status().expect("cp runs");
        assert!(copied.success(), "{name} was not copied");
    }
    std::fs::rename(part, to).expect("the copy can be written");
}
