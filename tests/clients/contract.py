"""The contract of schema/, read a second time: what an event means, and which of many wins.

Written from the documents and not from the bridge's code, so that a mistake in either shows. It reads valid events
only; what is refused, and why, is said by schema/examples.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

NANOSECONDS = 10**9
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOUD_EVENT_NAMES = {
    "event_id": "id",
    "source_region": "source",
    "op_type": "type",
    "payload": "data",
    "timestamp": "time",
    "key": "subject",
}
_PAST_TENSE = {"created": "create", "updated": "update", "upserted": "upsert", "deleted": "delete"}


@dataclass(frozen=True)
class Event:
    """One change of one key."""

    key: str
    event_id: str
    source_region: str
    op_type: str
    timestamp: str
    payload: str
    """In canonical form; empty of a delete, which has none but its key."""

    @property
    def deleted(self) -> bool:
        return self.op_type == "delete"

    @property
    def content(self) -> str:
        """Sixteen digits for all that a record keeps of the event beside its name, origin and time: schema/README.md."""
        parts = [canonical(part) for part in (self.op_type, self.timestamp, self.key)]
        text = ",".join(parts if self.deleted else [*parts, self.payload])
        return hashlib.sha256(f"[{text}]".encode()).hexdigest()[:16]

    @property
    def version(self) -> tuple[int, bytes, bytes, bytes]:
        """The total order: time in UTC, then origin, event id and content, the last three by their bytes."""
        return nanoseconds(self.timestamp), self.source_region.encode(), self.event_id.encode(), self.content.encode()

    @property
    def version_text(self) -> str:
        """The version as stores hold it: 117 bytes, whose order is that of `version`."""
        seconds, fraction = divmod(nanoseconds(self.timestamp), NANOSECONDS)
        instant = _EPOCH + timedelta(seconds=seconds)
        time = f"{instant.year:04}-{instant:%m-%dT%H:%M:%S}.{fraction:09}Z"
        return f"{time} {self.source_region:<32} {self.event_id} {self.content}"


def read_event(body: bytes) -> Event:
    """Reads a valid event, in our own envelope or as a CloudEvent."""
    members = json.loads(body.decode("utf-8"), parse_float=Decimal, parse_int=Decimal)
    cloud_event = "specversion" in members and "event_id" not in members

    def field(name: str) -> Any:
        return members.get(_CLOUD_EVENT_NAMES[name] if cloud_event else name)

    word = field("op_type").rsplit(".", 1)[-1] if cloud_event else field("op_type")
    key = field("key")
    if key is None:
        key = field("payload")["id"]
    op = _PAST_TENSE.get(word, word)
    return Event(
        key=str(key),
        event_id=field("event_id").lower(),
        source_region=field("source_region"),
        op_type=op,
        timestamp=field("timestamp"),
        payload="" if op == "delete" else canonical(field("payload")),
    )


def winners(bodies: Iterable[bytes]) -> dict[str, Event]:
    """What every store must end with: the event with the greatest version of each key, in whatever order they came."""
    greatest: dict[str, Event] = {}
    for event in map(read_event, bodies):
        current = greatest.get(event.key)
        if current is None or current.version < event.version:
            greatest[event.key] = event
    return greatest


def nanoseconds(timestamp: str) -> int:
    """Nanoseconds since 1970 in UTC. A leap second counts as the second after it."""
    match = _TIMESTAMP.fullmatch(timestamp)
    if not match:
        raise ValueError(f"{timestamp!r} is not an RFC 3339 timestamp")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    local = datetime(year, month, day, hour, minute, tzinfo=UTC)
    offset = (int(offset_hours) * 60 + int(offset_minutes)) * 60 if sign else 0
    since_epoch = local - _EPOCH
    seconds = since_epoch.days * 86_400 + since_epoch.seconds + second + (offset if sign == "-" else -offset)
    return seconds * NANOSECONDS + int((fraction or "").ljust(9, "0"))


def canonical(value: Any) -> str:
    """One text for all spellings of one JSON value, by RFC 8785."""
    match value:
        case dict():
            names = sorted(value, key=lambda name: name.encode("utf-16-be"))
            return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
        case list():
            return "[" + ",".join(canonical(item) for item in value) + "]"
        case bool() | None | str():
            return json.dumps(value, ensure_ascii=False)
        case int() | float() | Decimal():
            return _canonical_number(value)
    raise TypeError(f"{type(value)} is not of JSON")


def _canonical_number(value: int | float | Decimal) -> str:
    """As ECMAScript's Number::toString has it. Python's repr has the same digits, the shortest that tell the double."""
    double = float(value)
    if double == 0:
        return "0"
    if not isinstance(value, float) and Decimal(repr(double)) != value:
        raise ValueError(f"{value} is no double's shortest form: no portable number")
    sign, shortest, exponent = Decimal(repr(double)).normalize().as_tuple()
    digits = "".join(map(str, shortest))
    point = len(digits) + int(exponent)  # The value is 0.DIGITS * 10^point.
    if len(digits) <= point <= 21:
        text = digits.ljust(point, "0")
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        fraction = f".{digits[1:]}" if digits[1:] else ""
        text = f"{digits[0]}{fraction}e{point - 1:+}"
    return "-" * sign + text


def cosmos_id(key: str) -> str:
    """The key as the id of a Cosmos DB item."""
    if key in (".", ".."):
        return "~2E" * len(key)
    last = len(key) - 1
    return "".join(
        "".join(f"~{byte:02X}" for byte in character.encode())
        if character in "/\\?#~" or _is_control(character) or (at == last and character.isspace())
        else character
        for at, character in enumerate(key)
    )


def _is_control(character: str) -> bool:
    return ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0
