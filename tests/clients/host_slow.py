#!/usr/bin/env python3
"""Runs the Lambda function with a store that takes its time, and tells how far each batch size gets.

For each batch size and timeout: a queue that is filled, two environments at work, and a store that takes so long for every call. Every
event must be written in the end, none may be set aside, and the queue's own dead letters must stay empty. The figures stand in
docs/hosts.md. Exit code 0 if all is as it must be, 1 if not. Needs both queues to itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from acceptance import DAY_SECONDS, say
from clouds import connect
from compare import differences
from contract import winners
from hosts import script
from hosts.counts import Counts
from hosts.event_source_mapping import EventSourceMapping, Mapped
from hosts.faults import Faults
from hosts.lambda_runtime import Environment
from hosts.settings import lambda_function
from site_port import Site, wait_for_letter

TOMBSTONE_SECONDS = 60 * DAY_SECONDS
ENVIRONMENTS = 2
SEND_AT_ONCE = 200
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Row:
    """A function as it is configured, and how much it is given to do."""

    batch: int
    timeout_seconds: float
    events: int

    @staticmethod
    def read(text: str) -> Row:
        batch, timeout, events = text.split("/")
        return Row(int(batch), float(timeout), int(events))


class Watched(EventSourceMapping):
    """A mapping that notes what invocations did."""

    def __init__(self, site: dict[str, str], timeout_seconds: float, counts: Counts) -> None:
        super().__init__(site, timeout_seconds, counts)
        self.deliveries_max = 0
        self.settled: list[int] = []

    def note(self, mapped: Mapped) -> None:
        deliveries = (int(message["Attributes"]["ApproximateReceiveCount"]) for message in mapped.messages)
        self.deliveries_max = max(self.deliveries_max, *deliveries)
        self.settled.append(len(mapped.messages) - len(mapped.kept))


def main() -> int:
    options = _options()
    ready = json.loads(options.ready_file.read_text())
    wrong: list[str] = []
    with connect(options.ready_file) as clouds:
        for row in options.rows:
            wrong += _play(options, ready, clouds.aws, row)
    return script.verdict(wrong)


def _play(options: argparse.Namespace, ready: dict, site: Site, row: Row) -> Iterator[str]:
    counts = Counts()
    function = lambda_function(options.package / "lambda", ready, site.name, row.timeout_seconds)
    mapping = Watched(ready["sites"][site.name], row.timeout_seconds, counts)
    environments = [Environment(function, counts) for _ in range(ENVIRONMENTS)]
    bodies = [script.event(site, f"slow-{uuid4()}") for _ in range(row.events)]
    for begin in range(0, len(bodies), SEND_AT_ONCE):
        site.send(bodies[begin : begin + SEND_AT_ONCE])
    stop = threading.Event()

    def work(environment: Environment) -> None:
        while not stop.is_set():
            for mapped in mapping.work_off(environment, mapping.receive(row.batch)):
                mapping.note(mapped)

    faults = Faults(ready["admin"])
    began = time.monotonic()
    with faults.during(f"dynamodb:*:latency,fixed={options.call_ms}ms"):
        threads = [threading.Thread(target=work, args=(environment,), daemon=True) for environment in environments]
        for thread in threads:
            thread.start()
        while not site.queue_is_empty() and time.monotonic() < began + options.timeout:
            time.sleep(LOOK_SECONDS)
        took = time.monotonic() - began
        stop.set()
        for thread in threads:
            thread.join()
    for environment in environments:
        environment.close()
    idle = sum(not settled for settled in mapping.settled)
    say(
        f"batches of {row.batch}, {row.timeout_seconds:g} s: {row.events} events in {took:.1f} s "
        f"({row.events / took:.0f}/s), {counts['invocations']} invocations, {counts['timeout']} cut off, "
        f"{idle} that settled nothing, {mapping.deliveries_max} deliveries of a message at most"
    )
    expected = winners(bodies)
    records = {key: record for key, record in site.records().items() if key in expected}
    yield from differences(site.name, expected, records, TOMBSTONE_SECONDS)
    for letter in wait_for_letter(site, 1):
        yield f"{site.name}: a letter that should not be: {dict(letter.properties)}"
    if counts["timeout"]:
        yield f"{counts['timeout']} invocations were cut off by the function's timeout"
    if mapping.deliveries_max > options.deliveries_max:
        yield f"a message was delivered {mapping.deliveries_max} times, {options.deliveries_max} are allowed"


def _options() -> argparse.Namespace:
    parser = script.arguments(__doc__, "host_slow.py ready.json --package dist --rows 10/30/200 100/60/1000")
    rows = [Row(10, 3, 40), Row(100, 3, 100), Row(1000, 3, 300)]
    parser.add_argument(
        "--rows", nargs="+", type=Row.read, default=rows, metavar="BATCH/TIMEOUT/EVENTS", help="what to play"
    )
    parser.add_argument("--call-ms", type=int, default=900, help="how long the store takes for a call (%(default)s)")
    parser.add_argument(
        "--deliveries-max", type=int, default=20, help="deliveries that a message may have: half of the usual redrive's (%(default)s)"
    )
    parser.add_argument("--timeout", type=float, default=600, help="seconds for a row (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
