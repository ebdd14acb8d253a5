"""Events that are legal, and as heavy for whoever reads them as they can be: few bytes of JSON stand for many values."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

RECORD_BYTES_MAX = 399 * 1024 - 2_048
"""Of a payload, as DynamoDB counts it (schema/record.v1.schema.json), less room for key and timestamp."""
BODY_BYTES_MAX = 1024 * 1024 - 4_096
"""Of a body, on queues that take 1 MiB."""


def event(site: str, key: str, payload: str, op_type: str = "upsert", more: str = "") -> bytes:
    """An event of `site` whose payload has these members beside its key. `more` are members of the event itself."""
    now = datetime.now(UTC).isoformat()
    head = f'{{"event_id":"{uuid4()}","source_region":"{site}","op_type":"{op_type}","timestamp":"{now}"'
    return f'{head}{more},"payload":{{"id":{json.dumps(key)}{payload}}}}}'.encode()


def _items(item: str, counted: int) -> Callable[[int], str]:
    """An array of such items, each of which DynamoDB counts as so many bytes."""

    def filled(record_bytes: int) -> str:
        return f',"x":[{",".join([item] * (record_bytes // counted))}]'

    return filled


def _text(character: str) -> Callable[[int], str]:
    """A text of a character that is written like that, and of which DynamoDB counts one byte."""
    return lambda record_bytes: f',"x":"{character * record_bytes}"'


def _deep(levels: int) -> tuple[str, int]:
    """Objects in objects, and the bytes that DynamoDB counts for one such tower in an array."""
    return '{"a":' * levels + "0" + "}" * levels, 1 + levels * (3 + 1 + 1) + 2


PAYLOADS: dict[str, Callable[[int], str]] = {
    "small objects": _items('{"a":0}', 8),
    "empty objects": _items("{}", 4),
    "small arrays": _items("[0]", 7),
    "towers": _items(*_deep(28)),
    "numbers": _items("0", 3),
    "large numbers": _items("1e20", 4),
    "nulls": _items("null", 2),
    "empty texts": _items('""', 1),
    "small members": lambda record_bytes: "".join(f',"{number:x}":0' for number in range(record_bytes // 8)),
    "names out of order": lambda record_bytes: "".join(f',"{number:x}":0' for number in range(record_bytes // 9, 0, -1)),
    "one text": lambda record_bytes: f',"x":"{"x" * record_bytes}"',
    "escapes": _text(r"\u0041"),
    "controls": _text(r"\u0001"),
}
"""What fills a payload, by the bytes that DynamoDB counts for it."""


def payload(kind: str) -> str:
    """Members of a payload, as many as its record may have, or its body."""
    room = RECORD_BYTES_MAX
    while len(members := PAYLOADS[kind](room)) > BODY_BYTES_MAX - 1_000:
        room = room * 9 // 10
    return members
