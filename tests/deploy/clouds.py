"""localcloud without workers, and what happens there."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from terraform import ROOT

PROGRAM = os.environ.get("BRIDGE_PROGRAM", str(ROOT / "target/debug/bridge"))
ADDRESS = f"127.0.0.{100 + os.getpid() % 100}"  # Its port of AMQP is always the same.
SECONDS_MAX = 180
AWS, AZURE = "aws:us-east-1", "azure:westeurope"


class Clouds:
    """localcloud without workers."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        ready = Path(self._folder.name) / "ready.json"
        command = [PROGRAM, "local", "--quiet", "--without-workers", "--ready-file", ready, "--service-bus-address", ADDRESS]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait(ready.exists)
        told = json.loads(ready.read_text())
        self.config, self._admin = told["config"], told["admin"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def admin(self, method: str, path: str, body: str = "") -> dict:
        request = urllib.request.Request(self._admin + path, method=method, data=body.encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")

    def bridge(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [PROGRAM, *words, "--config", self.config]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS_MAX)

    def publish(self, site: str, keys: range) -> None:
        now = datetime.now(UTC).isoformat()
        events = [
            {"event_id": str(uuid.uuid4()), "source_region": site, "op_type": "upsert", "payload": {"id": f"order-{key}"}, "timestamp": now}
            for key in keys
        ]
        done = self.bridge("publish", "-", text="\n".join(map(json.dumps, events)))
        assert done.returncode == 0, done.stderr

    def worker(self, site: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([PROGRAM, "run", "--config", self.config, "--site", site], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def letters(self, site: str) -> int:
        """Dead letters of a site."""
        told = json.loads(self.bridge("lag", "--json").stdout)["sites"]
        return next(one for one in told if one["site"] == site)["dead_letters"]["messages"]

    def waiting(self, service: str) -> int:
        """Messages in all queues of a site."""
        return next(entry["messages"] for name, entry in self.admin("GET", "/usage").items() if name.startswith(f"{service}@"))


def wait(condition: Callable[[], bool], what: str = "localcloud") -> None:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() < start + SECONDS_MAX, f"{what} took over {SECONDS_MAX} s"
        time.sleep(0.2)
