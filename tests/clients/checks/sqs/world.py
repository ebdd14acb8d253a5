"""The SQS under test, and queues that live for one check."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from harness import equal, site


class World:
    """A client without retries, and what the checks do over and over."""

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self.site = site(ready, "aws")
        self.sqs = self.client()
        self._queues: list[str] = []

    def client(self, **changes: Any) -> Any:
        settings: dict[str, Any] = {
            "endpoint_url": self.site["sqs_endpoint"],
            "region_name": self.site["region"],
            "aws_access_key_id": self.site["access_key_id"],
            "aws_secret_access_key": self.site["secret_access_key"],
            # No retries: a check must see the service's own answer.
            "config": Config(retries={"total_max_attempts": 1}, read_timeout=30, max_pool_connections=20),
        }
        return boto3.client("sqs", **{**settings, **changes})

    def name(self, suffix: str = "") -> str:
        return f"check-{uuid.uuid4().hex[:12]}{suffix}"

    def create(self, name: str, **more: Any) -> str:
        """A queue that goes with the check."""
        url = self.sqs.create_queue(QueueName=name, **more)["QueueUrl"]
        self._queues.append(url)
        return url

    def queue(self, **attributes: Any) -> str:
        return self.create(self.name(), Attributes=text(attributes))

    def fifo(self, **attributes: Any) -> str:
        return self.create(self.name(".fifo"), Attributes=text({"FifoQueue": "true", **attributes}))

    def arn(self, url: str) -> str:
        return self.attribute(url, "QueueArn")

    def attribute(self, url: str, name: str) -> Any:
        return self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name]).get("Attributes", {}).get(name)

    def counts(self, url: str) -> tuple[int, ...]:
        """Messages that are visible, in flight, delayed."""
        names = [f"ApproximateNumberOfMessages{suffix}" for suffix in ("", "NotVisible", "Delayed")]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return tuple(int(found[name]) for name in names)

    def send(self, url: str, body: str, **more: Any) -> Any:
        return self.sqs.send_message(QueueUrl=url, MessageBody=body, **more)

    def receive(self, url: str, count: int = 10, **more: Any) -> list[Any]:
        return self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=count, **more).get("Messages", [])

    def bodies(self, url: str, count: int = 10, **more: Any) -> list[str]:
        return [message["Body"] for message in self.receive(url, count, **more)]

    def clean_up(self) -> None:
        for url in self._queues:
            with suppress(Exception):
                self.sqs.delete_queue(QueueUrl=url)
        self._queues.clear()


def text(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Queue attributes as SQS takes them: policies as JSON in a string."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in attributes.items()}


def refused(
    code: str, call: Callable[..., Any], status: int = 400, message: str | None = None, **arguments: Any
) -> Mapping[str, Any]:
    """The call must fail with this code, HTTP status and, if given, this very message."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        found = error.response["Error"]
        equal(found["Code"], code, found.get("Message"))
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], status, "HTTP status")
        if message is not None:
            equal(found["Message"], message, "message")
        return error.response
    raise AssertionError(f"expected {code}, but the call succeeded: {answer!r}")


def md5(value: str | bytes) -> str:
    return hashlib.md5(value if isinstance(value, bytes) else value.encode()).hexdigest()


def attributes_md5(attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """The digest of message attributes ([Guide] Message metadata, "Calculating the MD5 message digest")."""
    digest = hashlib.md5()
    for name in sorted(attributes):
        attribute = attributes[name]
        for part in (name, attribute["DataType"]):
            digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
        binary = "BinaryValue" in attribute
        value = attribute["BinaryValue"] if binary else attribute["StringValue"].encode()
        digest.update(bytes([2 if binary else 1]) + len(value).to_bytes(4, "big") + value)
    return digest.hexdigest()
