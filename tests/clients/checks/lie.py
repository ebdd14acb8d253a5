#!/usr/bin/env python3
"""Shows that every check can fail: runs each script against services that lie; every check must notice some lie.

Between client and service stands a proxy that tells one kind of lie at a time. First it tells none, and all checks must
pass. A check that no lie can fail checks nothing, and ends this with exit code 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from clouds import local_clouds
from lies import HONEST, Proxies, lies_about

HERE = Path(__file__).parent
SERVICES = ("sqs", "dynamodb", "service_bus", "cosmos")
LANGUAGES = ("python", "node")
RUN_SECONDS_MAX = 240
LIES_AT_ONCE = 3

_numbers = itertools.count(1)
"""Of the addresses of Service Bus: a lie leaves traces, so each run has clouds of its own."""


def main() -> int:
    options = _options()
    survivors = 0
    for service in options.service or SERVICES:
        for language in options.language or LANGUAGES:
            survivors += _survivors(options.bridge, service, language)
    return 1 if survivors else 0


def _survivors(bridge: Path, service: str, language: str) -> int:
    """Prints which lie fails which check; how many checks no lie can fail."""
    print(f"\n{service} by {language}", flush=True)
    checks, failed = _failed(bridge, service, language, HONEST)
    if failed or not checks:
        print(f"not all checks pass when nobody lies: {sorted(failed) or 'none ran'}")
        return 1
    names = lies_about(service)
    with ThreadPoolExecutor(LIES_AT_ONCE) as pool:
        outcomes = dict(zip(names, pool.map(lambda lie: _failed(bridge, service, language, lie), names), strict=True))
    left = 0
    for check in checks:
        noticed = [lie for lie, (_, failed) in outcomes.items() if check in failed]
        left += not noticed
        print(f"  {check}: {', '.join(noticed) or 'NO LIE FAILS IT'}")
    print(f"{len(checks) - left} of {len(checks)} checks fail when lied to", flush=True)
    return left


def _failed(bridge: Path, service: str, language: str, lie: str) -> tuple[list[str], set[str]]:
    """The checks that ran, and those that failed."""
    address = f"127.2.{os.getpid() % 250}.{next(_numbers)}"
    with (
        local_clouds(bridge, address) as ready,
        Proxies(ready, service, lie) as lying,
        tempfile.TemporaryDirectory() as folder,
    ):
        file = Path(folder) / "ready.json"
        file.write_text(json.dumps(lying))
        script = [sys.executable, HERE / "run.py", service] if language == "python" else _node(service)
        try:
            ended = subprocess.run(
                [*script, file], capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
            )
            text = ended.stdout
        except subprocess.TimeoutExpired as error:
            text = (error.stdout or b"").decode()
    lines = [line.split() for line in text.splitlines() if line.startswith(("ok    ", "FAIL  "))]
    ran = [words[1].rstrip(":") for words in lines]
    return ran, {words[1].rstrip(":") for words in lines if words[0] == "FAIL"}


def _node(service: str) -> list[Any]:
    return ["node", "--no-warnings", HERE / "node" / f"{service}.mjs"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: lie.py target/debug/bridge --service sqs")
    parser.add_argument("bridge", type=Path, help="the built binary")
    parser.add_argument("--service", action="append", choices=SERVICES, help="these alone; may be repeated")
    parser.add_argument("--language", action="append", choices=LANGUAGES, help="these alone; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
