#!/usr/bin/env python3
"""Measures each function from the start of its process to its first batch answered, over several runs.

A figure and no test: it prints minimum, median and maximum in milliseconds. Exit code 1 only if a run failed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from hosts.counts import Counts
from hosts.function_payload import Received, one
from hosts.functions_host import FunctionsHost
from hosts.lambda_runtime import Ended, Environment
from hosts.partial_batch import kept
from hosts.players import Players
from site_port import Site

BATCH = 10


def main() -> int:
    options = _options()
    with Players(options.ready_file, options.package) as players:
        rows = {
            f"Lambda, a batch of {BATCH}": [_lambda_ms(players) for _ in range(options.runs)],
            "Function, one message": [_function_ms(players) for _ in range(options.runs)],
        }
    for name, figures in rows.items():
        lowest, middle, highest = min(figures), statistics.median(figures), max(figures)
        print(f"{name}: {lowest:.0f} / {middle:.0f} / {highest:.0f} ms (min / median / max of {len(figures)} starts)")
    return 0


def _lambda_ms(players: Players) -> float:
    """One cold start of the function on Lambda: until its answer to ten messages is there, and lets them all go."""
    site = players.clouds.aws
    messages = [
        {"MessageId": str(uuid4()), "ReceiptHandle": "none", "Body": _event(site).decode(), "MD5OfBody": ""}
        for _ in range(BATCH)
    ]
    event = players.mapping.event(messages)
    environment = Environment(players.environments[0].function, Counts())

    def first() -> None:
        outcome = environment.invoke(event)
        if outcome.how is not Ended.ANSWER or kept(outcome, {str(message["MessageId"]) for message in messages}):
            raise SystemExit(f"the first invocation ended with {outcome}")

    try:
        return _ms(first)
    finally:
        environment.close()


def _function_ms(players: Players) -> float:
    """One cold start of the custom handler: until it is seen to be ready, and has answered one message."""
    now = datetime.now(UTC)
    trigger = players.package.trigger("serviceBusTrigger")
    message = Received(_event(players.clouds.azure), str(uuid4()), 1, now, now)
    payload = one(trigger.function, trigger.binding, trigger.members["dataType"], message)
    host = FunctionsHost(players.package, players.app, Counts())

    def first() -> None:
        host.start()
        verdict = host.invoke(trigger.function, payload)
        if not verdict.completed:
            raise SystemExit(f"the first invocation ended with {verdict}")

    try:
        return _ms(first)
    finally:
        host.close()


def _ms(work: Callable[[], None]) -> float:
    begin = time.monotonic()
    work()
    return (time.monotonic() - begin) * 1000


def _event(site: Site) -> bytes:
    event = {
        "event_id": str(uuid4()),
        "source_region": site.name,
        "op_type": "create",
        "payload": {"id": f"start-{uuid4()}"},
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return json.dumps(event).encode()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: host_start.py ready.json --package dist")
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    parser.add_argument("--package", type=Path, required=True, help="the folder of the unpacked lambda/ and function/")
    parser.add_argument("--runs", type=int, default=10, help="starts of each (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
