#!/usr/bin/env python3
"""Makes a store or a whole peer unreachable under steady traffic, and measures how soon the containers' stores are equal after its return.

Needs clouds with workers. Nothing may be lost, no letter may be left, and the last event must be there within `--equal-max` seconds of the
return. Prints one line of JSON with the figures, and exits with 0 if all is as it must be, else with 1.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from acceptance import say
from clouds import Clouds, connect
from host_outage import Traffic, last_applied, under, wait_for_equal
from hosts import script
from hosts.faults import Faults
from site_port import Site

FAULTS = {"store": "dynamodb:*:dark", "peer": "azure:*:dark"}
LETTERS_SECONDS_MAX = 60
WRITES = re.compile(r'^bridge_apply_duration_seconds_count\{.*\} (\d+)', re.MULTILINE)


def main() -> int:
    options = _options()
    ready = json.loads(options.ready_file.read_text())
    wrong: list[str] = []
    with connect(options.ready_file) as clouds:
        # A peer that is away takes no events of its own.
        senders: Sequence[Site] = clouds.sites if options.outage == "store" else [clouds.aws]
        traffic = Traffic(senders, options.rate)
        before = _writes(ready["metrics"])
        dark = under(Faults(ready["admin"]), traffic, options.seconds, FAULTS[options.outage])
        wrong += wait_for_equal(clouds.sites, traffic, options.timeout)
        equal = last_applied(clouds.aws if options.outage == "store" else clouds.azure, traffic, dark.end) - dark.end
        writes = _writes(ready["metrics"]) - before
        wrong += _letters(clouds)
    figures = {
        "outage": options.outage,
        "seconds": options.seconds,
        "events": len(traffic.sent),
        "equal_after_seconds": round(equal, 1),
        # Each event is to be written in both stores.
        "calls_per_write": round(writes / max(1, 2 * len(traffic.sent)), 2),
    }
    print(json.dumps(figures))
    if equal > options.equal_max:
        wrong.append(f"the last event of the outage was applied {equal:.1f} s after the return, not within {options.equal_max:g} s")
    if options.outage == "store" and writes > 2 * 2 * len(traffic.sent):
        wrong.append(f"{writes} calls of the stores for {len(traffic.sent)} events")
    return script.verdict(wrong)


def _letters(clouds: Clouds) -> list[str]:
    """The sites whose letters have not gone by themselves."""
    end = time.monotonic() + LETTERS_SECONDS_MAX
    while (left := {site.name: site.letters_waiting() for site in clouds.sites}) and any(left.values()):
        if time.monotonic() > end:
            return [f"{name}: {count} letters are left" for name, count in left.items() if count]
        time.sleep(1)
    return []


def _writes(address: str) -> int:
    """Calls of all stores so far, as the workers count them."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        return sum(int(count) for count in WRITES.findall(answer.read().decode()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    parser.add_argument("--outage", choices=tuple(FAULTS), default="store", help="what is unreachable (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="for how long (%(default)s)")
    parser.add_argument("--rate", type=float, default=50, help="events a second (%(default)s)")
    parser.add_argument("--equal-max", type=float, default=5, help="seconds in which all must be there (%(default)s)")
    parser.add_argument("--timeout", type=float, default=300, help="seconds to wait for equal stores (%(default)s)")
    options = parser.parse_args()
    say(f"{options.outage} unreachable for {options.seconds:g} s at {options.rate:g} events a second")
    return options


if __name__ == "__main__":
    sys.exit(main())
