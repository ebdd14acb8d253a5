"""What goes wrong in localcloud, over its admin endpoint."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Faults:
    """The faults of one localcloud."""

    def __init__(self, admin: str) -> None:
        self._address = f"{admin}/faults"

    @contextmanager
    def during(self, *faults: str) -> Iterator[None]:
        """These faults, in the notation of `bridge local --fault`, for as long as the block lasts."""
        self.start(*faults)
        try:
            yield
        finally:
            self.clear()

    def start(self, *faults: str) -> None:
        self._ask("POST", "\n".join(faults).encode())

    def clear(self) -> None:
        self._ask("DELETE")

    def are_used_up(self) -> bool:
        """Whether every fault with a count has hit so often."""
        return not self._ask("GET")["faults"]

    def _ask(self, method: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self._address, data=body, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())
