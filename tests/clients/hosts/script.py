"""What the scripts that run functions share: their arguments, an event, the signal that ends them, the last word."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from acceptance import LINES_SHOWN
from site_port import Site

CHARACTERS_SHOWN = 2_000
"""Of one line: a fuzzed body may have millions."""


def arguments(
    description: str | None, example: str, package: str = "the folder of the unpacked lambda/ and function/"
) -> argparse.ArgumentParser:
    """A parser of what every such script is told: the clouds, and the package."""
    parser = argparse.ArgumentParser(description=description, epilog=f"example: {example}")
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    parser.add_argument("--package", type=Path, required=True, help=package)
    return parser


def event(site: Site, key: str, op_type: str = "create", at: datetime | None = None, **payload: str) -> bytes:
    """An event that `site` accepted now, or at a given time."""
    body = {
        "event_id": str(uuid4()),
        "source_region": site.name,
        "op_type": op_type,
        "payload": {"id": key, **payload},
        "timestamp": (at or datetime.now(UTC)).isoformat(),
    }
    return json.dumps(body).encode()


def stop_signal() -> threading.Event:
    """Is set when the script is told to end."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    return stop


def run_all(threads: Iterable[threading.Thread]) -> None:
    """Starts threads, and waits for their ends in a way that lets signals through."""
    threads = list(threads)
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(1.0)


def verdict(wrong: Sequence[str]) -> int:
    """Prints what is not as it must be, and the last word; answers the exit code."""
    for line in wrong[:LINES_SHOWN]:
        print(line[:CHARACTERS_SHOWN])
    print(f"FAILED: {len(wrong)} differences" if wrong else "OK")
    return 1 if wrong else 0
