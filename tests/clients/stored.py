"""What a store holds of a key, held against schema/record.v1.schema.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from contract import canonical, cosmos_id

HEARTBEAT_PREFIX = "_bridge/"
"""Keys of the bridge's own; they come and go while we look."""

_COMMON = {"pk", "version", "event_id", "source_region", "timestamp", "op_type", "deleted", "applied_at", "applied_by"}
_COSMOS_OWN = {"_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"}


@dataclass(frozen=True)
class Record:
    """What a store holds of a key, in words common to both."""

    key: str
    version: str
    event_id: str
    source_region: str
    timestamp: str
    op_type: str
    deleted: bool
    payload: str | None
    """In canonical form; none on a tombstone."""
    lives_seconds: float | None
    """From its writing to its expiry; none if it does not expire."""
    applied_by: str
    applied_at: str
    problems: tuple[str, ...]
    """What is not as schema/record.v1.schema.json says."""


def by_key(records: Iterable[Record]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for record in records:
        if record.key in found:
            raise RuntimeError(f"the store holds the key {record.key!r} twice")
        if not record.key.startswith(HEARTBEAT_PREFIX):
            found[record.key] = record
    return found


def dynamodb_record(item: Mapping[str, Any]) -> Record:
    plain = {name: _plain(value) for name, value in item.items()}
    expires_at = plain.get("expires_at")
    lives = None if expires_at is None else float(expires_at) - epoch_seconds(plain["applied_at"])
    return _record(plain, _COMMON, "expires_at", lives, [])


def cosmos_record(item: Mapping[str, Any]) -> Record:
    plain = {name: value for name, value in item.items() if name not in _COSMOS_OWN}
    problems = [] if plain.get("id") == cosmos_id(plain["pk"]) else [f"id is {plain.get('id')!r}"]
    lives = plain.get("ttl")
    return _record(plain, _COMMON | {"id"}, "ttl", None if lives is None else float(lives), problems)


def _plain(value: Mapping[str, Any]) -> Any:
    """A DynamoDB attribute value without its type tag. Sets and binaries have no place in a record."""
    ((kind, inner),) = value.items()
    match kind:
        case "S" | "BOOL":
            return inner
        case "N":
            return Decimal(inner)
        case "NULL":
            return None
        case "M":
            return {name: _plain(member) for name, member in inner.items()}
        case "L":
            return [_plain(item) for item in inner]
    raise TypeError(f"a record has an attribute of type {kind}")


def _record(
    plain: Mapping[str, Any], common: set[str], expiry: str, lives: float | None, problems: list[str]
) -> Record:
    expected = common | ({expiry} if plain.get("deleted") is True else {"payload"})
    if missing := expected - plain.keys():
        problems.append(f"without {', '.join(sorted(missing))}")
    if surplus := plain.keys() - expected:
        problems.append(f"with {', '.join(sorted(surplus))}")
    for name in common & plain.keys():
        if not isinstance(plain[name], bool if name == "deleted" else str):
            problems.append(f"{name} is of the wrong type: {plain[name]!r}")
    if "payload" in plain and not isinstance(plain["payload"], dict):
        problems.append("payload is not an object")
    return Record(
        key=plain["pk"],
        version=plain.get("version", ""),
        event_id=plain.get("event_id", ""),
        source_region=plain.get("source_region", ""),
        timestamp=plain.get("timestamp", ""),
        op_type=plain.get("op_type", ""),
        deleted=plain.get("deleted") is True,
        payload=canonical(plain["payload"]) if "payload" in plain else None,
        lives_seconds=lives,
        applied_by=plain.get("applied_by", ""),
        applied_at=plain.get("applied_at", ""),
        problems=tuple(problems),
    )


def epoch_seconds(instant: str) -> float:
    return datetime.fromisoformat(instant.replace("Z", "+00:00")).timestamp()
