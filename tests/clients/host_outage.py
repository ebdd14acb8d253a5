#!/usr/bin/env python3
"""Turns services dark for a while under steady traffic, and checks that both functions lose nothing.

Three outages, each with the same traffic before, while and after: both stores; all of Azure; all of AWS. Local writes
must go on while the other cloud is away. Exit code 0 if all is as it must be, 1 if not. Needs both queues to itself.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from acceptance import DAY_SECONDS, POLL_SECONDS, say
from compare import differences
from contract import read_event, winners
from hosts import script
from hosts.faults import Faults
from hosts.players import Players
from site_port import Letter, Site, wait_for_letter
from stored import epoch_seconds

TOMBSTONE_SECONDS = 60 * DAY_SECONDS
TICK_SECONDS = 0.1
BEFORE_SECONDS = 3.0
CIRCUIT_SECONDS = 3.0
"""How long the bridge leaves a dark peer alone before it tries again; shorter than its default, for shorter runs."""
AFTER_SECONDS = CIRCUIT_SECONDS + 3.0
CLOCK_TOLERANCE_SECONDS = 2.0


@dataclass
class Traffic:
    """Steady traffic to some sites in turn, each event with a key of its own."""

    sites: Sequence[Site]
    rate: float
    prefix: str = field(default_factory=lambda: f"outage-{uuid4()}")
    sent: list[bytes] = field(default_factory=list)

    def flow(self, stop: threading.Event) -> None:
        begin, number = time.monotonic(), 0
        while not stop.wait(TICK_SECONDS):
            due = int((time.monotonic() - begin) * self.rate)
            bodies: dict[str, list[bytes]] = {site.name: [] for site in self.sites}
            while number < due:
                site = self.sites[number % len(self.sites)]
                bodies[site.name].append(script.event(site, f"{self.prefix}-{number}"))
                number += 1
            for site in self.sites:
                if bodies[site.name]:
                    site.send(bodies[site.name])
                    self.sent += bodies[site.name]


@dataclass(frozen=True)
class Window:
    """When a service was dark, in seconds since 1970."""

    begin: float
    end: float


def main() -> int:
    options = _options()
    wrong: list[str] = []
    settings = [f"BRIDGE_WORKER_CIRCUIT_PAUSE_MS={CIRCUIT_SECONDS * 1000:.0f}"]
    for outage in options.outages:
        say(f"dark for {options.seconds:g} s: {outage}")
        # Fresh players each time, as a client of this script's own may not outlive a dark service.
        with Players(options.ready_file, options.package, settings) as players:
            wrong += [f"{outage} dark: {line}" for line in _dark(players, options, outage)]
            for name, counts in players.counts.items():
                print(f"{outage} dark: {name}: {counts.line()}")
    return script.verdict(wrong)


def _dark(players: Players, options: argparse.Namespace, outage: str) -> Iterator[str]:
    aws, azure = players.clouds.sites
    match outage:
        case "stores":
            return _stores_dark(players, options)
        case "azure":
            return _peer_dark(players, options, aws, azure, outage)
        case _:
            return _peer_dark(players, options, azure, aws, outage)


def _stores_dark(players: Players, options: argparse.Namespace) -> Iterator[str]:
    """What comes meanwhile waits in its queue, and is written afterwards; it is nobody's letter."""
    sites = players.clouds.sites
    traffic = Traffic(sites, options.rate)
    with players.running(*sites):
        dark = under(players.faults, traffic, options.seconds, "dynamodb:*:dark", "cosmos:*:dark")
        yield from wait_for_equal(sites, traffic, options.timeout)
        for site in sites:
            after = last_applied(site, traffic, dark.end) - dark.end
            say(f"{site.name}: {len(traffic.sent)} events; the last of the outage is there {after:.1f} s after the return")
            if options.equal_max and after > options.equal_max:
                yield f"{site.name}: the last event was applied {after:.1f} s after the return, not within {options.equal_max:g} s"
    for site in sites:
        for letter in _take_letters(site):
            yield f"{site.name}: a letter that should not be: {dict(letter.properties)} {letter.body!r}"


