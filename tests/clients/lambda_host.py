#!/usr/bin/env python3
"""AWS Lambda for the AWS site of a ready file, until SIGTERM: polls SQS, invokes the function, deletes what it may.

Prints one line of JSON at its end: what it did. The time to the first answer is from the start of the first process.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading

from hosts import script
from hosts.counts import Counts
from hosts.event_source_mapping import RECEIVE_MAX, EventSourceMapping
from hosts.killer import Killer
from hosts.lambda_runtime import Ended, Environment
from hosts.settings import lambda_function

HEARTBEAT = b'{"version":"0","source":"aws.events","detail-type":"Scheduled Event","detail":{}}'


def main() -> int:
    options = _options()
    stop = script.stop_signal()
    counts = Counts()
    ready = json.loads(options.ready_file.read_text())
    name, site = next((name, site) for name, site in ready["sites"].items() if site["cloud"] == "aws")
    function = lambda_function(options.package, ready, name, options.timeout, options.set)
    mapping = EventSourceMapping(site, options.timeout, counts)
    killer = Killer(options.kill_after)
    environments = [Environment(function, counts, killer) for _ in range(options.environments + 1)]
    *working, beating = environments
    threads = [
        threading.Thread(target=mapping.poll, args=(environment, options.batch, stop), daemon=True)
        for environment in working
    ]
    threads.append(threading.Thread(target=_beat, args=(beating, options.heartbeat, counts, stop), daemon=True))
    script.run_all(threads)
    for environment in environments:
        environment.close()
    print(counts.line(), flush=True)
    return 0


def _beat(environment: Environment, every_seconds: float, counts: Counts, stop: threading.Event) -> None:
    """The rule that invokes the function on a schedule, in an environment of its own as the others are busy."""
    while every_seconds and not stop.wait(every_seconds):
        answered = environment.invoke(HEARTBEAT).how is Ended.ANSWER
        counts.add("ticks" if answered else "ticks_failed")


def _options() -> argparse.Namespace:
    example = "lambda_host.py ready.json --package dist/lambda"
    parser = script.arguments(__doc__, example, "the unpacked zip, with `bootstrap` in it")
    parser.add_argument("--environments", type=int, default=2, help="invocations at the same time (%(default)s)")
    parser.add_argument("--batch", type=int, default=RECEIVE_MAX, help="messages of an invocation (%(default)s)")
    parser.add_argument("--timeout", type=float, default=30, help="the function's, in seconds (%(default)s)")
    parser.add_argument("--heartbeat", type=float, default=0, help="seconds between ticks of the schedule; 0: none")
    parser.add_argument("--kill-after", default="", metavar="N,...", help="kill the process in these invocations")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the function")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
