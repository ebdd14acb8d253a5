#!/usr/bin/env python3
"""The books after chaos: whether both stores hold what was sent, and whether every message is accounted for.

Reads what was sent from --state: {"sent": [{"site", "body", "flaw"}]}, each message as often as it was made; `flaw` is the
reason that its letter must have, or null. Knows the contract in schema/ and nothing of the bridge's code. Takes the letters
out as it reads them. Exit code 0 if all is as it must be, 1 if not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clouds import Clouds, connect
from compare import differences, order_differences
from contract import Event, read_event, winners
from site_port import Site, wait_for_letter
from stored import Record

LINES_SHOWN = 100
NO_LETTER_SECONDS = 1.0
"""With no letter for so long there are none; all leases have ended before this begins."""
TOMBSTONE_SECONDS = 60 * 86_400


@dataclass(frozen=True)
class Sent:
    """A message that was sent, at least once."""

    site: str
    body: bytes
    flaw: str | None


def main() -> int:
    options = _options()
    members = json.loads(options.state.read_text())["sent"]
    sent = [Sent(one["site"], one["body"].encode("utf-8"), one["flaw"]) for one in members]
    good = [one for one in sent if one.flaw is None]
    expected = winners(one.body for one in good)
    with connect(options.ready_file) as clouds:
        wrong = _wait(lambda: _stores(clouds, expected) + _busy(clouds), options.timeout)
        wrong += _accounted(clouds, [read_event(one.body) for one in good])
        # Each look of a replay is a delivery, and after ten of them Service Bus sets a letter aside once more: `SITE/dlq` is both.
        moved = clouds.azure.put_back_what_the_broker_set_aside()
        letters = 0
        for site in clouds.sites:
            flaws = {one.body: one.flaw for one in sent if one.flaw is not None and one.site == site.name}
            found = Counter[bytes]()
            wrong += _letters(site, flaws, found)
            letters += found.total()
    flawed = len(sent) - len(good)
    tombstones = sum(event.deleted for event in expected.values())
    print(f"{len(good)} events over {len(expected)} keys, {tombstones} of them deleted; {flawed} flawed, {letters} letters, {moved} set aside by the broker")
    for line in wrong[:LINES_SHOWN]:
        print(line, file=sys.stderr)
    if len(wrong) > LINES_SHOWN:
        print(f"... and {len(wrong) - LINES_SHOWN} more", file=sys.stderr)
    return 1 if wrong else 0


def _wait(look: Callable[[], list[str]], timeout_seconds: float) -> list[str]:
    end = time.monotonic() + timeout_seconds
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.5)
    return found


def _stores(clouds: Clouds, expected: Mapping[str, Event]) -> list[str]:
    stored = [site.records() for site in clouds.sites]
    lines: list[str] = []
    for site, records in zip(clouds.sites, stored, strict=True):
        lines += differences(site.name, expected, records, TOMBSTONE_SECONDS)
    return lines + order_differences(expected, *stored)


def _busy(clouds: Clouds) -> list[str]:
    return [f"the queue of {site.name} is not empty" for site in clouds.sites if not site.queue_is_empty()]


def _accounted(clouds: Clouds, events: Sequence[Event]) -> Iterator[str]:
    """Each event, one by one: in both stores it or a later write of its key."""
    for site in clouds.sites:
        records: dict[str, Record] = site.records()
        for event in events:
            record = records.get(event.key)
            if record is None or record.version.encode() < event.version_text.encode():
                held = "nothing" if record is None else record.version
                yield f"{site.name}: {event.event_id} of {event.key} is lost: the store holds {held}"


def _letters(site: Site, flaws: Mapping[bytes, str], found: Counter[bytes]) -> Iterator[str]:
    """Each flawed message has a letter with its reason, at least one; nothing else has one."""
    while letters := wait_for_letter(site, NO_LETTER_SECONDS):
        for letter in letters:
            reason = letter.properties.get("bridge_reason")
            wanted = flaws.get(letter.body)
            if wanted is None:
                yield f"{site.name}: a letter that should not be: {dict(letter.properties)} {letter.body[:300]!r}"
            elif reason != wanted:
                yield f"{site.name}: a letter says {reason}, should say {wanted}: {letter.body[:300]!r}"
            found[letter.body] += 1
            site.drop_letter(letter)
    for body in flaws.keys() - found.keys():
        yield f"{site.name}: no letter, should be {flaws[body]}: {body[:300]!r}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: chaos.py ready.json --state state.json")
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    parser.add_argument("--state", type=Path, required=True, help="what was sent")
    parser.add_argument("--timeout", type=float, default=10, help="seconds to wait for equal stores (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
