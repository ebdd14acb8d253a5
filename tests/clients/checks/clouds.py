"""Clouds of one's own, for scripts that need more than one."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS_MAX = 30


@contextmanager
def local_clouds(bridge: Path, service_bus_address: str) -> Iterator[Mapping[str, Any]]:
    """Both clouds without workers, from the built binary; what their ready file says."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ready.json"
        words = ["--quiet", "--without-workers", "--ready-file", file, "--service-bus-address", service_bus_address]
        program = subprocess.Popen([bridge, "local", *words])
        try:
            end = time.monotonic() + START_SECONDS_MAX
            while not file.exists():
                if program.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{bridge} local did not start")
                time.sleep(0.02)
            yield json.loads(file.read_text())
        finally:
            program.terminate()
            program.wait(timeout=30)
