#!/usr/bin/env python3
"""Loads localcloud, and measures what it takes: time, memory before and after, and CPU when nobody asks for anything.

Prints a table with ratios; promises nothing, as it measures this machine as much as localcloud.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loads import Backlog, Load, ServiceBus, Sqs, all_of
from local import Local

BACKLOG = 100_000
SMALL_BYTES = 900
LARGE = 200
"""Items as large as their service takes them."""
CONNECTIONS = 200
IDLE_SECONDS = 30
GIVEN_BACK_SECONDS = 20
"""The allocator gives back what nobody used for 10 s, in steps."""


def main() -> int:
    options = _options()
    with Local(options.bridge, options.address) as local:
        told("start until everything answers, workers too", f"{local.start_seconds:.2f} s")
        time.sleep(2)
        before = local.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        idle = (local.cpu_seconds() - before) / IDLE_SECONDS
        told(f"CPU over {IDLE_SECONDS} s with both workers and no traffic", f"{idle:.2%} of a core")
    with Local(options.bridge, options.address, "--without-workers", "--service-bus-premium") as local:
        with ExitStack() as stack:
            loads = all_of(local, stack)
            _backlog(local, loads[0], Sqs(local, "empty"))
            _backlog(local, loads[1], ServiceBus(local, stack, local.azure["dead_letter_queue"]))
            for load in loads:
                _large(local, load)
    with Local(options.bridge, options.address, "--without-workers") as local:
        _connections(local)
    return 0


def _backlog(local: Local, full: Backlog, empty: Backlog) -> None:
    """How much slower messages go to and fro behind a backlog, and how much larger the process is."""
    at_once = 10 if full.name == "SQS" else 100

    def one_round(queue: Backlog) -> None:
        queue.put(at_once, SMALL_BYTES)
        queue.take(at_once)

    one_round(full)
    one_round(empty)
    before = local.memory_mb()
    full.put(BACKLOG, SMALL_BYTES)
    held = local.memory_mb()
    # By turns, so that whatever else this machine does falls on both.
    pairs = [(_seconds(lambda: one_round(empty)), _seconds(lambda: one_round(full))) for _ in range(100)]
    without, behind = (statistics.median(column) for column in zip(*pairs, strict=True))
    name = full.name
    told(f"{name}: a batch to and fro behind {BACKLOG:,} messages, against an empty queue", f"{behind / without:.2f} x")
    full.drain()
    what = f"{name}: memory before, with {BACKLOG:,} messages of {SMALL_BYTES} B, and once they are gone"
    _told_memory(local, what, before, held)


def _large(local: Local, load: Load) -> None:
    """What the largest items cost, in time and in memory."""
    size = f"{load.size_max / 2**20:.1f} MB" if load.size_max >= 10**6 else f"{load.size_max / 2**10:.0f} KB"
    load.put(1, 2**10)
    before = local.memory_mb()
    pairs = [(_seconds(lambda: load.put(1, load.size_max)), _seconds(lambda: load.put(1, 2**10))) for _ in range(20)]
    large, small = (statistics.median(column) for column in zip(*pairs, strict=True))
    told(f"{load.name}: writing {size}, against writing 1 KB", f"{large / small:.1f} x")
    load.put(LARGE - len(pairs), load.size_max)
    held = local.memory_mb()
    load.drain()
    _told_memory(local, f"{load.name}: memory before, with {LARGE} items of {size}, and once they are gone", before, held)


def _told_memory(local: Local, what: str, before: float, held: float) -> None:
    time.sleep(GIVEN_BACK_SECONDS)
    told(what, f"{before:.0f}, {held:.0f} and {local.memory_mb():.0f} MB")


def _connections(local: Local) -> None:
    before = local.memory_mb()
    client = local.sqs(CONNECTIONS)
    url, idle = local.aws["queue_url"], local.aws["dead_letter_queue_url"]

    def send() -> None:
        client.send_message(QueueUrl=url, MessageBody="x")

    _median(send, 100)
    alone = _median(send, 100)
    with ThreadPoolExecutor(CONNECTIONS - 1) as pool:
        for _ in range(CONNECTIONS - 1):
            pool.submit(client.receive_message, QueueUrl=idle, WaitTimeSeconds=20)
        # Until all of them wait; opening so many takes this script a while.
        time.sleep(8)
        beside = _median(send, 100)
    told(f"SQS: a send beside {CONNECTIONS - 1} connections that wait, against alone", f"{beside / alone:.2f} x")
    told("memory before and after them", f"{before:.0f} and {local.memory_mb():.0f} MB")


def _median(work: Callable[[], Any], times: int) -> float:
    return statistics.median(_seconds(work) for _ in range(times))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def told(what: str, figure: str) -> None:
    print(f"| {what} | {figure} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: load.py target/debug/bridge")
    parser.add_argument("bridge", type=Path, help="the built binary")
    parser.add_argument("--address", default="127.4.0.1", help="a loopback address for Service Bus (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
