#!/usr/bin/env python3
"""Runs the checks of SQS against localcloud, ministack and moto, and tells where they differ.

localcloud must pass all; what fails elsewhere is a difference, and docs/localcloud.md says of each kind who is right.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clouds import local_clouds

HERE = Path(__file__).parent
START_SECONDS_MAX = 30


def main() -> int:
    options = _options()
    ministack = options.others / "ministack/bin/ministack"
    moto = options.others / "moto/bin/moto_server"
    with local_clouds(options.bridge, "127.5.0.1") as ready:
        outcomes = {"localcloud": _outcomes(ready)}
        with _server([ministack], {"BIND_HOST": "127.0.0.1"}, "GATEWAY_PORT") as endpoint:
            outcomes["ministack"] = _outcomes(_elsewhere(ready, endpoint))
        with _server([moto, "-H", "127.0.0.1"], {}, "MOTO_PORT") as endpoint:
            outcomes["moto"] = _outcomes(_elsewhere(ready, endpoint))
    _tell(outcomes)
    return 1 if any(outcomes["localcloud"].values()) else 0


def _tell(outcomes: Mapping[str, Mapping[str, str]]) -> None:
    checks = sorted(outcomes["localcloud"])
    for check in checks:
        if any(one.get(check) for one in outcomes.values()):
            print(check)
            for name, one in outcomes.items():
                print(f"    {name}: {one.get(check) or 'as expected'}")
    for name, one in outcomes.items():
        print(f"{name}: {sum(not why for why in one.values())} of {len(checks)} as expected")


def _outcomes(ready: Mapping[str, Any]) -> dict[str, str]:
    """For each check why it failed, or nothing."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(ready, file)
        file.flush()
        command = [sys.executable, HERE / "run.py", "sqs", file.name]
        lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    passed = {line.split()[1]: "" for line in lines if line.startswith("ok    ")}
    failed = (line.removeprefix("FAIL  ").split(": ", 1) for line in lines if line.startswith("FAIL  "))
    return passed | dict(failed)


def _elsewhere(ready: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    sites = {name: {**site, "sqs_endpoint": endpoint} for name, site in ready["sites"].items()}
    return {**ready, "sites": sites}


@contextmanager
def _server(command: list[Any], variables: Mapping[str, str], port_variable: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, **variables, port_variable: str(port)}
    quiet = subprocess.DEVNULL
    server = subprocess.Popen([str(word) for word in command], env=environment, stdout=quiet, stderr=quiet)
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(port: int) -> None:
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing listens on port {port} after {START_SECONDS_MAX} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="see: just compare-sqs")
    parser.add_argument("bridge", type=Path, help="the built binary")
    parser.add_argument("others", type=Path, help="the folder with an environment for each of the others")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
