"""Seeded nonsense: what no host sends, and what a host might send one day."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

LARGE_BYTES = 10_000_000

_SCALARS = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'"x"',
    b"true",
    b"1e999",
    b"\xef\xbb\xbf{}",
    b"\x00",
    b"\xff\xfe",
    b"nul",
)
_VALUES: tuple[Any, ...] = (
    None,
    0,
    -1,
    2**63,
    1.5,
    True,
    "",
    " ",
    "null",
    "[]",
    "\u0000",
    "\ud800",
    "ü" * 1000,
    "9" * 400,
    [],
    [None],
    {},
    {"": None},
    {"a": {"b": {"c": []}}},
)


def spoil(payload: bytes, rng: random.Random) -> bytes:
    """Something between a payload that has one wrong member and bytes that are nothing at all."""
    return rng.choice(_WAYS)(payload, rng)


def _members(payload: bytes, rng: random.Random) -> bytes:
    """One to three members, anywhere, become another value, go, or come."""
    document = json.loads(payload)
    for _ in range(rng.randrange(1, 4)):
        holder = rng.choice(_holders(document))
        if isinstance(holder, list):
            place: Any = rng.randrange(len(holder))
        else:
            place = rng.choice(list(holder))
        match rng.randrange(4):
            case 0:
                del holder[place]
            case 1 if isinstance(holder, dict):
                holder[f"{place}2"] = holder.pop(place)
            case _:
                holder[place] = deepcopy(rng.choice(_VALUES))
        if not _holders(document):
            break
    return json.dumps(document).encode()


def _holders(value: Any) -> list[Any]:
    """Every object and array that has something in it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if inner else []) + [holder for one in inner for holder in _holders(one)]


def _flipped(payload: bytes, rng: random.Random) -> bytes:
    spoiled = bytearray(payload)
    for _ in range(rng.randrange(1, 8)):
        spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
    return bytes(spoiled)


def _cut(payload: bytes, rng: random.Random) -> bytes:
    return payload[: rng.randrange(len(payload))]


def _doubled(payload: bytes, rng: random.Random) -> bytes:
    """A member twice, or the whole twice."""
    return rng.choice(
        (payload + payload, b'{"Records":null,"Data":null,' + payload[1:], payload[:-1] + b',"Records":[]}')
    )


def _noise(_: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        (rng.randbytes(rng.randrange(2000)), rng.choice(_SCALARS), json.dumps(rng.choice(_VALUES)).encode())
    )


def _deep(_: bytes, rng: random.Random) -> bytes:
    levels = rng.choice((100, 10_000, 200_000))
    return rng.choice((b"[" * levels, b'{"Records":' * levels, b'{"Records":[' + b"[" * levels + b"]" * levels + b"]}"))


def _text_of_text(payload: bytes, rng: random.Random) -> bytes:
    """The payload as JSON text in a JSON string, once more than right."""
    return json.dumps(payload.decode()).encode()


_WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_members,) * 6,
    _flipped,
    _flipped,
    _cut,
    _doubled,
    _noise,
    _deep,
    _text_of_text,
)
