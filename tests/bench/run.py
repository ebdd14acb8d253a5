#!/usr/bin/env python3
"""Measures the bridge beside hand-written ones, on one localcloud, by turns: a table, JSON and a plot. docs/benchmarks.md says what each figure means."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

# First: it says where the scripts of tests/clients are.
from options import ROOT, contenders_of, parser, sides_of

import capacity
import measure
import report
from contenders import Contender, config_of
from local import Local
from sides import SIDES, Side
from traffic import Traffic

PAUSE_SECONDS = 1.0
"""Before each measurement, so that what ended before it has ended."""


def main() -> int:
    options = _options()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    with Local(options.program, options.address, "--without-workers") as local, ExitStack() as stack:
        bench = measure.Bench(local, config_of(local.ready, out / "bridge.toml"), out)
        sides = [SIDES[name](local.ready, stack) for name in sides_of(options)]
        results: report.Results = {side.name: {} for side in sides}
        about = _about(options)
        for turn in range(options.rounds):
            contenders = contenders_of(options)
            # Another one begins in each round.
            first = turn % len(contenders)
            for side in sides:
                for contender in contenders[first:] + contenders[:first]:
                    figures = _one(bench, contender, side, turn, options)
                    results[side.name].setdefault(contender.name, []).append(figures)
                    _say(turn, side, contender, figures)
                    _save(out, about, results, {}, bench.wrong)
        whole = {contender.name for contender in contenders if contender.stores}
        served = {} if options.without_capacity else capacity.measure(local, sides, _fastest(results, whole), options)
    print(_save(out, about, results, served, bench.wrong))
    print("\n".join(bench.wrong))
    return 1 if bench.wrong else 0


def _save(out: Path, about: dict[str, str], results: report.Results, served: dict[str, Any], wrong: list[str]) -> str:
    """Writes what is known so far; answers the table."""
    ordered = {side: dict(sorted(contenders.items(), key=_place)) for side, contenders in results.items()}
    saved = {"about": about, "results": ordered, "capacity": served, "wrong": wrong}
    (out / "results.json").write_text(json.dumps(saved, indent=1) + "\n")
    (out / "results.svg").write_text(report.plot(ordered))
    text = "\n".join(f"{name}: {value}" for name, value in about.items())
    text += f"\n\n{report.table(ordered)}\n{capacity.table(served)}"
    (out / "results.md").write_text(text)
    return text


def _one(bench: measure.Bench, contender: Contender, side: Side, turn: int, options: Any) -> dict[str, Any]:
    """All measurements of one contender, on empty queues."""
    run = f"{side.name}-{turn}-{contender.name}"
    # The same for all, but for the keys.
    traffic = Traffic(side.site, f"{run}-all", options.events, options.keys, options.bytes, options.seed + turn)
    figures: dict[str, Any] = {}
    parts = [
        lambda: measure.start(bench, contender, side, f"{run}-start"),
        lambda: measure.backlog(bench, contender, side, traffic),
    ]
    if contender.stores:
        more = options.rate, options.seconds, options.keys, options.bytes
        parts.append(lambda: measure.lag(bench, contender, side, f"{run}-lag", *more))
    for part in parts:
        side.empty_queues()
        time.sleep(PAUSE_SECONDS)
        figures |= part()
    return report.add_derived(figures, side.name, options.bytes, contender.stores)


def _fastest(results: report.Results, whole: set[str]) -> dict[str, float]:
    """By side, the events/s of the best round of whoever does the whole job."""
    return {
        side: max((rate for name in whole & contenders.keys() for rate in report.values(contenders[name], "events_per_s")), default=0.0)
        for side, contenders in results.items()
    }


def _say(turn: int, side: Side, contender: Contender, figures: dict[str, Any]) -> None:
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in figures.items() if isinstance(value, float))
    print(f"round {turn + 1}, {side.name}, {contender.name}: {numbers}", file=sys.stderr, flush=True)


def _place(named: tuple[str, report.Rounds]) -> tuple[bool, str]:
    """The bridge stands last."""
    return named[0] == "bridge", named[0]


def _about(options: Any) -> dict[str, str]:
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?")
    packages = json.loads((ROOT / "tests/bench/anchors/node/package.json").read_text())["dependencies"]
    anchors = [f"{name} {version(name)}" for name in ("boto3", "azure-servicebus", "azure-cosmos", "aiohttp")]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} cores, {model}, load {os.getloadavg()[0]:.1f}, Linux {platform.release()}",
        "bridge": _first_line([str(options.bridge or options.program), "--version"]),
        "commit": _first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
        "python": f"{platform.python_version()}; {', '.join(anchors)}",
        "node": f"{_first_line(['node', '--version'])}; {', '.join(f'{name} {number}' for name, number in packages.items())}",
        "events": f"{options.events:,} of {options.bytes} B over {options.keys:,} keys, seed {options.seed}; rounds: {options.rounds}",
        "lag": f"at {options.rate}/s for {options.seconds} s after {measure.WARM_UP_SECONDS} s of warm-up",
    }


def _first_line(command: list[str]) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return said.splitlines()[0] if said else "unknown"


def _options() -> Any:
    made = parser(__doc__)
    made.add_argument("--events", type=int, default=3000)
    made.add_argument("--keys", type=int, default=1000)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--rate", type=int, default=200, help="events a second, where lag is measured")
    made.add_argument("--seconds", type=int, default=15, help="for so long")
    made.add_argument("--without-capacity", action="store_true", help="do not measure what localcloud sustains")
    made.add_argument("--out", type=Path, default=ROOT / "target/bench/results", help="folder of results.json, results.md, results.svg")
    return made.parse_args()


if __name__ == "__main__":
    sys.exit(main())
