"""The bridges that are compared, each as a whole process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ANCHORS = Path(__file__).parent / "anchors"
STOP_SECONDS_MAX = 30


@dataclass(frozen=True)
class Contender:
    name: str
    command: tuple[str, ...]
    """With READY for the ready file, CONFIG for the bridge's configuration, SITE for its site, SIDE for `aws` or `azure`."""
    stores: bool = True
    """Whether it writes to the store, or forwards only."""

    def start(self, side: str, site: str, ready_file: Path, config: Path, log: Path) -> Process:
        words = {"READY": str(ready_file), "CONFIG": str(config), "SITE": site, "SIDE": side}
        command = [re.sub("READY|CONFIG|SITE|SIDE", lambda match: words[match[0]], word) for word in self.command]
        return Process(self.name, command, log)


def of(bridge: Path, python: Path, node_modules: Path, others: Path | None) -> list[Contender]:
    """The bridge, the two that people write by hand, and what does a part of the job."""
    node = node_modules.parent
    for file in (ANCHORS / "node").glob("*.mjs"):
        # Node looks for packages beside the script.
        (node / file.name).write_bytes(file.read_bytes())
    forward = str(ANCHORS / "others" / "forward.py")
    partial = ("connect", "mq-bridge") if others else ()
    return [
        *(Contender(f"{name}-forward", (str(others), forward, name, "SIDE", "READY"), stores=False) for name in partial),
        Contender("python", (str(python), str(ANCHORS / "python" / "SIDE_side.py"), "READY")),
        Contender("node", ("node", str(node / "SIDE_side.mjs"), "READY")),
        Contender("bridge", (str(bridge), "run", "--config", "CONFIG", "--site", "SITE")),
    ]


def config_of(ready: dict[str, str], file: Path) -> Path:
    """The bridge's configuration as a user has it: the sites, and no setting that `bridge local` changed for its dashboard."""
    text = Path(ready["config"]).read_text()
    file.write_text(re.sub(r"(?ms)^\[worker\]\n.*?(?=^\[)", "", text))
    return file


@dataclass(frozen=True)
class Taken:
    """What a process took from the machine, from its start to its end."""

    cpu_seconds: float
    memory_mb: float


class Process:
    """A contender that runs."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name, self.log = name, log
        self.started = time.monotonic()
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)

    def check(self) -> None:
        """Fails if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self._process.returncode}: {self.said()}")

    def cpu_seconds(self) -> float:
        """So far."""
        words = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-2_000:]

    def stop(self) -> Taken:
        """Ends it as an orchestrator does, and tells what it took."""
        self.check()
        memory = self._memory_mb()
        self._process.send_signal(signal.SIGTERM)
        late = time.monotonic() + STOP_SECONDS_MAX
        while True:
            ended, status, used = os.wait4(self._process.pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > late:
                self._process.kill()
            time.sleep(0.005)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return Taken(used.ru_utime + used.ru_stime, memory)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _memory_mb(self) -> float:
        """The most that was resident at one time."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
