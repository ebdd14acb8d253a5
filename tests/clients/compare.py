"""Holds what the stores have against what they must have; every difference is a line for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from contract import Event
from stored import Record

EXPIRY_TOLERANCE_SECONDS = 5.0
"""An expiry is in whole seconds, and may be counted from a moment before or after applied_at."""


def differences(
    site: str, expected: Mapping[str, Event], actual: Mapping[str, Record], tombstone_seconds: float
) -> list[str]:
    """What is wrong at one site: keys that are missing, surplus or different."""
    lines = [f"{site}: {key!r} is missing: {_words(expected[key])}" for key in expected.keys() - actual.keys()]
    lines += [f"{site}: {key!r} should not be there: {actual[key]}" for key in actual.keys() - expected.keys()]
    for key in expected.keys() & actual.keys():
        wrong = _record_differences(site, expected[key], actual[key], tombstone_seconds)
        lines += [f"{site}: {key!r}: {what}" for what in wrong]
    return sorted(lines)


def order_differences(expected: Mapping[str, Event], *stores: Mapping[str, Record]) -> list[str]:
    """Versions must be the same text in all stores, and greater for greater."""
    first, *others = stores
    shared = expected.keys() & first.keys()
    lines = [
        f"{key!r}: versions differ: {first[key].version!r} and {other[key].version!r}"
        for other in others
        for key in sorted(shared & other.keys())
        if first[key].version != other[key].version
    ]
    ascending = sorted(shared, key=lambda key: expected[key].version)
    for lower, greater in pairwise(ascending):
        if not first[lower].version.encode() < first[greater].version.encode():
            lines.append(f"the version of {lower!r} should be less than that of {greater!r}")
    return lines


def _record_differences(site: str, event: Event, record: Record, tombstone_seconds: float) -> Iterator[str]:
    yield from record.problems
    yield from _unequal(
        [
            ("version", event.version_text, record.version),
            ("event_id", event.event_id, record.event_id),
            ("source_region", event.source_region, record.source_region),
            ("timestamp", event.timestamp, record.timestamp),
            ("op_type", event.op_type, record.op_type),
            ("deleted", event.deleted, record.deleted),
            ("payload", None if event.deleted else event.payload, record.payload),
            ("applied_by", site, record.applied_by),
        ]
    )
    lives = record.lives_seconds
    if event.deleted and lives is not None and abs(lives - tombstone_seconds) > EXPIRY_TOLERANCE_SECONDS:
        yield f"expires {lives:.0f} s after its writing, should be {tombstone_seconds:.0f} s"


def _unequal(fields: Iterable[tuple[str, object, object]]) -> Iterator[str]:
    for name, want, have in fields:
        if want != have:
            yield f"{name} is {have!r}, should be {want!r}"


def _words(event: Event) -> str:
    return f"{event.op_type} of {event.source_region} at {event.timestamp}, {event.event_id}"
