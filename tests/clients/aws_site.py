"""SQS and DynamoDB through boto3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config

from site_port import Letter, Message, Site, messages
from stored import Record, by_key, dynamodb_record

BATCH_ENTRIES_MAX = 10
"""Entries of a batch request ("Amazon SQS message quotas", read 2026-11)."""
BATCH_BYTES_MAX = 1024 * 1024
"""Bytes of a batch request, all entries together (the same)."""
LETTERS_AT_ONCE = 10


class AwsSite(Site):
    """SQS and DynamoDB."""

    def __init__(self, name: str, ready: Mapping[str, str]) -> None:
        super().__init__(name)
        session = boto3.Session(
            aws_access_key_id=ready["access_key_id"],
            aws_secret_access_key=ready["secret_access_key"],
            region_name=ready["region"],
        )
        config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 5})
        self._sqs = session.client("sqs", endpoint_url=ready["sqs_endpoint"], config=config)
        self._dynamodb = session.client("dynamodb", endpoint_url=ready["dynamodb_endpoint"], config=config)
        self._queue = ready["queue_url"]
        self._letters = ready["dead_letter_queue_url"]
        self._table = ready["table"]

    def send(self, bodies: Sequence[bytes | Message]) -> None:
        for batch in _batches(messages(bodies), BATCH_ENTRIES_MAX, BATCH_BYTES_MAX):
            entries = [_entry(at, message) for at, message in enumerate(batch)]
            answer = self._sqs.send_message_batch(QueueUrl=self._queue, Entries=entries)
            if answer.get("Failed"):
                raise RuntimeError(f"SQS refused messages: {answer['Failed']}")

    def queue_is_empty(self) -> bool:
        return self._count(self._queue) == 0

    def queue_waiting(self) -> int:
        return self._count(self._queue)

    def letters_waiting(self) -> int:
        return self._count(self._letters)

    def _count(self, queue: str) -> int:
        names = [f"ApproximateNumberOfMessages{suffix}" for suffix in ("", "NotVisible", "Delayed")]
        answer = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def take_letters(self, wait_seconds: float) -> list[Letter]:
        # SQS waits for whole seconds, and to wait for none may overlook messages: at least one.
        answer = self._sqs.receive_message(
            QueueUrl=self._letters,
            MaxNumberOfMessages=LETTERS_AT_ONCE,
            WaitTimeSeconds=min(20, max(1, round(wait_seconds))),
            MessageAttributeNames=["All"],
        )
        return [self._letter(message) for message in answer.get("Messages", [])]

    @staticmethod
    def _letter(message: Mapping[str, Any]) -> Letter:
        attributes = message.get("MessageAttributes", {})
        properties = {name: attribute["StringValue"] for name, attribute in attributes.items()}
        return Letter(message["Body"].encode("utf-8"), properties, message["ReceiptHandle"])

    def drop_letter(self, letter: Letter) -> None:
        self._sqs.delete_message(QueueUrl=self._letters, ReceiptHandle=letter.handle)

    def records(self) -> dict[str, Record]:
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        records = (dynamodb_record(item) for page in pages for item in page["Items"])
        return by_key(records)

    def record(self, key: str) -> Record | None:
        answer = self._dynamodb.get_item(TableName=self._table, Key={"pk": {"S": key}}, ConsistentRead=True)
        return dynamodb_record(answer["Item"]) if "Item" in answer else None

    def forget(self, key: str) -> None:
        self._dynamodb.delete_item(TableName=self._table, Key={"pk": {"S": key}})

    def close(self) -> None:
        self._sqs.close()
        self._dynamodb.close()


def _entry(at: int, message: Message) -> dict[str, Any]:
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in message.properties.items()}
    return {"Id": str(at), "MessageBody": message.body.decode("utf-8"), "MessageAttributes": attributes}


def _bytes(message: Message) -> int:
    return len(message.body) + sum(len(f"{name}String{value}".encode()) for name, value in message.properties.items())


def _batches(waiting: Iterable[Message], count_max: int, bytes_max: int) -> Iterator[list[Message]]:
    batch: list[Message] = []
    for message in waiting:
        if batch and (len(batch) == count_max or sum(map(_bytes, batch)) + _bytes(message) > bytes_max):
            yield batch
            batch = []
        batch.append(message)
    if batch:
        yield batch
