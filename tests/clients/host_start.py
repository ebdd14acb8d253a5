#!/usr/bin/env python3
"""Measures each function from the start of its process to its first batch answered, over several runs.

A figure and no test: it prints minimum, median and maximum in milliseconds. Exit code 1 only if a run failed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from datetime import UTC, datetime
from uuid import uuid4

from hosts import script
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
        lambdas = [_lambda_ms(players) for _ in range(options.runs)]
        functions = [_function_ms(players) for _ in range(options.runs)]
    rows = {
        f"Lambda, until a batch of {BATCH} is answered": lambdas,
        "Function, until it is seen to be ready": [ready for ready, _ in functions],
        "Function, until a message is answered": [answered for _, answered in functions],
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
    begin = time.monotonic()
    try:
        outcome = environment.invoke(event)
        took_ms = _ms_since(begin)
    finally:
        environment.close()
    if outcome.how is not Ended.ANSWER or kept(outcome, {str(message["MessageId"]) for message in messages}):
        raise SystemExit(f"the first invocation ended with {outcome}")
    return took_ms


def _function_ms(players: Players) -> tuple[float, float]:
    """One cold start of the custom handler: until it is seen to be ready, and until it has answered one message.

    The host looks every 25 ms, so the first is on average half of that too long, and the second with it.
    """
    now = datetime.now(UTC)
    trigger = players.package.trigger("serviceBusTrigger")
    message = Received(_event(players.clouds.azure), str(uuid4()), 1, now, now)
    payload = one(trigger.function, trigger.binding, trigger.members["dataType"], message)
    host = FunctionsHost(players.package, players.app, Counts())
    begin = time.monotonic()
    try:
        host.start()
        ready_ms = _ms_since(begin)
        verdict = host.invoke(trigger.function, payload)
        took_ms = _ms_since(begin)
    finally:
        host.close()
    if not verdict.completed:
        raise SystemExit(f"the first invocation ended with {verdict}")
    return ready_ms, took_ms


def _ms_since(begin: float) -> float:
    return (time.monotonic() - begin) * 1000


def _event(site: Site) -> bytes:
    return script.event(site, f"start-{uuid4()}")


def _options() -> argparse.Namespace:
    parser = script.arguments(__doc__, "host_start.py ready.json --package dist")
    parser.add_argument("--runs", type=int, default=10, help="starts of each (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
