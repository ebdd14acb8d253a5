#!/usr/bin/env python3
"""Hands each function ten messages of ten kinds, its store throttled for a while; then one while it throttles everything.

Each must end as the contract says. Exit code 0 if all did, 1 if not. Needs both queues to itself.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from acceptance import DAY_SECONDS, say
from compare import differences
from contract import winners
from examples import load
from hosts.lambda_runtime import Ended
from hosts import script
from hosts.players import Players
from site_port import Letter, Site, wait_for_letter

TOMBSTONE_SECONDS = 60 * DAY_SECONDS
ATTEMPTS_MAX = 4
WORK_SECONDS = 60.0
OUTAGE_SECONDS = 6.0
"""Longer than the attempts of one message would take."""
SETTINGS = (f"BRIDGE_WORKER_ATTEMPTS_MAX={ATTEMPTS_MAX}", "BRIDGE_WORKER_RETRY_DELAY_BASE_MS=50")
STORES = {"aws": "dynamodb", "azure": "cosmos"}


@dataclass(frozen=True)
class Kind:
    """One message, and how it must end."""

    name: str
    body: bytes
    reason: str | None = None
    """Of its letter; none if it is written, or has been."""


def main() -> int:
    options = _options()
    with Players(options.ready_file, options.package, SETTINGS) as players:
        wrong: list[str] = []
        for site in players.clouds.sites:
            wrong += [f"{site.name}: {line}" for line in _ten_kinds(players, site)]
            wrong += [f"{site.name}: {line}" for line in _throttled_wholly(players, site)]
        for name, counts in players.counts.items():
            print(f"{name}: {counts.line()}")
    return script.verdict(wrong)


def _ten_kinds(players: Players, site: Site) -> Iterator[str]:
    """New, deleted, duplicate, superseded, throttled, and the five kinds of refusal, in one batch."""
    here, peer = _both(players, site)
    prefix, now = f"ten-kinds-{uuid4()}", datetime.now(UTC)
    earlier, stored = (_event(here, f"{prefix}-stored", now - timedelta(seconds=ago)) for ago in (60, 1))
    here.send([stored])
    yield from players.work_off(here, peer, within_seconds=WORK_SECONDS)

    kinds = [
        Kind("new", _event(here, f"{prefix}-new", now)),
        Kind("new, throttled with the others", _event(here, f"{prefix}-throttled", now)),
        Kind("deleted", _event(here, f"{prefix}-deleted", now, op_type="delete")),
        Kind("duplicate", stored),
        Kind("superseded", earlier),
        *(Kind(reason, body, reason) for reason, body in _refused(here, peer)),
    ]
    here.send([kind.body for kind in kinds])
    writes = [kind for kind in kinds if kind.reason is None]
    # An SDK tries a throttled write twice, so one hit more than there are writes makes one of them fail for it too.
    fault = f"{STORES[_cloud(players, here)]}:*:throttle,retry_after=10ms,count={len(writes) + 1}"
    with players.faults.during(fault):
        if here is players.clouds.aws:
            yield from _one_batch(players, kinds, writes)
        yield from players.work_off(here, within_seconds=WORK_SECONDS)
        if not players.faults.are_used_up():
            yield "the store was not throttled so often as it should have been"
    yield from _letters(here, {kind.body: kind for kind in kinds if kind.reason})

    yield from players.work_off(peer, within_seconds=WORK_SECONDS)
    if letters := wait_for_letter(peer, 1):
        yield f"{peer.name} has letters: {[dict(letter.properties) for letter in letters]}"
    expected = winners([stored, *(kind.body for kind in writes)])
    for one in (here, peer):
        records = {key: record for key, record in one.records().items() if key.startswith(prefix)}
        yield from differences(one.name, expected, records, TOMBSTONE_SECONDS)


def _one_batch(players: Players, kinds: list[Kind], writes: list[Kind]) -> Iterator[str]:
    """All ten in one invocation: what is refused may go, and what was throttled must stay."""
    messages = players.mapping.receive()
    if len(messages) != len(kinds):
        yield f"the batch should have {len(kinds)} messages, it has {len(messages)}"
    for mapped in players.mapping.work_off(players.environments[0], messages):
        if mapped.outcome.how is not Ended.ANSWER:
            yield f"the invocation ended with {mapped.outcome}"
        kept = {message["Body"].encode() for message in mapped.messages if message["MessageId"] in mapped.kept}
        if not kept:
            yield "nothing was kept, though a write was throttled"
        if refused := kept - {kind.body for kind in writes}:
            yield f"kept, but to be set aside: {refused}"
        say(f"{players.clouds.aws.name}: {len(mapped.messages)} in one batch, {len(kept)} to come again")


def _throttled_wholly(players: Players, site: Site) -> Iterator[str]:
    """A store that throttles everything is away: the event waits, however often it is delivered, and is no letter."""
    here, peer = _both(players, site)
    key = f"throttled-wholly-{uuid4()}"
    body = _event(here, key, datetime.now(UTC))
    with players.faults.during(f"{STORES[_cloud(players, here)]}:*:throttle,retry_after=10ms"):
        here.send([body])
        with players.running(here):
            time.sleep(OUTAGE_SECONDS)
    yield from players.work_off(here, peer, within_seconds=WORK_SECONDS)
    yield from _letters(here, {})
    for one in (here, peer):
        record = one.record(key)
        yield from differences(one.name, winners([body]), {key: record} if record else {}, TOMBSTONE_SECONDS)


def _letters(site: Site, expected: Mapping[bytes, Kind], properties: Mapping[str, str] | None = None) -> Iterator[str]:
    """Takes all letters: each message of `expected` must have one, with its reason and these properties."""
    waiting = dict(expected)
    while letters := wait_for_letter(site, 1):
        for letter in letters:
            kind = waiting.pop(letter.body, None)
            if kind is None:
                yield f"a letter that should not be: {dict(letter.properties)} {letter.body[:200]!r}"
            else:
                yield from _differences(kind, letter, properties or {})
            site.drop_letter(letter)
    for kind in waiting.values():
        yield f"{kind.name}: no letter, should be {kind.reason}"


def _differences(kind: Kind, letter: Letter, properties: Mapping[str, str]) -> Iterator[str]:
    for name, value in {"bridge_reason": kind.reason, **properties}.items():
        if letter.properties.get(name) != value:
            yield f"{kind.name}: {name} is {letter.properties.get(name)}, should be {value}: {dict(letter.properties)}"


def _refused(site: Site, peer: Site) -> Iterator[tuple[str, bytes]]:
    """A bad example of each of five reasons."""
    for reason, file in (
        ("not_json", "not_json_truncated.json"),
        ("too_large", "too_large.json"),
        ("clock_skew", "clock_skew_hour.json"),
        ("unknown_origin", "unknown_origin_region.json"),
        ("not_portable", "not_portable_number_2_53_plus_1.json"),
    ):
        (example,) = load(good=False, pattern=f"bad/{file}")
        yield reason, example.body(site.name, peer.name)


def _event(site: Site, key: str, at: datetime, op_type: str = "upsert") -> bytes:
    return script.event(site, key, op_type, at, written=at.isoformat())


def _both(players: Players, site: Site) -> tuple[Site, Site]:
    here, peer = players.clouds.sites
    return (here, peer) if here is site else (peer, here)


def _cloud(players: Players, site: Site) -> str:
    return "aws" if site is players.clouds.aws else "azure"


def _options() -> argparse.Namespace:
    parser = script.arguments(__doc__, "host_ten_kinds.py ready.json --package dist")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
