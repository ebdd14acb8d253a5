"""The examples of schema/examples as bytes to send."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path

from site_port import Message

FOLDER = Path(__file__).resolve().parents[2] / "schema" / "examples"
_NOW = re.compile(rb"@NOW(?:([+-]\d+)s)?@")
_PAD = b"@PAD@"


@dataclass(frozen=True)
class Example:
    """One entry of the index."""

    file: str
    good: bool
    reason: str | None
    path: str | None
    why: str
    origin: str
    only: str | None = None
    pad_to_bytes: int | None = None
    schema: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    owed: str | None = None

    def message(self, site: str, peer: str, now: datetime | None = None) -> Message:
        """The message to send to `site`; `peer` is another one."""

        now = now or datetime.now(UTC)

        def named(text: str) -> str:
            return text.replace("@SITE@", site).replace("@PEER@", peer).replace("@NOW@", _instant(now))

        properties = {name: named(value) for name, value in self.properties.items()}
        return Message(self.body(site, peer, now), properties)

    def body(self, site: str, peer: str, now: datetime | None = None) -> bytes:
        """Its bytes alone."""
        now = now or datetime.now(UTC)

        def instant(match: re.Match[bytes]) -> bytes:
            return _instant(now + timedelta(seconds=int(match[1] or 0))).encode()

        body = (FOLDER / self.file).read_bytes()
        body = body.replace(b"@SITE@", site.encode()).replace(b"@PEER@", peer.encode())
        body = _NOW.sub(instant, body)
        if self.pad_to_bytes is not None:
            body = body.replace(_PAD, b"x" * (self.pad_to_bytes - len(body) + len(_PAD)))
        return body

    def goes_to(self, cloud: str) -> bool:
        """Whether a queue of that cloud can carry it."""
        return self.only in (None, cloud)


def _instant(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def load(good: bool, pattern: str = "*") -> list[Example]:
    """The good or the bad examples whose file matches `pattern`."""
    entries = (Example(**entry) for entry in json.loads((FOLDER / "index.json").read_text()))
    return [entry for entry in entries if entry.good == good and fnmatch(entry.file, f"*{pattern}*")]
