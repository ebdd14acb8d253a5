"""The process of a function: started with nothing but what its host gives it, heard, and ended without goodbye."""

from __future__ import annotations

import os
import resource
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
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        on_exit: Callable[[int], None],
        memory_bytes_max: int | None = None,
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
        if memory_bytes_max:
            # Of what it may write to, stacks too. The kernel refuses more, which ends the process.
            resource.prlimit(self.pid, resource.RLIMIT_DATA, (memory_bytes_max, memory_bytes_max))
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

    @property
    def peak_memory_mb(self) -> float:
        """The most memory that it has held so far, its program's own pages too; 0 once it is gone."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0.0
        return max((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), default=0.0)

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
