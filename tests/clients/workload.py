"""Seeded traffic that is as nasty as the contract allows: ties, late writes, repeats, odd keys and odd payloads."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from contract import NANOSECONDS, read_event

REPEATED_SHARE = 0.2
ANEW_SHARE = 0.05
LATE_KEYS_SHARE = 0.25
DELETE_SHARE = 0.25

# Nanoseconds from a key's base instant. Few, so that most events of a key tie with others, from the other origin too;
# and such that a comparison of the texts gives another order than one of the instants.
_INSTANTS = (0, 1, 500_000_000, 500_000_001, 120_000_000, 123_456_789, 999_999_999, -1, 1_000_000_000, 10_000_000_000)
_OFFSET_MINUTES = (None, None, None, 0, 60, -480, 330, 765, -570)
_KEY_FORMS = (
    "{}",
    "a/b/{}",
    "back\\slash-{}",
    "query?{}=1",
    "fragment#{}",
    "100%-{}%2F",
    "tilde~{}~2F",
    "plus+{} blank",
    "blank at the end {} ",
    "/{}/",
    "größe-{}",
    "日本語-{}-🐌",
    "caf\u00e9-{}",
    "cafe\u0301-{}",
    "\u00a0no-break-{}\u00a0",
    "quote\"'`{}",
    "tab\t{}\u007f",
    "CASE-{}",
    "case-{}",
    "",  # an integer, sometimes sent as the string of its digits: the same entity
)
_RESERVED = {
    "ttl": 1,
    "pk": "another",
    "_etag": '"0"',
    "_ts": 0,
    "version": "9999",
    "deleted": True,
    "expires_at": 1,
    "payload": {"id": None},
    "op_type": "delete",
}
_NUMBERS = (
    0,
    -1,
    1.5,
    0.1,
    -0.0,
    1e21,
    1e-7,
    9007199254740991,
    -9007199254740991,
    123456789012345680,
    1e-130,
    9.99e125,
)
_TEXTS = ("", " ", "Größe", "日本語", "🐌", "\u0000\u001f", "\u2028", 'a"b\\c', "e\u0301", "null", "9007199254740993")


@dataclass(frozen=True)
class Sent:
    """One message to send."""

    site: str
    body: bytes


def generate(sites: Sequence[str], events: int, keys: int, seed: int, now: datetime) -> list[Sent]:
    """The messages of one run, in the order to send them; more than `events`, as some are sent again."""
    rng = random.Random(seed)
    made = [_event(rng, sites, number % keys, seed, now) for number in range(events)]
    rng.shuffle(made)
    repeated = rng.sample(made, int(events * REPEATED_SHARE))
    anew = [_anew(rng, sent) for sent in rng.sample(made, int(events * ANEW_SHARE))]
    messages = made + repeated + anew
    rng.shuffle(messages)
    return messages + list(_late(rng, made))


def _anew(rng: random.Random, sent: Sent) -> Sent:
    """The same event as a producer sends it that renders its row at each try: another content under one id and time."""
    event = json.loads(sent.body)
    event["op_type"] = rng.choice(("create", "update", "upsert", "delete"))
    if rng.random() < 0.7:
        event["payload"]["rendered"] = rng.randrange(1000)
    return Sent(sent.site, json.dumps(event).encode())


def _late(rng: random.Random, made: Sequence[Sent]) -> Iterator[Sent]:
    """For some keys their oldest update again, after everything else: it must not bring a deleted entity back."""
    oldest: dict[str, Sent] = {}
    for sent in sorted(made, key=lambda sent: read_event(sent.body).version, reverse=True):
        event = read_event(sent.body)
        if not event.deleted:
            oldest[event.key] = sent
    yield from rng.sample(list(oldest.values()), int(len(oldest) * LATE_KEYS_SHARE))


def _event(rng: random.Random, sites: Sequence[str], key_number: int, seed: int, now: datetime) -> Sent:
    site = rng.choice(sites)
    op = "delete" if rng.random() < DELETE_SHARE else rng.choice(("create", "update", "upsert"))
    event: dict[str, Any] = {
        "event_id": _event_id(rng),
        "source_region": site,
        "op_type": op,
        "payload": _payload(rng) if op != "delete" or rng.random() < 0.5 else {},
        "timestamp": _timestamp(rng, key_number, now),
    }
    _put_key(rng, event, key_number, seed)
    if rng.random() < 0.1:
        event["schema_version"] = 1
    if rng.random() < 0.1:
        event["unknown"] = {"kept": [1, None, "x"]}
    shuffled = dict(rng.sample(list(event.items()), len(event)))
    return Sent(site, json.dumps(shuffled, ensure_ascii=rng.random() < 0.5).encode("utf-8"))


def _put_key(rng: random.Random, event: dict[str, Any], key_number: int, seed: int) -> None:
    form = _KEY_FORMS[key_number % len(_KEY_FORMS)]
    key: str | int = form.format(f"{seed}-{key_number}") if form else seed * 1_000_000 + key_number
    if not form and rng.random() < 0.5:
        key = str(key)
    if rng.random() < 0.1:
        event["key"] = key
        event["payload"]["id"] = "not this one"
    else:
        event["payload"]["id"] = key


def _event_id(rng: random.Random) -> str:
    text = str(UUID(int=rng.getrandbits(128), version=4))
    return text.upper() if rng.random() < 0.1 else text


def _timestamp(rng: random.Random, key_number: int, now: datetime) -> str:
    base = int(now.timestamp()) - 3600 + key_number % 600
    seconds, fraction = divmod(base * NANOSECONDS + rng.choice(_INSTANTS), NANOSECONDS)
    offset = rng.choice(_OFFSET_MINUTES)
    local = datetime.fromtimestamp(seconds, UTC) + timedelta(minutes=offset or 0)
    text = local.strftime("%Y-%m-%dT%H:%M:%S") + _fraction(rng, fraction)
    if offset is None:
        text += "Z"
    else:
        hours, minutes = divmod(abs(offset), 60)
        text += f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"
    return text.lower() if rng.random() < 0.1 else text


def _fraction(rng: random.Random, nanoseconds: int) -> str:
    digits = f"{nanoseconds:09}".rstrip("0")
    digits = digits.ljust(rng.choice((len(digits), 3, 6, 9)), "0")
    return f".{digits}" if digits else ""


def _payload(rng: random.Random) -> dict[str, Any]:
    payload: dict[str, Any] = {f"member {number}": _value(rng, 3) for number in range(rng.randrange(4))}
    if rng.random() < 0.3:
        payload.update(rng.sample(list(_RESERVED.items()), rng.randrange(1, len(_RESERVED) + 1)))
    return payload


def _value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(8 if depth else 6)
    if kind == 6:
        return [_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {f"{rng.choice(_TEXTS)}.{number}": _value(rng, depth - 1) for number in range(rng.randrange(4))}
    if kind in (0, 1):
        return rng.choice(_NUMBERS)
    if kind in (2, 3):
        return rng.choice(_TEXTS)
    return rng.choice((None, True, False)) if kind == 4 else rng.randrange(-(2**53) + 1, 2**53)
