#!/usr/bin/env python3
"""Sends nasty traffic to all sites with the clouds' own clients, and checks that all stores end as they must.

It knows the contract in schema/ and nothing of the bridge's code. Exit code 0 if all is as it must be, 1 if not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from clouds import Clouds, connect
from compare import differences, order_differences
from contract import Event, winners
from site_port import Site
from stored import Record
from workload import Sent, generate

POLL_SECONDS = 0.5
LINES_SHOWN = 200
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class State:
    """What a check must know of the sending before it."""

    sent: list[Sent]
    present_before: dict[str, list[str]]
    """By site: keys that the store held before, which are not this run's business."""
    letters_before: dict[str, int]
    arrived_before: dict[str, int]
    """By site: messages that senders had brought to its queues before; empty if nobody counts."""
    sending_seconds: float

    def save(self, path: Path) -> None:
        sent = [{"site": sent.site, "body": sent.body.decode("utf-8")} for sent in self.sent]
        path.write_text(json.dumps({**asdict(self), "sent": sent}, ensure_ascii=True))

    @classmethod
    def load(cls, path: Path) -> Self:
        members = json.loads(path.read_text())
        sent = [Sent(one["site"], one["body"].encode("utf-8")) for one in members.pop("sent")]
        return cls(sent=sent, **members)

    @property
    def expected(self) -> dict[str, Event]:
        return winners(sent.body for sent in self.sent)


def main() -> int:
    options = _options()
    with connect(options.ready_file) as clouds:
        if options.only == "check":
            state = State.load(options.state)
        else:
            state = send(clouds, options.events, options.keys, options.seed, once=options.once)
        if options.only == "send":
            state.save(options.state)
            say(f"sent {len(state.sent)} messages in {state.sending_seconds:.1f} s; state is in {options.state}")
            return 0
        return check(clouds, state, options.timeout, options.tombstone_days * DAY_SECONDS)


def send(clouds: Clouds, events: int, keys: int, seed: int, *, once: bool) -> State:
    """Sends the traffic of `seed` to all sites at the same time."""
    names = [site.name for site in clouds.sites]
    sent = generate(names, events, keys, seed, datetime.now(UTC))
    present = {site.name: sorted(site.records()) for site in clouds.sites}
    letters = {site.name: site.letters_waiting() for site in clouds.sites}
    arrived = clouds.arrived() if once else {}
    say(f"sending {len(sent)} messages of {events} events over {keys} keys, seed {seed}")
    begin = time.monotonic()
    with ThreadPoolExecutor(len(clouds.sites)) as pool:
        sending = [pool.submit(site.send, [one.body for one in sent if one.site == site.name]) for site in clouds.sites]
        for one in sending:
            one.result()
    return State(sent, present, letters, arrived, time.monotonic() - begin)


def check(clouds: Clouds, state: State, timeout_seconds: float, tombstone_seconds: float) -> int:
    """Waits until all stores are as they must be, and stay so once all queues are empty."""
    expected = state.expected
    if foreign := expected.keys() & {key for keys in state.present_before.values() for key in keys}:
        say(f"{len(foreign)} keys of this seed were there before; take another --seed or an empty store")
        return 1
    begin = time.monotonic()
    end = begin + timeout_seconds

    def compare() -> list[str]:
        return _compare(clouds, state, expected, tombstone_seconds)

    wrong = _wait(compare, end, "differences")
    converged_seconds = time.monotonic() - begin
    busy = _wait(lambda: _busy(clouds), end, "queues in use")
    if not wrong:
        wrong = compare() or _point_reads(clouds, expected, tombstone_seconds)
    wrong += [f"{what} at the end of {timeout_seconds:.0f} s" for what in busy] + _letters(clouds, state) + _crossings(clouds, state)
    _print_summary(clouds, state, expected, converged_seconds, wrong)
    return 1 if wrong else 0


def _wait(look: Callable[[], list[str]], end: float, word: str) -> list[str]:
    """Looks again and again until nothing is found or the time is over; what was found last."""
    shown = 0.0
    while (found := look()) and time.monotonic() < end:
        if time.monotonic() - shown >= 1:
            say(f"{len(found)} {word}, {end - time.monotonic():.0f} s left")
            shown = time.monotonic()
        time.sleep(POLL_SECONDS)
    return found


