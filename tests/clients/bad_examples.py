#!/usr/bin/env python3
"""Sends every bad example among good events, and checks that it alone is set aside, whole, with its reason.

Exit code 0 if each got the answer of schema/examples/index.json and nothing else came, 1 if not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from acceptance import DAY_SECONDS, LINES_SHOWN, POLL_SECONDS, say
from clouds import Clouds, connect
from compare import differences
from contract import read_event, winners
from examples import Example, load
from site_port import Letter, Message, Site, wait_for_letter

PATH_REASONS = {"duplicate_member", "invalid_event", "unsupported_schema_version", "invalid_key", "not_portable"}
"""Reasons whose detail begins with the JSON path."""
SWEEP_SECONDS = 1.0


@dataclass
class Findings:
    """What the run has come to so far."""

    checked: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    good: list[bytes] = field(default_factory=list)
    slowest_seconds: float = 0.0


def main() -> int:
    options = _options()
    found = Findings()
    with connect(options.ready_file) as clouds:
        for site in clouds.sites:
            _sweep(site, found, "before the first example")
        for cloud, site, peer in (("aws", clouds.aws, clouds.azure), ("azure", clouds.azure, clouds.aws)):
            examples = [one for one in load(good=False, pattern=options.match) if one.goes_to(cloud)]
            for number, example in enumerate(examples, 1):
                if len(found.wrong) >= options.failures_max:
                    break
                _check(site, example.message(site.name, peer.name), example, found, options.within)
                if number % 50 == 0 or number == len(examples):
                    say(f"{site.name}: {number} of {len(examples)} examples, {len(found.wrong)} differences")
        for site in clouds.sites:
            _sweep(site, found, "after the last example")
        if options.peers:
            _check_peers(clouds, options.match, found, options.timeout)
        _check_good(clouds, found, options.timeout, options.tombstone_days * DAY_SECONDS)
    return _report(found, len(clouds.sites))


def _check(site: Site, message: Message, example: Example, found: Findings, within_seconds: float) -> None:
    """One batch of three, of which the middle one must become a letter in time."""
    before, after = _good_event(site.name), _good_event(site.name)
    site.send([before, message, after])
    found.good += before, after
    found.checked[site.name] += 1
    what = f"{site.name}: {example.file} ({example.why})"
    begin = time.monotonic()
    letter = _own_letter(site, message.body, found, begin + within_seconds)
    if letter is None:
        found.wrong.append(f"{what}: no dead letter within {within_seconds:g} s, should be {example.reason}")
        return
    found.slowest_seconds = max(found.slowest_seconds, time.monotonic() - begin)
    owed = None if example.owed is None else example.owed.replace("@SITE@", site.name)
    found.wrong += [f"{what}: {line}" for line in _letter_differences(example, letter, owed)]
    site.drop_letter(letter)


def _own_letter(site: Site, body: bytes, found: Findings, end: float) -> Letter | None:
    """Takes letters until that of `body` comes; any other is a finding, and stays in the queue."""
    while (left := end - time.monotonic()) > 0:
        for letter in wait_for_letter(site, left):
            if letter.body == body:
                return letter
            found.wrong.append(f"{site.name}: a letter too late, or of nobody: {_words(letter)}")
    return None


def _letter_differences(example: Example, letter: Letter, owed: str | None) -> Iterator[str]:
    properties = letter.properties
    detail = properties.get("bridge_detail", "")
    if properties.get("bridge_reason") != example.reason:
        yield f"reason is {properties.get('bridge_reason')}, should be {example.reason}; detail: {detail}"
    elif example.path is not None and example.reason in PATH_REASONS and not _begins_with(detail, example.path):
        yield f"the detail should begin with {example.path}, it is: {detail}"
    for name in ("bridge_detail", "bridge_source_queue", "bridge_attempt"):
        if not properties.get(name):
            yield f"the letter has no property {name}"
    if properties.get("bridge_owed") != owed:
        yield f"the letter owes it to {properties.get('bridge_owed')}, should to {owed}"


def _begins_with(detail: str, path: str) -> bool:
    return detail.startswith(path) and not detail[len(path) :][:1].isalnum()


def _check_peers(clouds: Clouds, pattern: str, found: Findings, timeout_seconds: float) -> None:
    """What only its origin refuses must be applied where its origin forwards it; what all refuse stays owed there."""
    aws, azure = clouds.sites
    for site, peer in ((aws, azure), (azure, aws)):
        for example in load(good=False, pattern=pattern):
            if example.origin not in ("own", "all"):
                continue
            message = example.message(peer.name, site.name)
            forward = Message(message.body, {**message.properties, "bridge_forwarded_by": peer.name})
            if example.origin == "all":
                owed = replace(example, owed=site.name, why="forwarded by its origin")
                _check(site, forward, owed, found, timeout_seconds)
                continue
            event = read_event(forward.body)
            site.send([forward])
            found.checked[f"{site.name} as a peer"] += 1
            end = time.monotonic() + timeout_seconds
            while (record := site.record(event.key)) is None and time.monotonic() < end:
                time.sleep(POLL_SECONDS / 10)
            if record is None or record.version != event.version_text:
                found.wrong.append(
                    f"{site.name}: {example.file} of {peer.name} should be applied, the store has {record}"
                )
            # It is in this store alone, since its origin never had it: no trace must stay.
            site.forget(event.key)
        _sweep(site, found, "after a peer's events")


def _check_good(clouds: Clouds, found: Findings, timeout_seconds: float, tombstone_seconds: float) -> None:
    """The good events of every batch must be applied in both stores."""
    expected = winners(found.good)
    end = time.monotonic() + timeout_seconds
    for site in clouds.sites:
        while True:
            stored = site.records()
            mine = {key: record for key, record in stored.items() if key in expected}
            lines = differences(site.name, expected, mine, tombstone_seconds)
            if not lines or time.monotonic() > end:
                break
            time.sleep(POLL_SECONDS)
        found.wrong += lines
        # A bad example's key, or that of a record it should have left, begins with bad/.
        found.wrong += [f"{site.name}: {key!r} was applied" for key in stored if key.startswith("bad/")]


def _sweep(site: Site, found: Findings, when: str) -> None:
    """Nothing but what is expected may lie among the dead letters."""
    for letter in wait_for_letter(site, SWEEP_SECONDS):
        found.wrong.append(f"{site.name}: a letter {when}: {_words(letter)}")


def _words(letter: Letter) -> str:
    return f"{dict(letter.properties)}, {letter.body[:200]!r}"


def _good_event(site: str) -> bytes:
    event = {
        "event_id": str(uuid4()),
        "source_region": site,
        "op_type": "create",
        "payload": {"id": f"among-bad-examples-{uuid4()}"},
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return json.dumps(event).encode()


def _report(found: Findings, sites: int) -> int:
    for line in found.wrong[:LINES_SHOWN]:
        print(line)
    if len(found.wrong) > LINES_SHOWN:
        print(f"... and {len(found.wrong) - LINES_SHOWN} more")
    for name, count in found.checked.items():
        print(f"{name}: {count} examples")
    print(f"{len(found.good)} good events among them; the slowest letter came after {found.slowest_seconds:.2f} s")
    if not found.checked:
        print("no example matches")
        return 1
    print(f"FAILED: {len(found.wrong)} differences" if found.wrong else f"OK at {sites} sites")
    return 1 if found.wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: bad_examples.py ready.json --match not_json")
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    parser.add_argument("--match", default="*", help="part of a file's name, or a pattern with * and ?")
    parser.add_argument("--within", type=float, default=2, help="seconds in which a letter must come (%(default)s)")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for good events to be applied (%(default)s)")
    parser.add_argument("--tombstone-days", type=float, default=60, help="life of a tombstone (%(default)s)")
    parser.add_argument("--failures-max", type=int, default=50, help="give up after so many differences (%(default)s)")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="do not send events in a peer's name")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
