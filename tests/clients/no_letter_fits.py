#!/usr/bin/env python3
"""Sends each queue the largest message that it takes, which is no event: no letter holds it, and each cloud must tell of it in its own way.

Service Bus: the message lies among the queue's own dead letters, whole, with reason and description. SQS has no such request: an excerpt
with reason, length and SHA-256 lies in the dead-letter queue, and the message stays in its queue. Needs workers, and all queues to itself.
Exit code 0 if all is as it must be, 1 if not.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.exceptions import ServiceBusError

from aws_site import AwsSite
from azure_site import AzureSite
from clouds import connect
from hosts import script
from site_port import wait_for_letter

SQS_BYTES_MAX = 1024 * 1024
"""Of a message ("Amazon SQS message quotas", read 2026-11)."""
SERVICE_BUS_BYTES_MAX = 256 * 1024
"""Of a message in the Standard tier, with its head ("Service Bus quotas", read 2026-11)."""
WAIT_SECONDS = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: no_letter_fits.py ready.json")
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    options = parser.parse_args()
    with connect(options.ready_file) as clouds:
        wrong = [*_service_bus(clouds.azure), *_sqs(clouds.aws)]
    return script.verdict(wrong)


def _service_bus(site: AzureSite) -> Iterator[str]:
    body = _largest(site)
    with site.broker_dead_letters() as receiver:
        end = time.monotonic() + WAIT_SECONDS
        while not (found := receiver.peek_messages(max_message_count=10)) and time.monotonic() < end:
            time.sleep(0.2)
    if [b"".join(message.body) for message in found] != [body]:
        yield f"{site.name}: {len(found)} messages among the queue's own dead letters"
        return
    reason, description = found[0].dead_letter_reason, found[0].dead_letter_error_description
    if reason != "not_json" or not (description or "").startswith("not JSON"):
        yield f"{site.name}: the broker has the reason {reason!r} and the description {description!r}"
    if not site.queue_is_empty():
        yield f"{site.name}: the message is still in its queue"
    if letters := site.letters_waiting():
        yield f"{site.name}: {letters} letters beside it"


def _largest(site: AzureSite) -> bytes:
    """Sends the largest message that the queue takes. How many bytes a message's head has is the client's own affair."""
    for head in range(64, 1024, 16):
        body = b"x" * (SERVICE_BUS_BYTES_MAX - head)
        try:
            site.send_one(ServiceBusMessage(body, message_id=str(uuid4())))
        except ServiceBusError:
            continue
        return body
    raise SystemExit("Service Bus takes no message near its limit")


def _sqs(site: AwsSite) -> Iterator[str]:
    body = b"x" * SQS_BYTES_MAX
    site.send([body])
    letters = wait_for_letter(site, WAIT_SECONDS)
    if len(letters) != 1:
        yield f"{site.name}: {len(letters)} excerpts"
        return
    properties = letters[0].properties
    site.drop_letter(letters[0])
    expected = {
        "bridge_reason": "not_json",
        "bridge_body_bytes": str(len(body)),
        "bridge_body_sha256": hashlib.sha256(body).hexdigest(),
    }
    if (said := {name: properties.get(name) for name in expected}) != expected:
        yield f"{site.name}: the excerpt says {said}"
    if not letters[0].body.startswith(b"An excerpt: the first 1024 of 1048576 bytes."):
        yield f"{site.name}: the excerpt is {letters[0].body[:80]!r}"
    if "bridge_owed" in properties:
        yield f"{site.name}: the excerpt owes {properties['bridge_owed']}"
    if site.queue_is_empty():
        yield f"{site.name}: the message is gone from its queue"


if __name__ == "__main__":
    sys.exit(main())
