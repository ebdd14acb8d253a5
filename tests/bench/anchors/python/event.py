"""An event as a hand-written bridge reads it, and the record that it stores of it: schema/README.md."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import rfc8785

TOMBSTONE_SECONDS = 60 * 86_400
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Event:
    key: str
    event_id: str
    source_region: str
    op_type: str
    timestamp: str
    payload: dict[str, Any] | None
    """None of a delete."""
    version: str
    seconds: int
    """Of the timestamp, since 1970."""


def read_event(body: bytes | str) -> Event:
    """Raises ValueError, KeyError or TypeError for what is no event."""
    members = json.loads(body)
    op_type, timestamp = members["op_type"], members["timestamp"]
    key = members.get("key")
    key = str(members["payload"]["id"] if key is None else key)
    payload = None if op_type == "delete" else members["payload"]
    content = [op_type, timestamp, key] if payload is None else [op_type, timestamp, key, payload]
    digest = hashlib.sha256(rfc8785.dumps(content)).hexdigest()[:16]
    event_id, source = members["event_id"].lower(), members["source_region"]
    instant, fraction = _utc(timestamp)
    version = f"{instant:%Y-%m-%dT%H:%M:%S}.{fraction}Z {source:<32} {event_id} {digest}"
    return Event(key, event_id, source, op_type, timestamp, payload, version, int(instant.timestamp()))


def _utc(timestamp: str) -> tuple[datetime, str]:
    match = _TIMESTAMP.fullmatch(timestamp)
    if match is None:
        raise ValueError(f"{timestamp!r} is no RFC 3339 timestamp")
    day, clock, fraction, offset = match.groups()
    instant = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    return instant.astimezone(UTC), (fraction or "").ljust(9, "0")


def expires_at(event: Event) -> int:
    """Of a tombstone, in seconds since 1970."""
    return max(event.seconds, int(time.time())) + TOMBSTONE_SECONDS


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
