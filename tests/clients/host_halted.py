#!/usr/bin/env python3
"""Runs each function with a store that is not there, and then as it should be: nothing may be lost or set aside.

Exit code 0 if all is as it must be, 1 if not. Needs both queues to itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from uuid import uuid4

from acceptance import DAY_SECONDS, say
from compare import differences
from contract import winners
from hosts import script
from hosts.players import Players
from site_port import wait_for_letter

TOMBSTONE_SECONDS = 60 * DAY_SECONDS
EVENTS = 20
LAMBDA_TIMEOUT_SECONDS = 2.0
HALTED_SECONDS = 8.0
HALT_SECONDS = 5
"""Long enough that a message has most of its deliveries left when the store is back."""
WORK_SECONDS = 60.0


def main() -> int:
    options = _options()
    sites = json.loads(options.ready_file.read_text())["sites"]
    missing = {"aws": "TABLE", "azure": "CONTAINER"}
    settings = [f"{_variable(name, missing[site['cloud']])}=not-there" for name, site in sites.items()]
    settings.append(f"BRIDGE_WORKER_FUNCTION_HALT_SECONDS={HALT_SECONDS}")
    wrong: list[str] = []

    with Players(options.ready_file, options.package, settings, LAMBDA_TIMEOUT_SECONDS) as players:
        bodies = {site.name: [script.event(site, f"halted-{uuid4()}") for _ in range(EVENTS)] for site in players.clouds.sites}
        for site in players.clouds.sites:
            site.send(bodies[site.name])
        azure = players.clouds.azure
        with players.faults.during("service-bus:rest-send:error"), players.running(azure):
            time.sleep(HALTED_SECONDS)
        counts = players.counts[azure.name]
        say(f"{azure.name}, halted and without copies: {counts.line()}")
        if counts["completed"] or not counts["abandoned"]:
            wrong.append(f"{azure.name}: {counts['completed']} messages were let go of which not even a copy was sent")
        with players.running(*players.clouds.sites):
            time.sleep(HALTED_SECONDS)
        for name, counts in players.counts.items():
            say(f"{name}, halted: {counts.line()}")
            # An Azure Function puts a copy in the place of each message that it completes.
            if not counts["failures"] + counts["completed"]:
                wrong.append(f"{name}: nothing was tried, though there were messages")
            if counts["deleted"]:
                wrong.append(f"{name}: {counts['deleted']} messages were let go without a store")

    with Players(options.ready_file, options.package, timeout_seconds=LAMBDA_TIMEOUT_SECONDS) as players:
        wrong += players.work_off(*players.clouds.sites, within_seconds=WORK_SECONDS)
        wrong += _differences(players, [body for sent in bodies.values() for body in sent])
    return script.verdict(wrong)


def _differences(players: Players, bodies: list[bytes]) -> Iterator[str]:
    expected = winners(bodies)
    for site in players.clouds.sites:
        records = {key: record for key, record in site.records().items() if key in expected}
        yield from differences(site.name, expected, records, TOMBSTONE_SECONDS)
        for letter in wait_for_letter(site, 1):
            yield f"{site.name}: a letter that should not be: {dict(letter.properties)}"


def _variable(site: str, key: str) -> str:
    """The variable that overrides a site's key: docs/configuration.md."""
    return f"BRIDGE_SITES_{site.upper().replace(':', '_').replace('-', '_')}_{key}"


def _options() -> argparse.Namespace:
    parser = script.arguments(__doc__, "host_halted.py ready.json --package dist")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
