"""The event source mapping between SQS and Lambda: receives, invokes, and deletes what was not reported."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from hosts.counts import Counts
from hosts.lambda_runtime import Environment, Outcome
from hosts.partial_batch import kept

RECEIVE_MAX = 10
"""Messages of one receive, and of one delete batch ("Amazon SQS message quotas", read 2026-11)."""
EVENT_BYTES_MAX = 6 * 1024 * 1024
"""A batch is handed over before it grows beyond this ("Lambda quotas", invocation payload, read 2026-11)."""
HIDDEN_FACTOR = 6
"""The queue's visibility timeout in timeouts of the function ("Configuring an SQS queue for Lambda", read 2026-11)."""
LONG_POLL_SECONDS = 1
"""Shorter than the real 20 s, so that a player ends soon after it is told to."""
REST_SECONDS = 0.5
"""After a receive that failed."""

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Mapped:
    """One batch that was worked off."""

    messages: Sequence[Message]
    outcome: Outcome
    kept: set[str]
    """Message ids that stay in the queue."""


class EventSourceMapping:
    """The trigger of one function."""

    def __init__(self, site: Mapping[str, str], function_timeout_seconds: float, counts: Counts) -> None:
        session = boto3.Session(
            aws_access_key_id=site["access_key_id"],
            aws_secret_access_key=site["secret_access_key"],
            region_name=site["region"],
        )
        config = Config(connect_timeout=2, read_timeout=30, retries={"mode": "standard", "max_attempts": 2})
        self._sqs = session.client("sqs", endpoint_url=site["sqs_endpoint"], config=config)
        self._queue = site["queue_url"]
        self._region = site["region"]
        self._hidden_seconds = max(1, round(function_timeout_seconds * HIDDEN_FACTOR))
        self._counts = counts
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        self.arn: str = attributes["QueueArn"]

    def receive(self, batch_size: int = RECEIVE_MAX, wait_seconds: int = LONG_POLL_SECONDS) -> list[Message]:
        """Gathers up to `batch_size` messages: waits for the first, and then takes what more there is."""
        batch: list[Message] = []
        while len(batch) < batch_size:
            answer = self._sqs.receive_message(
                QueueUrl=self._queue,
                MaxNumberOfMessages=min(RECEIVE_MAX, batch_size - len(batch)),
                WaitTimeSeconds=0 if batch else wait_seconds,
                VisibilityTimeout=self._hidden_seconds,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            more = answer.get("Messages", [])
            batch += more
            if not more:
                break
        return batch

    def event(self, messages: Sequence[Message]) -> bytes:
        """The event of a batch, with all members that the service sends."""
        return _json({"Records": [self._record(message) for message in messages]})

    def work_off(self, environment: Environment, messages: Sequence[Message]) -> Iterator[Mapped]:
        """Invokes with what is not too large for one event; deletes what the answer lets go."""
        for part in self._parts(messages):
            outcome = environment.invoke(self.event(part))
            staying = kept(outcome, [message["MessageId"] for message in part])
            self._delete([message for message in part if message["MessageId"] not in staying])
            self._counts.add("messages", len(part))
            self._counts.add("kept", len(staying))
            yield Mapped(part, outcome, staying)

    def poll(self, environment: Environment, batch_size: int, stop: threading.Event) -> None:
        """Works batch after batch with one environment until `stop`. An SQS that is away is asked again."""
        while not stop.is_set():
            try:
                messages = self.receive(batch_size)
                for _ in self.work_off(environment, messages):
                    pass
            except (BotoCoreError, ClientError):
                self._counts.add("queue_errors")
                stop.wait(REST_SECONDS)

    def _parts(self, messages: Sequence[Message]) -> Iterator[list[Message]]:
        part: list[Message] = []
        part_bytes = 0
        for message in messages:
            size = len(_json(self._record(message)))
            if part and part_bytes + size > EVENT_BYTES_MAX:
                yield part
                part, part_bytes = [], 0
            part.append(message)
            part_bytes += size
        if part:
            yield part

    def _delete(self, messages: Sequence[Message]) -> None:
        for begin in range(0, len(messages), RECEIVE_MAX):
            entries = [
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                for place, message in enumerate(messages[begin : begin + RECEIVE_MAX])
            ]
            answer = self._sqs.delete_message_batch(QueueUrl=self._queue, Entries=entries)
            self._counts.add("deleted", len(answer.get("Successful", [])))
            self._counts.add("not_deleted", len(answer.get("Failed", [])))

    def _record(self, message: Message) -> dict[str, Any]:
        attributes = message.get("MessageAttributes", {})
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": {name: _attribute(value) for name, value in attributes.items()},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.arn,
            "awsRegion": self._region,
        }
        if "MD5OfMessageAttributes" in message:
            record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
        return record


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    """A message attribute in Lambda's casing; binary values in base64."""
    attribute: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        attribute["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        attribute["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return attribute


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
