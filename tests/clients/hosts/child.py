"""The process of a function: started with nothing but what its host gives it, heard, and ended without goodbye."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

LINES_KEPT = 200
END_SECONDS_MAX = 5.0
"""A killed process is gone at once; this only bounds the wait for the kernel."""


class Child:
    """One process. `on_exit` is called once, from another thread, with its exit code."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], folder: Path, on_exit: Callable[[int], None]
    ) -> None:
        self.started = time.monotonic()
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        """The last lines that it logged."""
        self._process = subprocess.Popen(
            command,
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._threads = [
            threading.Thread(target=self._hear, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._watch, args=(on_exit,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def freeze(self) -> None:
        """Stops it where it is, as a host does that bills by the millisecond."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it, in mid-instruction."""
        self._signal(signal.SIGKILL)
        self._process.wait(END_SECONDS_MAX)

    def _signal(self, which: signal.Signals) -> None:
        if self.is_alive:
            self._process.send_signal(which)

    def _hear(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                if "BRIDGE_SHOW_LOGS" in os.environ:
                    print(line, end="", file=sys.stderr, flush=True)

    def _watch(self, on_exit: Callable[[int], None]) -> None:
        on_exit(self._process.wait())
