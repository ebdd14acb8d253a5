#!/usr/bin/env python3
"""Hands a Lambda function of 128 MB the heaviest batches that Lambda can make of messages, each in a fresh process.

Heavy records are written twice, as the store's answer to the second write brings the first. No process may take more, and every message of
each batch must be written or set aside. Prints the memory of each. Exit code 0 if all is so, 1 if not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import heavy
from acceptance import say
from hosts import script
from hosts.event_source_mapping import EVENT_BYTES_MAX
from hosts.lambda_runtime import Ended
from hosts.partial_batch import kept
from hosts.players import Players
from site_port import Site, wait_for_letter

MEMORY_MB = 128
"""The least that a Lambda function can have."""
RECORDS_MAX = 10_000
"""Of one batch ("Lambda quotas", read 2026-11)."""
TIMEOUT_SECONDS = 60.0
FEW = 100
"""Records that are looked up one by one: to read a table of heavy ones takes a minute."""
FIRST = ", first"
"""The end of the name of a batch after which the process lives on."""
PEAKS: list[float] = []
SETTINGS = ("BRIDGE_SITES_AZURE_WESTEUROPE_MESSAGE_BYTES_MAX=1048576",)
"""As in the Premium tier, so that records may be as large as DynamoDB takes them."""


def main() -> int:
    options = _options()
    wrong: list[str] = []
    with Players(options.ready_file, options.package, SETTINGS, TIMEOUT_SECONDS) as players:
        for name, bodies in batches(players.clouds.aws):
            if not options.only or name.removesuffix(FIRST) in options.only:
                wrong += [f"{name}: {line}" for line in _invoke(players, name, bodies, options.memory)]
    print(f"at most {max(PEAKS, default=0):.0f} MB")
    return script.verdict(wrong)


def _invoke(players: Players, name: str, bodies: Sequence[bytes], memory_mb: int) -> Iterator[str]:
    messages = [message(body) for body in bodies]
    environment = players.environments[0]
    environment.memory_bytes_max = memory_mb * 2**20
    payload = players.mapping.event(messages)
    begin = time.monotonic()
    outcome = environment.invoke(payload)
    took_seconds = time.monotonic() - begin
    peak_mb = environment.peak_memory_mb
    PEAKS.append(peak_mb)
    if not name.endswith(FIRST):
        environment.close()
    size_mib = len(payload) / 2**20
    say(f"{name}: {len(messages)} records, {size_mib:.1f} MiB, {peak_mb:.0f} MB, {took_seconds:.1f} s, {outcome.how.value}")
    if peak_mb > memory_mb:
        yield f"it took {peak_mb:.0f} MB"
    if outcome.how is not Ended.ANSWER:
        yield f"it ended with {outcome.how}: {outcome.body[-500:]!r} {environment.lines[-3:]}"
        return
    ids = {str(one["MessageId"]): body for one, body in zip(messages, bodies, strict=True)}
    if staying := kept(outcome, set(ids)):
        yield f"{len(staying)} of {len(ids)} messages must come again"
    yield from _lost(players.clouds.aws, [body for message_id, body in ids.items() if message_id not in staying])


def _lost(site: Site, bodies: Sequence[bytes]) -> Iterator[str]:
    few = len(bodies) <= FEW
    stored = {name for name in map(key, bodies) if name and site.record(name)} if few else set(site.records())
    letters = set()
    while taken := wait_for_letter(site, 1):
        for letter in taken:
            letters.add(letter.body)
            site.drop_letter(letter)
    lost = [body for body in bodies if body not in letters and key(body) not in stored]
    if lost:
        yield f"{len(lost)} messages are neither written nor set aside, as {lost[0][:200]!r}"


def batches(site: Site) -> Iterator[tuple[str, Sequence[bytes]]]:
    """Batches near the limits of Lambda: 6 MB, and 10,000 records."""
    name = site.name
    yield "many", list(_fill(lambda: heavy.event(name, f"m/{uuid4()}", "")))
    for kind in heavy.PAYLOADS:
        members = heavy.payload(kind)
        first = list(_fill(partial(_event, name, kind, members)))
        yield kind + FIRST, first
        yield kind, [heavy.event(name, str(key(body)), members) for body in first]
    room = heavy.BODY_BYTES_MAX - 1_000
    objects = ",".join(['{"a":0}'] * (room // 8))
    yield "too large", list(_fill(lambda: heavy.event(name, f"t/{uuid4()}", f',"x":[{objects}]')))
    yield "unknown members", list(_fill(lambda: heavy.event(name, f"u/{uuid4()}", "", more=f',"x":[{objects}]')))
    yield "deletes", list(_fill(lambda: heavy.event(name, f"d/{uuid4()}", f',"x":[{objects}]', op_type="delete")))
    yield "no events", list(_fill(lambda: f"[{objects}]".encode()))
    yield "no JSON", list(_fill(lambda: b"[" * room))


def _event(site: str, kind: str, members: str) -> bytes:
    return heavy.event(site, f"heavy/{kind}/{uuid4()}", members)


def _fill(make: Callable[[], bytes]) -> Iterator[bytes]:
    """As many messages as fit into one invocation."""
    size = 0
    for _ in range(RECORDS_MAX):
        body = make()
        size += len(json.dumps(_record(body), ensure_ascii=False, separators=(",", ":")).encode()) + 1
        if size > EVENT_BYTES_MAX - 1_024:
            return
        yield body


def _record(body: bytes) -> dict[str, Any]:
    """As large as a record of the real service: a receipt has some 400 characters."""
    made = message(body)
    attributes = {**made["Attributes"], "SenderId": "x" * 21}
    more = {"eventSource": "aws:sqs", "eventSourceARN": "x" * 60, "awsRegion": "us-east-1", "messageAttributes": {}}
    members = {"messageId": "", "receiptHandle": "", "body": "", "attributes": attributes, "md5OfBody": "", **more}
    return {**members, "m": made["MessageId"], "r": made["ReceiptHandle"], "b": body.decode()}


def message(body: bytes) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"}
    times = {"ApproximateFirstReceiveTimestamp": "1545082649185"}
    return {
        "MessageId": str(uuid4()),
        "ReceiptHandle": "r" * 400,
        "Body": body.decode(),
        "MD5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "Attributes": {**attributes, **times},
    }


def key(body: bytes) -> str | None:
    try:
        made = json.loads(body)
        return str(made["payload"]["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _options() -> argparse.Namespace:
    parser = script.arguments(__doc__, "host_memory.py ready.json --package dist")
    parser.add_argument("--memory", type=int, default=MEMORY_MB, help="megabytes that the process may have (%(default)s)")
    parser.add_argument("--only", action="append", help="these batches, by name")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
