"""One measurement of one contender: from its start to its end."""

from __future__ import annotations

import multiprocessing
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contenders import Contender, Process
from contract import read_event
from local import Local
from sides import Side
from traffic import NANOSECONDS, Traffic, event, timestamp

PATIENCE_SECONDS = 120
WARM_UP_SECONDS = 2
POLL_SECONDS = 0.001
"""Between two looks at the store: the precision of a lag."""
LATE_SECONDS_MAX = 60
"""How long after the last send an event may still be missing."""


@dataclass
class Bench:
    """What the measurements of a run share."""

    local: Local
    config: Path
    logs: Path
    wrong: list[str] = field(default_factory=list)
    """What an end state had that it should not, or had not."""

    def start(self, contender: Contender, side: Side) -> Process:
        log = self.logs / f"{contender.name}-{side.name}.log"
        return contender.start(side.name, side.site, self.local.ready_file, self.config, log)


def start(bench: Bench, contender: Contender, side: Side, run: str) -> dict[str, Any]:
    """From the start of the process to the end of the first delivery, with one event in the queue."""
    bodies = Traffic(side.site, run, events=1, keys=1, bytes=900, seed=0).bodies()
    side.fill(bodies)
    before = side.admin.requests()
    process = bench.start(contender, side)
    try:
        wait(process, lambda: side.has_begun(before), POLL_SECONDS)
        seconds = time.monotonic() - process.started
        wait(process, side.is_settled, 0.02)
        process.stop()
    finally:
        process.kill()
    judge(bench, contender, side, bodies, run)
    return {"start_ms": seconds * 1000}


def backlog(bench: Bench, contender: Contender, side: Side, traffic: Traffic) -> dict[str, Any]:
    """All events wait in the queue; the contender starts, and works until none is left."""
    bodies = traffic.bodies()
    side.fill(bodies)
    before = side.admin.requests()
    process = bench.start(contender, side)
    try:
        wait(process, lambda: side.has_begun(before), 0.005)
        begun, begun_cpu, begun_served = time.monotonic(), process.cpu_seconds(), bench.local.cpu_seconds()
        wait(process, side.is_settled, 0.02)
        seconds, cpu = time.monotonic() - begun, process.cpu_seconds() - begun_cpu
        served = bench.local.cpu_seconds() - begun_served
        requests = {what: count - before.get(what, 0) for what, count in side.admin.requests().items()}
        taken = process.stop()
    finally:
        process.kill()
    judge(bench, contender, side, bodies, traffic.run)
    thousands = len(bodies) / 1000
    return {
        "cpu_s": taken.cpu_seconds / thousands,
        "cpu_working_s": cpu / thousands,
        "events_per_s": len(bodies) / seconds,
        "memory_mb": taken.memory_mb,
        "localcloud_cpu_s": served / thousands,
        "requests": {" ".join(what): count / thousands for what, count in sorted(requests.items()) if count},
    }


def lag(bench: Bench, contender: Contender, side: Side, run: str, rate: int, seconds: int, keys: int, size: int) -> dict[str, Any]:
    """From the moment before an event is sent until a reader finds it in the store, at a fixed rate."""
    warm_up = rate * WARM_UP_SECONDS
    bodies = _at_rate(side.site, run, rate, warm_up + rate * seconds, keys, size)
    events = [read_event(body) for body in bodies]
    sent = multiprocessing.RawArray("d", len(bodies))
    process = bench.start(contender, side)
    sender = multiprocessing.Process(target=_send, args=(side, bodies, rate, sent), daemon=True)
    try:
        # Until it has taken one, so that its start counts for none.
        first = Traffic(side.site, f"{run}-first", events=1, keys=1, bytes=size, seed=0).bodies()
        side.fill(first)
        wait(process, side.is_settled, 0.02)
        sender.start()
        wanted = [(one.key, one.version_text) for one in events]
        seen, looks = _watch(process, side, wanted, sent, len(bodies) / rate + LATE_SECONDS_MAX)
        sender.join()
        wait(process, side.is_settled, 0.02)
        process.stop()
    finally:
        process.kill()
        if sender.is_alive():
            sender.kill()
    judge(bench, contender, side, [*first, *bodies], run)
    lags = sorted(1000 * (at - sent[index]) for index, at in seen.items() if index >= warm_up)
    late = max(sent[index] - sent[0] - index / rate for index in range(len(bodies)))
    return {
        "lag_p50_ms": statistics.median(lags),
        "lag_p99_ms": lags[int(len(lags) * 0.99)],
        "lag_max_ms": lags[-1],
        "sender_late_max_ms": 1000 * late,
        "look_ms": 1000 * looks,
    }


def _at_rate(site: str, run: str, rate: int, count: int, keys: int, size: int) -> list[bytes]:
    """Events in time, each a while after the one before it of its key."""
    rng = random.Random(run)
    start = time.time_ns()
    step = NANOSECONDS // rate
    return [
        event(rng, site, f"{run}-{number % keys}", "upsert", timestamp(start + number * step), size) for number in range(count)
    ]


def _send(side: Side, bodies: list[bytes], rate: int, sent: Any) -> None:
    """In a process of its own, which nothing else holds up."""
    sender = side.sender()
    start = time.monotonic() + 0.1
    for index, body in enumerate(bodies):
        time.sleep(max(0.0, start + index / rate - time.monotonic()))
        sent[index] = time.monotonic()
        sender.send(body)


def _watch(
    process: Process, side: Side, wanted: list[tuple[str, str]], sent: Any, seconds_max: float
) -> tuple[dict[int, float], float]:
    """When each event was in the store, or a later one of its key; and the mean time between two looks."""
    reader = side.reader()
    seen: dict[int, float] = {}
    waiting: list[int] = []
    following = looks = 0
    looking = 0.0
    until = time.monotonic() + seconds_max
    while len(seen) < len(wanted):
        began = time.monotonic()
        if began > until:
            raise RuntimeError(f"{process.name}: {len(wanted) - len(seen)} events are not in the store: {process.said()}")
        while following < len(wanted) and sent[following]:
            waiting.append(following)
            following += 1
        if waiting:
            some, rest = waiting[: reader.AT_ONCE], waiting[reader.AT_ONCE :]
            stored = reader.versions(list({wanted[index][0] for index in some}))
            now = time.monotonic()
            there = {index for index in some if stored.get(wanted[index][0], "") >= wanted[index][1]}
            seen.update(dict.fromkeys(there, now))
            # Those that were not looked at come first the next time.
            waiting = rest + [index for index in some if index not in there]
            looks += 1
            looking += now - began + POLL_SECONDS
        else:
            process.check()
        time.sleep(POLL_SECONDS)
    return seen, looking / max(1, looks)


def judge(bench: Bench, contender: Contender, side: Side, bodies: list[bytes], run: str) -> None:
    lines = side.wrong(bodies, run, contender.stores)
    bench.wrong += [f"{contender.name}, {side.name}: {line}" for line in lines[:5]]
    if len(lines) > 5:
        bench.wrong.append(f"{contender.name}, {side.name}: {len(lines) - 5} more")


def wait(process: Process, done: Callable[[], bool], pause: float) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not done():
        process.check()
        if time.monotonic() > until:
            raise RuntimeError(f"{process.name} did not end its work in {PATIENCE_SECONDS} s: {process.said()}")
        time.sleep(pause)
