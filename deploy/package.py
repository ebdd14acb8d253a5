#!/usr/bin/env python3
"""Makes what the clouds deploy, in target/package: lambda-ARCHITECTURE.zip for AWS Lambda, function.zip for Azure Functions.

One build for each architecture serves both. Built against glibc 2.28: Amazon Linux 2023 has 2.34, the images of Azure
Functions have 2.31 and later. Built without localcloud. The same source gives the same bytes: entries have no times.

    package.py [ARCHITECTURE...] [--config FILE]    # FILE goes into each archive as bridge.toml, where a function reads it

Needs Rust, and `ziglang` and `cargo-zigbuild` from deploy/requirements.txt, which `just package` installs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "target" / "package"
GLIBC = "2.28"
TARGETS = {"x86_64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
ZIP_BYTES_MAX = 12 * 1024 * 1024
"""The design's bound for the Lambda package; Lambda itself takes 50 MB."""
FORBIDDEN = ("localcloud", "dynoxide-rs", "rusqlite")
"""What runs clouds on loopback must not reach a cloud."""

EXECUTABLE, PLAIN = 0o755, 0o644


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architectures", nargs="*", choices=[*TARGETS, []], metavar="ARCHITECTURE", help="all of them unless some are named")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration of all sites, for one that is too long for a function's environment")
    words = parser.parse_args()
    if words.config and not words.config.is_file():
        sys.exit(f"--config: there is no file {words.config}")
    refuse_localcloud()
    PACKAGES.mkdir(parents=True, exist_ok=True)
    sizes = [size for architecture in words.architectures or list(TARGETS) for size in package(architecture, build(architecture), words.config)]
    for path, packed, binary in sizes:
        print(f"{path.relative_to(ROOT)}: {packed / 2**20:.1f} MiB, its binary {binary / 2**20:.1f} MiB")
    too_large = [path.name for path, packed, _ in sizes if packed > ZIP_BYTES_MAX]
    if too_large:
        print(f"over {ZIP_BYTES_MAX / 2**20:.0f} MiB: {', '.join(too_large)}", file=sys.stderr)
    return 1 if too_large else 0


def refuse_localcloud() -> None:
    """Fails if the package's dependency tree holds what belongs to localcloud alone."""
    command = ["cargo", "tree", "--locked", "--package", "bridge", "--no-default-features", "--edges", "normal"]
    command += ["--prefix", "none", "--format", "{p}"]
    tree = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = {line.split()[0] for line in tree.splitlines() if line.split()} & set(FORBIDDEN)
    if found:
        sys.exit(f"the package must not contain {', '.join(sorted(found))}: see bridge/app/Cargo.toml, feature `local`")


def build(architecture: str) -> Path:
    """Builds the binary; answers where it is."""
    target = TARGETS[architecture]
    if f"host: {target}" not in _output("rustc", "--version", "--verbose").splitlines():
        subprocess.run(["rustup", "target", "add", target], check=True)
    command = ["cargo", "zigbuild", "--locked", "--release", "--package", "bridge", "--no-default-features"]
    subprocess.run([*command, "--target", f"{target}.{GLIBC}"], cwd=ROOT, check=True)
    return ROOT / "target" / target / "release" / "bridge"


def package(architecture: str, binary: Path, config: Path | None = None) -> list[tuple[Path, int, int]]:
    """Makes the archives of one architecture; answers each with its bytes and its binary's."""
    more = [(config, "bridge.toml", PLAIN)] if config else []
    archives = {PACKAGES / f"lambda-{architecture}.zip": [(binary, "bootstrap", EXECUTABLE), *more]}
    if architecture == "x86_64":  # Azure Functions run on no other.
        folder = ROOT / "deploy" / "azure" / "function"
        files = [(path, str(path.relative_to(folder)), PLAIN) for path in sorted(folder.rglob("*.json"))]
        archives[PACKAGES / "function.zip"] = [(binary, "bridge", EXECUTABLE), *files, *more]
    for path, entries in archives.items():
        archive(path, entries)
    return [(path, path.stat().st_size, binary.stat().st_size) for path in archives]


def archive(path: Path, entries: list[tuple[Path, str, int]]) -> None:
    """Writes an archive whose bytes depend on its entries alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for source, name, mode in entries:
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix: without it the run bit is not read.
            out.writestr(entry, source.read_bytes())


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
