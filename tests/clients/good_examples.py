#!/usr/bin/env python3
"""Sends every good example to its origin's queue, and checks that both stores hold it exactly.

Exit code 0 if they do and no dead letter came, 1 if not.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from acceptance import DAY_SECONDS, LINES_SHOWN, POLL_SECONDS, say
from clouds import Clouds, connect
from compare import differences, order_differences
from contract import Event, read_event
from examples import Example, load
from site_port import Message, wait_for_letter


def main() -> int:
    options = _options()
    with connect(options.ready_file) as clouds:
        files = _send(clouds, load(good=True, pattern=options.match))
        expected = {event.key: event for event in files}
        say(f"sent {len(files)} examples")
        wrong = _wait(clouds, expected, options.timeout, options.tombstone_days * DAY_SECONDS)
        for site in clouds.sites:
            wrong += [f"a letter of {site.name}: {dict(letter.properties)}" for letter in wait_for_letter(site, 1)]
    for line in wrong[:LINES_SHOWN]:
        print(line)
    print(f"{len(expected)} examples: {f'FAILED, {len(wrong)} differences' if wrong else 'OK in both stores'}")
    return 1 if wrong or not expected else 0


def _send(clouds: Clouds, examples: list[Example]) -> list[Event]:
    events: list[Event] = []
    waiting: dict[str, list[Message]] = {site.name: [] for site in clouds.sites}
    for example in examples:
        message = example.message(clouds.aws.name, clouds.azure.name)
        event = read_event(message.body)
        waiting[event.source_region].append(message)
        events.append(event)
    for site in clouds.sites:
        site.send(waiting[site.name])
    return events


def _wait(clouds: Clouds, expected: dict[str, Event], timeout_seconds: float, tombstone_seconds: float) -> list[str]:
    end = time.monotonic() + timeout_seconds
    while True:
        aws, azure = (
            {key: record for key, record in site.records().items() if key in expected} for site in clouds.sites
        )
        lines = differences(clouds.aws.name, expected, aws, tombstone_seconds)
        lines += differences(clouds.azure.name, expected, azure, tombstone_seconds)
        lines += order_differences(expected, aws, azure)
        if not lines or time.monotonic() > end:
            return lines
        time.sleep(POLL_SECONDS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: good_examples.py ready.json --match key_")
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    parser.add_argument("--match", default="*", help="part of a file's name, or a pattern with * and ?")
    parser.add_argument("--timeout", type=float, default=30, help="seconds to wait (%(default)s)")
    parser.add_argument("--tombstone-days", type=float, default=60, help="life of a tombstone (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
