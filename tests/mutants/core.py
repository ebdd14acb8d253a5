"""Puts every small change of the core and of operations on trial that cargo-mutants can think of, all of them in one build.

core.py FOLDER [FILE...]     FOLDER is made, and holds the copy and the results; FILEs are paths from the root

cargo-mutants lists the changes. In a copy of the sources each stands in a body of its function's own, and a switch says which body runs: so
a mutant costs a run of the tests and no build. The copy consists of the crates that have no SDK below them and of the tests that need none. A
mutant is tried by its own crate's tests and the other's, then by the pipeline's, then by two hundred worlds of the simulation and the crash matrix.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PURE = ("bridge/core", "bridge/ops")
"""The crates that are changed."""

CRATES = (*PURE, "bridge/adapters", "bridge/simulation")

TESTS = """
[package]
name = "bridge-tests"
version = "0.1.0"
edition = "2024"

[lib]
path = "support/lib.rs"

[[test]]
name = "pipeline"
path = "pipeline/main.rs"

[[test]]
name = "worlds"
path = "worlds.rs"

[dependencies]
"""
NEEDED = ("async-trait", "bridge-adapters", "bridge-core", "bridge-ops", "bridge-simulation", "chrono", "fastrand", "futures-util")
NEEDED += ("jsonschema", "proptest", "serde", "serde_json", "tokio", "uuid")
WITHOUT = {"tests/pipeline/main.rs": "mod tidy;\n"}
"""What looks at the whole tree."""

PROFILES = """
[profile.dev]
opt-level = 1
debug = false
incremental = true
"""

SWITCH = """
/// The mutant that is on trial; none at 0.
pub fn on_trial() -> usize {
    static NUMBER: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *NUMBER.get_or_init(|| std::env::var("MUTANT").map_or(0, |number| number.parse().expect("a number")))
}
"""

SECONDS_MAX = 120
"""For one run of tests; a mutant for which they never end is noticed."""

BYTES_MAX = 4 << 30
"""Of addresses for one run of tests; a mutant that grows without an end is noticed, and takes nothing else along."""


@dataclass
class Mutant:
    number: int
    file: str
    name: str
    function: tuple[int, int]
    """Where the function begins and ends in its file."""
    change: tuple[int, int]
    replacement: str
    answers: str
    """The trait that the function's answer is said to have, where that is all that is said: two bodies of it are of two types."""


def copy(tree: Path) -> None:
    """Writes the copy anew, and leaves what was built of the last one."""
    for folder in ("bridge", "tests", "schema"):
        shutil.rmtree(tree / folder, ignore_errors=True)
    for crate in CRATES:
        shutil.copytree(ROOT / crate, tree / crate)
        manifest = tree / crate / "Cargo.toml"
        manifest.write_text(manifest.read_text().split("[[test]]")[0].replace("[lints]\nworkspace = true\n", ""))
    for folder in ("tests/support", "tests/pipeline", "schema"):
        shutil.copytree(ROOT / folder, tree / folder)
    shutil.copy(ROOT / "tests/mutants/worlds.rs", tree / "tests/worlds.rs")
    for name, line in WITHOUT.items():
        text = (tree / name).read_text()
        if text.count(line) != 1:
            raise SystemExit(f"{name} has changed: it does not have {line!r} once")
        (tree / name).write_text(text.replace(line, ""))
    (tree / "tests/Cargo.toml").write_text(TESTS + "".join(f"{name}.workspace = true\n" for name in NEEDED))
    manifest = (ROOT / "Cargo.toml").read_text().split("\n[profile")[0]
    (members,) = [line for line in manifest.splitlines() if line.startswith("members = ")]
    crates = ", ".join(f'"{name}"' for name in (*CRATES, "tests"))
    (tree / "Cargo.toml").write_text(manifest.replace(members, f"members = [{crates}]") + PROFILES)
    shutil.copy(ROOT / "Cargo.lock", tree / "Cargo.lock")