def _peer_dark(players: Players, options: argparse.Namespace, here: Site, peer: Site, cloud: str) -> Iterator[str]:
    """The local store is written on and on; what the peer did not get is owed to it in a letter."""
    traffic = Traffic([here], options.rate)
    with players.running(here, peer):
        dark = under(players.faults, traffic, options.seconds, f"{cloud}:*:dark")
        yield from wait_for_equal([here], traffic, options.timeout)
        letters = _take_letters(here)
        owed = {letter.body for letter in letters}
        yield from wait_for_equal([peer], traffic, options.timeout, without=owed)
    yield from _pauses(here, traffic, options.lag_max)
    for letter in letters:
        told = {name: letter.properties.get(name) for name in ("bridge_reason", "bridge_owed")}
        if told != {"bridge_reason": "peer_unavailable", "bridge_owed": peer.name}:
            yield f"{here.name}: a letter that should not be: {dict(letter.properties)} {letter.body!r}"
        stamped = epoch_seconds(read_event(letter.body).timestamp)
        if not dark.begin - CLOCK_TOLERANCE_SECONDS < stamped < dark.end + CIRCUIT_SECONDS + CLOCK_TOLERANCE_SECONDS:
            yield f"{here.name}: a letter of an event at {stamped - dark.end:.1f} s after the dark"
    if not letters:
        yield f"{here.name}: no letters, so {peer.name} was not dark"
    for letter in _take_letters(peer):
        yield f"{peer.name}: a letter that should not be: {dict(letter.properties)} {letter.body!r}"
    say(f"{len(traffic.sent)} events, of which {len(letters)} are owed to {peer.name}")


def under(faults: Faults, traffic: Traffic, seconds: float, *broken: str) -> Window:
    """Traffic before, under and after these faults."""
    stop = threading.Event()
    flow = threading.Thread(target=traffic.flow, args=(stop,), daemon=True)
    flow.start()
    try:
        time.sleep(BEFORE_SECONDS)
        begin = time.time()
        with faults.during(*broken):
            time.sleep(seconds)
        window = Window(begin, time.time())
        time.sleep(AFTER_SECONDS)
    finally:
        stop.set()
        flow.join()
    return window


def wait_for_equal(
    sites: Sequence[Site], traffic: Traffic, timeout_seconds: float, without: set[bytes] | None = None
) -> list[str]:
    """What these sites still lack, or have wrongly, at the end of that time; `without` may be there or not."""
    optional = {read_event(body).key for body in without or ()}
    expected = {key: event for key, event in winners(traffic.sent).items() if key not in optional}
    end = time.monotonic() + timeout_seconds
    while True:
        lines: list[str] = []
        for site in sites:
            stored = site.records()
            records = {key: stored[key] for key in stored if key.startswith(traffic.prefix) and key not in optional}
            lines += differences(site.name, expected, records, TOMBSTONE_SECONDS)
        if not lines or time.monotonic() > end:
            return lines
        time.sleep(POLL_SECONDS)


def last_applied(site: Site, traffic: Traffic, end: float) -> float:
    """When the last event that was accepted before `end` was written at this site."""
    records = (record for key, record in site.records().items() if key.startswith(traffic.prefix))
    return max(epoch_seconds(record.applied_at) for record in records if epoch_seconds(record.timestamp) <= end)


def _pauses(site: Site, traffic: Traffic, lag_seconds_max: float) -> Iterator[str]:
    """From an event's timestamp to its write, over all events: the longest must be short."""
    records = [record for key, record in site.records().items() if key.startswith(traffic.prefix)]
    if not records:
        yield f"{site.name}: nothing was written"
        return
    lags = sorted(epoch_seconds(record.applied_at) - epoch_seconds(record.timestamp) for record in records)
    middle, longest = lags[len(lags) // 2], lags[-1]
    say(f"{site.name}: from event to local write {middle * 1000:.0f} ms (median), {longest * 1000:.0f} ms (longest)")
    if longest > lag_seconds_max:
        late = sum(lag > lag_seconds_max for lag in lags)
        yield f"{site.name}: {late} local writes came later than {lag_seconds_max:g} s, the last after {longest:.1f} s"


def _take_letters(site: Site) -> list[Letter]:
    letters: list[Letter] = []
    while taken := wait_for_letter(site, 1):
        for letter in taken:
            site.drop_letter(letter)
        letters += taken
    return letters


def _options() -> argparse.Namespace:
    parser = script.arguments(__doc__, "host_outage.py ready.json --package dist --seconds 60")
    parser.add_argument(
        "--outages",
        nargs="*",
        choices=("stores", "azure", "aws"),
        default=["stores", "azure", "aws"],
        help="which (%(default)s)",
    )
    parser.add_argument("--seconds", type=float, default=15, help="how long it is dark (%(default)s)")
    parser.add_argument("--rate", type=float, default=50, help="events a second (%(default)s)")
    parser.add_argument(
        "--lag-max", type=float, default=5, help="seconds in which a local write must come (%(default)s)"
    )
    parser.add_argument(
        "--equal-max", type=float, help="seconds in which the last event must be there after stores return (any)"
    )
    parser.add_argument("--timeout", type=float, default=300, help="seconds to wait for equal stores (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
