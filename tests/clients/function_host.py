#!/usr/bin/env python3
"""Azure Functions for the Azure site of a ready file, until SIGTERM: receives, posts to the packaged handler, settles.

Prints one line of JSON at its end: what it did. The time to the first answer is from the start of the first process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading

from hosts import function_package, script, timer_trigger
from hosts.counts import Counts
from hosts.functions_host import FunctionsHost
from hosts.killer import Killer
from hosts.service_bus_trigger import ServiceBusTrigger
from hosts.settings import function_settings


def main() -> int:
    options = _options()
    stop = script.stop_signal()
    counts = Counts()
    ready = json.loads(options.ready_file.read_text())
    settings = function_settings(ready, options.set)
    package = function_package.read(options.package, settings, os.cpu_count() or 1)
    with FunctionsHost(package, settings, counts, options.timeout, Killer(options.kill_after)) as host:
        trigger = ServiceBusTrigger(package, settings, host, counts, options.calls)
        threads = [threading.Thread(target=trigger.run, args=(stop,), daemon=True)]
        if options.timer:
            threads.append(threading.Thread(target=timer_trigger.run, args=(package, host, counts, stop), daemon=True))
        script.run_all(threads)
    print(counts.line(), flush=True)
    return 1 if host.has_stopped else 0


def _options() -> argparse.Namespace:
    example = "function_host.py ready.json --package dist/function"
    parser = script.arguments(__doc__, example, "the unpacked zip, with `host.json` in it")
    parser.add_argument("--calls", type=int, help="messages at the same time, if not as host.json says")
    parser.add_argument("--timeout", type=float, help="the function's, in seconds, if not as host.json says")
    parser.add_argument("--timer", action="store_true", help="serve the timer trigger too")
    parser.add_argument("--kill-after", default="", metavar="N,...", help="kill the worker in these invocations")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an app setting")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