def listed(files: list[str]) -> list[Mutant]:
    """What cargo-mutants would change in these files, or in all."""
    command = ["cargo", "mutants", "--list", "--json", "--package", "bridge-core", "--package", "bridge-ops", "--dir", str(ROOT)]
    for file in files:
        command += ["--file", file]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    mutants = []
    for number, one in enumerate(answer, 1):
        if one["function"] is None:
            print(f"not tried, as no function can be divided: {one['name']}", flush=True)
            continue
        text = (ROOT / one["file"]).read_text()
        starts = [0]
        for line in text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))

        def place(at: Mapping[str, int], starts: list[int] = starts) -> int:
            return starts[at["line"] - 1] + at["column"] - 1

        def span(of: Mapping[str, Any]) -> tuple[int, int]:
            return place(of["span"]["start"]), place(of["span"]["end"])

        name = re.sub(r":\d+:\d+:", ":", one["name"])
        name += f" (line {one['span']['start']['line']}, column {one['span']['start']['column']})"
        _, _, answers = one["function"]["return_type"].partition("-> impl ")
        place_of = (span(one["function"]), span(one))
        mutants.append(Mutant(number, one["file"], name, *place_of, one["replacement"], answers))
    return mutants


def body(text: str, function: tuple[int, int]) -> tuple[int, int]:
    """Where the body of a function begins, behind its brace, and ends."""
    words = r"[ \t]*(pub(\([a-z]+\))? )?(const )?(async )?fn "
    # Behind its comments and attributes, if it has any.
    begin = re.compile(words).match(text, function[0]) or re.compile("^" + words, re.MULTILINE).search(text, *function)
    assert begin, text[function[0] : function[1]]
    return text.index("{", begin.end()) + 1, text.rindex("}", begin.end(), function[1])


def boxed(body: str, answers: str) -> str:
    """A body as it is, or one whose answer is of a type that all of them share."""
    if not answers:
        return body
    shared = f"Box<dyn {answers} + '_>"
    if answers.startswith("Stream"):  # A box of one is a stream only where it is pinned.
        return f"let answer: std::pin::Pin<{shared}> = Box::pin({{{body}}});\nanswer"
    return f"let answer: {shared} = Box::new({{{body}}});\nanswer"


def put_to_sleep(tree: Path, mutants: list[Mutant]) -> dict[str, list[tuple[int, int, int]]]:
    """Writes the sources with these mutants in them; answers by file which lines are whose."""
    owners: dict[str, list[tuple[int, int, int]]] = {}
    by_file: dict[str, dict[tuple[int, int], list[Mutant]]] = defaultdict(lambda: defaultdict(list))
    for mutant in mutants:
        by_file[mutant.file][mutant.function].append(mutant)
    for path in [path for crate in PURE for path in (ROOT / crate / "src").rglob("*.rs")]:
        file = str(path.relative_to(ROOT))
        text = path.read_text()
        made, at, owners[file] = "", 0, []
        switch = "crate" if file.startswith("bridge/core/") else "bridge_core"
        if path.name == "lib.rs":
            # Of arithmetic that a change makes wrong for certain the compiler would say so only when it builds.
            made = "#![allow(arithmetic_overflow, unconditional_panic)]\n"
        for function, inside in sorted(by_file[file].items()):
            begin, end = body(text, function)
            if begin < at:
                continue  # A function within a function: its mutants are left out.
            head = made.count("\n") + text.count("\n", at, function[0]) + 1
            made += text[at:begin] + f"\nmatch {switch}::on_trial() {{\n"
            signed = made.count("\n")
            for mutant in inside:
                start, stop = mutant.change
                changed = text[begin:start] + mutant.replacement + " " + text[stop:end]
                first = made.count("\n") + 1
                made += f"{mutant.number} => {{\n{boxed(changed, mutant.answers)}\n}}\n"
                owners[file].append((first, made.count("\n"), mutant.number))
            tail = made.count("\n") + 1
            made += "_ => {\n" + boxed(text[begin:end], inside[0].answers) + "\n}}\n"
            # Where the function cannot be divided at all, as one that is `const`, none of its mutants can be tried.
            for mutant in inside:
                owners[file] += [(head, signed, mutant.number), (tail, made.count("\n"), mutant.number)]
            at = end
        made += text[at:]
        if file == "bridge/core/src/lib.rs":
            made += SWITCH
        (tree / file).write_text(made)
    return owners


