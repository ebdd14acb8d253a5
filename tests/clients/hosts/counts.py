"""What a host did, counted by any of its threads."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter


class Counts:
    """Named counts, and the time from a process's start to its first answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._first_answer_ms: float | None = None

    def add(self, name: str, number: int = 1) -> None:
        with self._lock:
            self._counts[name] += number

    def answered(self, process_started: float) -> None:
        """Notes an answer of a process that started at this reading of the monotonic clock; the first one counts."""
        took_ms = (time.monotonic() - process_started) * 1000
        with self._lock:
            if self._first_answer_ms is None:
                self._first_answer_ms = round(took_ms, 1)

    def __getitem__(self, name: str) -> int:
        with self._lock:
            return self._counts[name]

    def line(self) -> str:
        """One line of JSON."""
        with self._lock:
            return json.dumps({**dict(sorted(self._counts.items())), "first_answer_ms": self._first_answer_ms})
