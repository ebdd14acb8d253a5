"""What the Functions host posts to a custom handler for a Service Bus message: its encoding, value by value.

As read in the host's own code (docs/hosts.md, "Request"), which differs from the documentation page.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4


class NotText(Exception):
    """A body that is no UTF-8, for a binding that wants text: the host fails before it calls the handler."""


@dataclass(frozen=True)
class Received:
    """A message as the trigger received it."""

    body: bytes
    message_id: str | None
    delivery_count: int
    """From 1, as .NET counts; AMQP and the Python client count from 0."""
    enqueued: datetime
    expires: datetime
    lock_token: str = field(default_factory=lambda: str(uuid4()))
    sequence_number: int = 1
    content_type: str | None = None
    subject: str | None = None
    correlation_id: str | None = None
    session_id: str | None = None
    partition_key: str | None = None
    reply_to: str | None = None
    to: str | None = None
    application_properties: Mapping[str, Any] = field(default_factory=dict)


def one(function: str, binding: str, data_type: str, message: Received) -> bytes:
    """The payload of an invocation with one message."""
    metadata = _client() | {
        "DeliveryCount": message.delivery_count,
        "LockToken": message.lock_token,
        "SequenceNumber": message.sequence_number,
        "MessageId": message.message_id,
        "EnqueuedTimeUtc": _utc(message.enqueued),
        "EnqueuedTime": message.enqueued,
        "ExpiresAtUtc": _utc(message.expires),
        "ExpiresAt": message.expires,
        "ContentType": message.content_type,
        "Subject": message.subject,
        "Label": message.subject,
        "CorrelationId": message.correlation_id,
        "SessionId": message.session_id,
        "PartitionKey": message.partition_key,
        "ReplyTo": message.reply_to,
        "To": message.to,
        "ApplicationProperties": message.application_properties,
        "UserProperties": message.application_properties,
    }
    value = _body(message.body, data_type)
    if isinstance(value, str):
        apply_binding_data(value, metadata)
    return _payload(function, binding, value, metadata)


def many(function: str, binding: str, data_type: str, messages: Sequence[Received]) -> bytes:
    """The payload of an invocation with a batch (cardinality many)."""
    bodies = [_body(message.body, data_type) for message in messages]
    texts = [base64.b64encode(body).decode() if isinstance(body, bytes) else body for body in bodies]
    metadata = _client() | {
        "MessageIdArray": [message.message_id for message in messages],
        "DeliveryCountArray": [message.delivery_count for message in messages],
        "SequenceNumberArray": [message.sequence_number for message in messages],
        "LockTokenArray": [message.lock_token for message in messages],
        # Within an array times keep their fractions.
        "EnqueuedTimeUtcArray": [_utc(message.enqueued).isoformat(timespec="milliseconds") for message in messages],
        "ApplicationPropertiesArray": [dict(message.application_properties) for message in messages],
        "SessionIdArray": [message.session_id for message in messages],
    }
    return _payload(function, binding, texts, metadata)


def tick(function: str, binding: str, now: datetime) -> bytes:
    """The payload of a timer's invocation."""
    timer = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
    return _payload(function, binding, _text(timer), {"TimerTrigger": now})


def apply_binding_data(value: str, metadata: dict[str, Any]) -> None:
    """Lets the members of a JSON body replace the broker's metadata, whatever their case, as the host does for text."""
    try:
        members = json.loads(value)
    except ValueError:
        return
    if not isinstance(members, dict):
        return
    for name, member in members.items():
        if isinstance(member, list):
            continue
        for known in [known for known in metadata if known.lower() == name.lower()]:
            del metadata[known]
        metadata[name] = member


def encode(value: Any) -> Any:
    """One value of `Data` or `Metadata` on the wire."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.isoformat(timespec="seconds")
        case Mapping():
            return value
        case _:
            return _text(value)


def _payload(function: str, binding: str, value: Any, metadata: dict[str, Any]) -> bytes:
    metadata["sys"] = {
        "MethodName": function,
        "UtcNow": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "RandGuid": str(uuid4()),
    }
    told = {
        name: encode(value)
        for name, value in metadata.items()
        if value is not None and not name.lower().endswith("trigger")
    }
    return _text({"Data": {binding: encode(value)}, "Metadata": told}).encode()


def _client() -> dict[str, Any]:
    """The objects of the SDK that are in the binding data, as far as their form is known."""
    objects = ("MessageReceiver", "MessageSession", "MessageActions", "SessionActions", "ReceiveActions")
    client = {"FullyQualifiedNamespace": "localhost", "IsClosed": False, "TransportType": 0, "Identifier": "player"}
    return {**{name: {} for name in objects}, "Client": client}


def _body(body: bytes, data_type: str) -> bytes | str:
    if data_type == "binary":
        return body
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotText(str(error)) from error


def _utc(instant: datetime) -> datetime:
    """As .NET's DateTime is written: without its offset."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