def cargo(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("CARGO_TARGET_DIR", "RUSTFLAGS")}
    command = ["cargo", *arguments, "--offline", "--message-format", "json"]
    return subprocess.run(command, cwd=tree, env=environment, check=False, capture_output=True, text=True)


def messages(ended: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


def viable(tree: Path, mutants: list[Mutant]) -> tuple[list[Mutant], list[Mutant]]:
    """Leaves out what does not compile, as often as it takes; answers what is left, and what is not."""
    left, out = mutants, []
    for _ in range(20):
        owners = put_to_sleep(tree, left)
        ended = cargo(tree, "check", "--package", "bridge-ops", "--lib")
        if ended.returncode == 0:
            return left, out
        bad = set()
        for message in messages(ended):
            if message["reason"] != "compiler-message" or message["message"]["level"] != "error":
                continue
            for span in message["message"]["spans"]:
                for first, last, number in owners.get(span["file_name"], []):
                    if span["is_primary"] and first <= span["line_start"] <= last:
                        bad.add(number)
        if not bad:
            raise SystemExit(ended.stdout[-4000:] + ended.stderr)
        out += [mutant for mutant in left if mutant.number in bad]
        left = [mutant for mutant in left if mutant.number not in bad]
        print(f"{len(bad)} do not compile, {len(left)} are left", flush=True)
    raise SystemExit("the mutants still do not compile")


def built(tree: Path) -> list[Path]:
    """The test programs, the core's own first."""
    packages = ["--package=bridge-core", "--package=bridge-ops", "--package=bridge-tests"]
    ended = cargo(tree, "test", "--no-run", *packages, "--tests")
    if ended.returncode != 0:
        raise SystemExit(ended.stderr)
    programs = {}
    for message in messages(ended):
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            programs[message["target"]["name"]] = Path(message["executable"])
    return [programs[name] for name in ("bridge_core", "bridge_ops", "pipeline", "worlds")]


def passes(tree: Path, program: Path, mutant: int, *arguments: str) -> bool:
    environment = dict(os.environ, MUTANT=str(mutant), PROPTEST_MAX_SHRINK_ITERS="0", RUST_BACKTRACE="0")
    environment["CARGO_MANIFEST_DIR"] = str(tree / "tests")
    try:
        ended = subprocess.run(
            [program, "--quiet", *arguments],
            cwd=tree / "tests",
            env=environment,
            check=False,
            timeout=SECONDS_MAX,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def noticed(tree: Path, programs: list[Path], mutant: Mutant) -> str | None:
    """The test program that notices a mutant; the tests of its own file are tried first."""
    crate, _, file = mutant.file.partition("/src/")
    own = file.removesuffix(".rs").removesuffix("/mod").replace("/", "::")
    if not passes(tree, programs[PURE.index(crate)], mutant.number, f"{own}::"):
        return crate.replace("/", "_")
    for program in programs:
        if not passes(tree, program, mutant.number):
            return program.name.split("-")[0]
    return None


def main() -> None:
    folder, files = Path(sys.argv[1]).resolve(), sys.argv[2:]
    tree = folder / "tree"
    tree.mkdir(parents=True, exist_ok=True)
    copy(tree)
    found = listed(files)
    if not found:
        raise SystemExit("there is nothing to change in these files; name them from the root: bridge/ops/src/replay/run.rs")
    mutants, out = viable(tree, found)
    programs = built(tree)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES_MAX, BYTES_MAX))
    for program in programs:
        if not passes(tree, program, 0):
            raise SystemExit(f"{program} fails with no mutant on trial")
    (folder / "unviable.txt").write_text("".join(f"{mutant.name}\n" for mutant in out))
    print(f"{len(mutants)} mutants, and {len(out)} that do not compile", flush=True)
    survivors = 0
    with (folder / "outcomes.txt").open("w") as outcomes:
        for mutant in mutants:
            by = noticed(tree, programs, mutant)
            survivors += by is None
            outcomes.write(f"{by or 'SURVIVES'}\t{mutant.name}\n")
            outcomes.flush()
            if by is None:
                print(f"survives: {mutant.name}", flush=True)
    print(f"{survivors} of {len(mutants)} survive")


if __name__ == "__main__":
    main()
