#!/usr/bin/env python3
"""Holds a service to what its official Python client may expect of it.

Exit code 0 if all checks passed, 1 if not.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from harness import checks_of, promise, run

SERVICES = ("sqs", "dynamodb", "service_bus", "cosmos")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: run.py sqs ready.json --only fifo")
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    parser.add_argument("--only", action="append", default=[], help="only checks whose name contains this; repeatable")
    parser.add_argument("--list", action="store_true", help="print the checks and what they expect")
    options = parser.parse_args()
    service = importlib.import_module(options.service)
    if options.list:
        for one in checks_of(service.MODULES, options.only):
            print(f"{one.__name__}\n    {promise(one)}")
        return 0
    ready = json.loads(options.ready_file.read_text())
    return run(service.MODULES, lambda: service.World(ready), options.only)


if __name__ == "__main__":
    sys.exit(main())
