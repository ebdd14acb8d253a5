#!/usr/bin/env python3
"""Fills services of localcloud and drains them again: its memory must be given back to the system.

Small messages and large ones, as an allocator keeps them in different ways. Not DynamoDB: its engine keeps what deleted items held, and
uses it again. Exits with 0 if the process is then about as
large as before, and with 1 if it is not.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from loads import all_of
from local import Local

SMALL = {"SQS": (10_000, 900), "Service Bus": (10_000, 900), "Cosmos DB": (200, 900)}
LARGE = {"SQS": 40, "Service Bus": 40, "Cosmos DB": 10}
"""How many items, and of how many bytes; the large ones as large as their service takes them."""

KEPT_MAX = 1.5
"""How much larger the process may stay; some of it is code that was read for the first time."""
PATIENCE_SECONDS = 30
"""The allocator gives back what nobody used for 10 s, in steps."""


def main() -> int:
    options = _options()
    with Local(options.bridge, options.address, "--without-workers", "--service-bus-premium") as local:
        with ExitStack() as stack:
            loads = [load for load in all_of(local, stack) if load.name in SMALL]
            for load in loads:
                load.put(1, 100)
                load.drain()
            before = local.memory_mb()
            sent = 0
            for load in loads:
                count, size = SMALL[load.name]
                load.put(count, size)
                load.put(LARGE[load.name], load.size_max)
                sent += count * size + LARGE[load.name] * load.size_max
            held = local.memory_mb()
            if held < before + sent / 2**20:
                print(f"{sent / 2**20:.0f} MB were sent, and only {held - before:.0f} MB are held: this tests nothing")
                return 1
            for load in loads:
                load.drain()
        after = _settled(local, before * KEPT_MAX)
        print(f"{before:.0f} MB before, {held:.0f} MB with {sent / 2**20:.0f} MB sent, {after:.0f} MB once drained")
        return 0 if after <= before * KEPT_MAX else 1


def _settled(local: Local, wanted: float) -> float:
    """The memory once it is as small as wanted, or when the patience is over."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (now := local.memory_mb()) > wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return now


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: memory.py target/debug/bridge")
    parser.add_argument("bridge", type=Path, help="the built binary")
    parser.add_argument("--address", default="127.4.0.1", help="a loopback address for Service Bus (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
