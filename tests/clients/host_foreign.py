#!/usr/bin/env python3
"""Starts each function for a site that is not its host's, and hands a Lambda function batches of other queues.

Each must be refused with a sentence that says what to mend, and nothing may be written, set aside or let go. Exit code 0 if
all is so, 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from hosts import function_package, script
from hosts.counts import Counts
from hosts.functions_host import FunctionsHost
from hosts.lambda_runtime import Ended, Environment
from hosts.partial_batch import kept
from hosts.players import Players
from hosts.settings import function_settings, lambda_function
from site_port import wait_for_letter

TIMEOUT_SECONDS = 10.0
START_SECONDS = 10.0
"""The host starts a handler that exits with an error three times."""
WORK_SECONDS = 60.0


def main() -> int:
    options = _options()
    ready = json.loads(options.ready_file.read_text())
    wrong = [*_lambda_starts(options, ready), *_function_starts(options, ready), *_batches(options)]
    return script.verdict(wrong)


def _lambda_starts(options: argparse.Namespace, ready: Mapping[str, Any]) -> Iterator[str]:
    """What AWS Lambda gives a function, and what it must say of it."""
    aws, azure = (next(name for name in ready["sites"] if name.startswith(cloud)) for cloud in ("aws", "azure"))
    for settings, words in (
        ([f"BRIDGE_SITE={azure}"], f"AWS Lambda, and its site is {azure}"),
        (["AWS_REGION=eu-central-1"], "runs in eu-central-1 (AWS_REGION)"),
        (["BRIDGE_SITE=aws:nowhere-1"], "aws:nowhere-1 is not configured"),
        (["BRIDGE_CONFIG=/nowhere.toml"], "/nowhere.toml cannot be read"),
        (["BRIDGE_WORKER_ATTEMPTS_MAX=0"], "worker.attempts_max: found \"0\"; allowed is"),
        (["BRIDGE_LOG_FORMAT=xml"], "xml"),
    ):
        environment = Environment(lambda_function(options.package / "lambda", ready, aws, TIMEOUT_SECONDS, settings), Counts())
        outcome = environment.invoke(b'{"Records":[]}')
        environment.close()
        if outcome.how is not Ended.INIT:
            yield f"Lambda with {settings}: it ended with {outcome}, it should say why it does not start"
            continue
        told = json.loads(outcome.body)
        if words not in told["errorMessage"] or told["errorType"] != "Bridge.Start":
            yield f"Lambda with {settings}: the console shows {told}, it should say {words!r}"
        if words not in "\n".join(environment.lines):
            yield f"Lambda with {settings}: the log has {environment.lines}, it should say {words!r}"


def _function_starts(options: argparse.Namespace, ready: Mapping[str, Any]) -> Iterator[str]:
    """What the Functions host gives a handler, and what it must say of it."""
    aws, azure = (next(name for name in ready["sites"] if name.startswith(cloud)) for cloud in ("aws", "azure"))
    letters = ready["sites"][azure]["dead_letter_queue"]
    elsewhere = "Endpoint=sb://elsewhere.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k"
    for settings, words in (
        ([f"BRIDGE_SITE={aws}"], f"Azure Functions, and its site is {aws}"),
        ([f"BRIDGE_QUEUE={letters}"], f"reads the queue {letters}"),
        (["BRIDGE_QUEUE=bridge-events/$deadletterqueue"], "reads the queue bridge-events/$deadletterqueue"),
        ([f"BRIDGE_SERVICE_BUS={elsewhere}"], "the namespace elsewhere.servicebus.windows.net"),
    ):
        app = function_settings(ready, settings)
        package = function_package.read(options.package / "function", app, os.cpu_count() or 1)
        host = FunctionsHost(package, app, Counts())
        host.start()
        end = time.monotonic() + START_SECONDS
        while not host.has_stopped and time.monotonic() < end:
            time.sleep(0.05)
        lines = host.lines
        host.close()
        if not host.has_stopped:
            yield f"Functions with {settings}: the host took the handler for one that works"
        if words not in "\n".join(lines):
            yield f"Functions with {settings}: the log has {lines}, it should say {words!r}"


def _batches(options: argparse.Namespace) -> Iterator[str]:
    """Batches of others, to a function that works: each is refused whole, and then it does its own work as before."""
    with Players(options.ready_file, options.package, timeout_seconds=TIMEOUT_SECONDS) as players:
        site, environment = players.clouds.aws, players.environments[0]
        prefix = f"foreign-{uuid4()}"
        keys = []
        for name, records in _foreign(players, prefix):
            keys += [json.loads(record["body"])["payload"]["id"] for record in records if "body" in record]
            outcome = environment.invoke(json.dumps({"Records": records}).encode())
            ids = {str(record.get("messageId", number)) for number, record in enumerate(records)}
            if outcome.how is not Ended.ERROR or kept(outcome, ids) != ids:
                yield f"{name}: it ended with {outcome}"
                continue
            told = json.loads(outcome.body)
            sources = [record.get("eventSourceARN", "eventSourceARN") for record in records]
            if told["errorType"] != "Bridge.ForeignQueue" or not any(source in told["errorMessage"] for source in sources):
                yield f"{name}: the error is {told}"
        own = script.event(site, f"{prefix}-own")
        site.send([own])
        yield from players.work_off(site, within_seconds=WORK_SECONDS)
        if site.record(f"{prefix}-own") is None:
            yield "its own queue's event was not applied after all this"
        for key in keys:
            for one in players.clouds.sites:
                if one.record(key) is not None:
                    yield f"{key} of another queue is in the store of {one.name}"
        for letter in wait_for_letter(site, 1):
            yield f"a letter that should not be: {dict(letter.properties)}"


def _foreign(players: Players, prefix: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    own = players.mapping.arn
    partition, region, account, queue = own.split(":")[1], *own.split(":")[3:6]

    def record(source: str | None, **more: Any) -> dict[str, Any]:
        message_id = str(uuid4())
        body = script.event(players.clouds.aws, f"{prefix}-{message_id}").decode()
        message = {"MessageId": message_id, "ReceiptHandle": "none", "Body": body, "MD5OfBody": ""}
        (made,) = json.loads(players.mapping.event([message]))["Records"]
        made.pop("eventSourceARN")
        return {**made, **({"eventSourceARN": source} if source else {}), **more}

    yield "another region", [record(f"arn:{partition}:sqs:eu-west-1:{account}:{queue}")]
    yield "another account", [record(f"arn:{partition}:sqs:{region}:123456789012:{queue}")]
    yield "another queue", [record(f"arn:{partition}:sqs:{region}:{account}:other")]
    yield "the dead-letter queue", [record(f"{own}-dead")]
    yield "a mixed batch", [record(own), record(f"arn:{partition}:sqs:eu-west-1:{account}:{queue}"), record(own)]
    yield "no source", [record(None)]
    yield "SNS", [
        {
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": f"arn:aws:sns:{region}:{account}:{queue}:x",
            "Sns": {"Message": "{}"},
        }
    ]
    stream = {"eventID": "1", "eventName": "INSERT", "eventSource": "aws:dynamodb", "dynamodb": {"Keys": {}}}
    yield "a DynamoDB stream", [{**stream, "eventSourceARN": f"arn:aws:dynamodb:{region}:{account}:table/{queue}/stream/x"}]
    kinesis = {"eventID": "shard:1", "eventSource": "aws:kinesis", "kinesis": {"data": "e30="}}
    yield "Kinesis", [{**kinesis, "eventSourceARN": f"arn:aws:kinesis:{region}:{account}:stream/{queue}"}]


def _options() -> argparse.Namespace:
    return script.arguments(__doc__, "host_foreign.py ready.json --package dist").parse_args()


if __name__ == "__main__":
    sys.exit(main())
