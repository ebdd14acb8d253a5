"""Kills functions in the middle of their work, as crashes and operators do."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

LEFT_SECONDS = 0.004
"""Long enough for a first write or send, and shorter than a batch takes."""


class Killer:
    """Kills the process in the middle of some invocations, counted from 1 over all environments."""

    def __init__(self, invocations: str) -> None:
        """`invocations` are their numbers, with commas between."""
        self._doomed = {int(number) for number in invocations.split(",") if number}
        self._begun = 0
        self._lock = threading.Lock()

    def invocation_begins(self, pid: int | None) -> None:
        """Tells of an invocation that begins now in the process `pid`; it may have a few milliseconds left."""
        with self._lock:
            self._begun += 1
            doomed = self._begun in self._doomed
        if doomed and pid is not None:
            threading.Timer(LEFT_SECONDS, self._kill, (pid,)).start()

    @staticmethod
    def _kill(pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