def _compare(clouds: Clouds, state: State, expected: Mapping[str, Event], tombstone_seconds: float) -> list[str]:
    stored = [_of_this_run(site, state) for site in clouds.sites]
    lines: list[str] = []
    for site, records in zip(clouds.sites, stored, strict=True):
        lines += differences(site.name, expected, records, tombstone_seconds)
    return lines + order_differences(expected, *stored)


def _of_this_run(site: Site, state: State) -> dict[str, Record]:
    before = set(state.present_before[site.name])
    return {key: record for key, record in site.records().items() if key not in before}


def _point_reads(clouds: Clouds, expected: Mapping[str, Event], tombstone_seconds: float) -> list[str]:
    """The same by reading key by key, as applications do."""
    lines: list[str] = []
    for site in clouds.sites:
        found = {key: record for key in expected if (record := site.record(key))}
        lines += [f"read by key: {line}" for line in differences(site.name, expected, found, tombstone_seconds)]
    return lines


def _busy(clouds: Clouds) -> list[str]:
    return [f"the queue of {site.name} is not empty" for site in clouds.sites if not site.queue_is_empty()]


def _letters(clouds: Clouds, state: State) -> list[str]:
    more = {site.name: site.letters_waiting() - state.letters_before[site.name] for site in clouds.sites}
    return [f"{name}: {count} dead letters, should be none" for name, count in more.items() if count]


def _crossings(clouds: Clouds, state: State) -> list[str]:
    """Every site must have got each message of every other site once, and nothing else but its own."""
    if not state.arrived_before:
        return []
    arrived = {name: count - state.arrived_before[name] for name, count in clouds.arrived().items()}
    wanted = len(state.sent)
    return [f"{name}: {count} messages arrived, should be {wanted}" for name, count in arrived.items() if count != wanted]


def _print_summary(
    clouds: Clouds, state: State, expected: Mapping[str, Event], converged_seconds: float, wrong: Sequence[str]
) -> None:
    tombstones = sum(event.deleted for event in expected.values())
    rows: list[Sequence[str]] = [("site", "sent", "keys", "live", "tombstones", "wrong")]
    for site in clouds.sites:
        records = _of_this_run(site, state).values()
        deleted = sum(record.deleted for record in records)
        mine = sum(line.removeprefix("read by key: ").startswith(f"{site.name}: ") for line in wrong)
        sent = sum(one.site == site.name for one in state.sent)
        rows.append((site.name, *map(str, (sent, len(records), len(records) - deleted, deleted, mine))))
    rows.append(("expected", "", *map(str, (len(expected), len(expected) - tombstones, tombstones, 0))))
    print(_table(rows))
    if not wrong:
        print(f"sent in {state.sending_seconds:.1f} s, equal {converged_seconds:.1f} s after that")
    for line in wrong[:LINES_SHOWN]:
        print(line)
    if len(wrong) > LINES_SHOWN:
        print(f"... and {len(wrong) - LINES_SHOWN} more")
    print("FAILED" if wrong else "OK")


def _table(rows: Iterable[Sequence[str]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def say(line: str) -> None:
    """Progress, for a person who waits."""
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: acceptance.py ready.json --seed 7")
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    parser.add_argument("--events", type=int, default=2_000, help="events; a fifth of them is sent twice (%(default)s)")
    parser.add_argument("--keys", type=int, default=200, help="keys that they fall on (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="a seed has its own keys (%(default)s)")
    parser.add_argument("--timeout", type=float, default=120, help="seconds to wait for equal stores (%(default)s)")
    parser.add_argument("--tombstone-days", type=float, default=60, help="life of a tombstone (%(default)s)")
    parser.add_argument(
        "--once", action="store_true", help="each message must cross each link once: for workers without heartbeats"
    )
    parser.add_argument("--only", choices=("send", "check"), help="do the half of it")
    parser.add_argument(
        "--state", type=Path, default=Path("acceptance-state.json"), help="what --only send leaves to --only check"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
