#!/usr/bin/env python3
"""Hands each function an event for a store whose key is another one: it must say so, with the mend, and look only once.

Expects both stores with another key. Exit code 0 if all is as it must be, 1 if not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from uuid import uuid4

from hosts import script
from hosts.lambda_runtime import Ended
from hosts.players import Players

TIMEOUT_SECONDS = 10.0
HALT_SECONDS = 30
"""How long the Function holds a message while halted. It must tell what is wrong before that."""
TELL_SECONDS = 10.0


def main() -> int:
    options = script.arguments(__doc__, "host_diagnosis.py ready.json --package dist").parse_args()
    return script.verdict([*_lambda(options), *_function(options)])


def _players(options: argparse.Namespace) -> Players:
    settings = [f"BRIDGE_WORKER_FUNCTION_HALT_SECONDS={HALT_SECONDS}"]
    return Players(options.ready_file, options.package, settings, TIMEOUT_SECONDS)


def _lambda(options: argparse.Namespace) -> Iterator[str]:
    with _players(options) as players:
        environment = players.environments[0]
        for number in range(2):
            body = script.event(players.clouds.aws, f"diagnosis-{uuid4()}").decode()
            message = {"MessageId": str(uuid4()), "ReceiptHandle": "none", "Body": body, "MD5OfBody": ""}
            outcome = environment.invoke(players.mapping.event([message]))
            told = json.loads(outcome.body or b"{}")
            words = ("bridge doctor finds store.key: ", "aws dynamodb create-table")
            if outcome.how is not Ended.ERROR or not all(word in told.get("errorMessage", "") for word in words):
                yield f"Lambda, invocation {number}: it ended with {outcome}"
        environment.close()
        looked = [line for line in environment.lines if '"check":"store.key"' in line]
        if len(looked) != 1:
            yield f"Lambda: the log should tell once what is wrong: {environment.lines}"
        if not all(word in looked[0] for word in ("is partitioned by id (S)", '"mend":"this cannot be changed', "aws dynamodb create-table")):
            yield f"Lambda: the log has {looked}"


def _function(options: argparse.Namespace) -> Iterator[str]:
    with _players(options) as players:
        site = players.clouds.azure
        site.send([script.event(site, f"diagnosis-{uuid4()}") for _ in range(3)])
        with players.running(site):
            end = time.monotonic() + TELL_SECONDS
            while not (looked := _looked(players)) and time.monotonic() < end:
                time.sleep(0.1)
        if len(looked) != 1 or "--partition-key-path /pk" not in looked[0]:
            yield f"Functions: the log should tell once, and soon, what is wrong: {players.host.lines}"


def _looked(players: Players) -> list[str]:
    return [line for line in players.host.lines if '"check":"store.key"' in line]


if __name__ == "__main__":
    sys.exit(main())
