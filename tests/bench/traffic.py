"""The events of a benchmark: orders with a customer and lines, most in time, some late, tied, repeated or deletes."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

NANOSECONDS = 10**9
LATE_SHARE = 0.1
REPEATED_SHARE = 0.05
"""Deliveries of an event that was sent before; only in traffic that tests."""
STEP_NANOSECONDS = 1_000_000
LATE_STEPS_MAX = 3_000
BEHIND_SECONDS = 600
"""The events are older than this, so none is ahead of any clock."""


@dataclass(frozen=True)
class Traffic:
    """What to send to one site."""

    site: str
    run: str
    """Begins every key, so that runs share a store without meeting."""
    events: int
    keys: int
    bytes: int
    seed: int
    ties: float = 0.05
    """The share that has the timestamp of the event before it of its key."""
    deletes: float = 0.05

    def bodies(self) -> list[bytes]:
        """In the order to send them."""
        rng = random.Random(self.seed)
        start = (int(datetime.now(UTC).timestamp()) - BEHIND_SECONDS) * NANOSECONDS
        last: dict[str, int] = {}
        made = []
        for number in range(self.events):
            key = f"{self.run}-{rng.randrange(self.keys)}"
            at = start + number * STEP_NANOSECONDS + rng.randrange(STEP_NANOSECONDS)
            chance = rng.random()
            if chance < self.ties:
                at = last.get(key, at)
            elif chance < self.ties + LATE_SHARE:
                at -= rng.randrange(LATE_STEPS_MAX) * STEP_NANOSECONDS
            last[key] = at
            op = "delete" if rng.random() < self.deletes else rng.choice(("create", "update", "upsert"))
            made.append(event(rng, self.site, key, op, timestamp(at), self.bytes))
        return made

    def bodies_and_repeats(self) -> list[bytes]:
        """The same, shuffled, with repeats: for a test of the end state."""
        rng = random.Random(self.seed)
        made = self.bodies()
        made += rng.sample(made, int(len(made) * REPEATED_SHARE))
        rng.shuffle(made)
        return made


def event(rng: random.Random, site: str, key: str, op: str, at: str, size: int) -> bytes:
    lines = [
        {"sku": f"{rng.randrange(10**8):08}", "quantity": rng.randrange(1, 9), "price": rng.randrange(100_000) / 100}
        for _ in range(3)
    ]
    payload = {
        "id": key,
        "customer": {"name": "Größe & Söhne", "vip": rng.random() < 0.1, "referred_by": None},
        "currency": "EUR",
        "lines": lines,
        "note": "",
    }
    members = {
        "event_id": str(UUID(int=rng.getrandbits(128), version=4)),
        "source_region": site,
        "op_type": op,
        "payload": payload,
        "timestamp": at,
    }
    missing = size - len(json.dumps(members, ensure_ascii=False).encode())
    payload["note"] = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz ", k=max(0, missing)))
    return json.dumps(members, ensure_ascii=False).encode()


def timestamp(nanoseconds: int) -> str:
    seconds, fraction = divmod(nanoseconds, NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"
