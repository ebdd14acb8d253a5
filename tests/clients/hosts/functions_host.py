"""The Azure Functions host as a custom handler sees it: one process, awaited, posted to, restarted, killed."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from uuid import uuid4

from hosts.child import Child
from hosts.counts import Counts
from hosts.function_answer import Answer, Judged, judge
from hosts.function_package import Package
from hosts.killer import Killer

# All from the host's own code: docs/hosts.md, "Process".
LOOK_SECONDS = 0.025
INIT_SECONDS_MAX = 30.0
ERRORS_MAX = 3
ERRORS_WINDOW_SECONDS = 30 * 60
REDIRECTS_MAX = 50
HOST_VERSION = "4.1037.0.0"


@dataclass(frozen=True)
class Verdict:
    """What became of one invocation; only what completed is settled as done."""

    judged: Judged
    why: str = ""

    @property
    def completed(self) -> bool:
        return self.judged is Judged.COMPLETED


class FunctionsHost:
    """One host with its one worker process."""

    def __init__(
        self,
        package: Package,
        settings: Mapping[str, str],
        counts: Counts,
        timeout_seconds: float | None = None,
        killer: Killer | None = None,
    ) -> None:
        self._killer = killer
        self._package = package
        self._settings = settings
        self._counts = counts
        self._timeout_seconds = timeout_seconds or package.timeout_seconds
        self._changed = threading.Condition()
        self._child: Child | None = None
        self._is_ready = False
        self._is_closing = False
        self._errors: list[float] = []
        self.has_stopped = False
        """After too many exits with an error the host itself gives up."""
        self.port = _free_port()

    @property
    def pid(self) -> int | None:
        """The worker that would get the next invocation."""
        child = self._child
        return child.pid if child and child.is_alive else None

    @property
    def lines(self) -> list[str]:
        """The last lines of the worker that was started last."""
        child = self._child
        return list(child.lines) if child else []

    def start(self) -> float:
        """Starts the worker and waits until it answers; the reading of the monotonic clock at its start."""
        with self._changed:
            child = self._spawn()
        self._await_ready(child)
        return child.started

    def invoke(self, function: str, payload: bytes) -> Verdict:
        """Posts one invocation, and judges the answer."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_ready or self.has_stopped or self._is_closing, INIT_SECONDS_MAX)
            child = self._child if self._is_ready else None
        self._counts.add("invocations")
        if child is None:
            return self._ended(Verdict(Judged.FAILED, "there is no worker"))
        if self._killer:
            self._killer.invocation_begins(child.pid)
        begin = time.monotonic()
        try:
            answer = self._post(f"/{function}", payload)
        except TimeoutError:
            self._kill(child)
            return self._ended(Verdict(Judged.FAILED, "the function's timeout"))
        except (OSError, http.client.HTTPException) as error:
            return self._ended(Verdict(Judged.FAILED, f"{type(error).__name__}: {error}"))
        judged = judge(answer)
        if judged is Judged.HANGS:
            with self._changed:
                left = self._timeout_seconds - (time.monotonic() - begin)
                self._changed.wait_for(lambda: self._child is not child or self._is_closing, max(left, 0))
            self._kill(child)
        if judged is Judged.COMPLETED:
            self._counts.answered(child.started)
        return self._ended(Verdict(judged, f"{answer.status} {answer.body[:500]!r}"))

    def get(self, path: str) -> Answer:
        """What the worker answers to a GET; the host asks for `/` to see whether it lives."""
        return self._request("GET", path, b"")

    def close(self) -> None:
        """The end of the host is SIGKILL for its worker."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            child = self._child
        if child:
            child.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _spawn(self) -> Child:
        command = [str(self._package.executable), *self._package.arguments]
        env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": os.environ.get("HOME", "/"),
            **self._settings,
            "FUNCTIONS_CUSTOMHANDLER_PORT": str(self.port),
            "FUNCTIONS_HTTPWORKER_PORT": str(self.port),
            "FUNCTIONS_CUSTOMHANDLER_WORKER_ID": str(uuid4()),
            "FUNCTIONS_APP_ROOT_PATH": str(self._package.folder),
        }
        self._is_ready = False
        self._counts.add("starts")
        box: list[Child] = []
        # The condition's lock is held until `box` is filled, so that even an exit at once finds its child in there.
        child = Child(command, env, self._package.folder, lambda code: self._exited(box[0], code))
        box.append(child)
        self._child = child
        return child

    def _await_ready(self, child: Child) -> None:
        """Any answer at all, whatever its status, means that the worker is there."""
        end = child.started + INIT_SECONDS_MAX
        while child.is_alive and not self._is_closing and time.monotonic() < end:
            try:
                self.get("/")
            except (OSError, http.client.HTTPException):
                time.sleep(LOOK_SECONDS)
                continue
            with self._changed:
                self._is_ready = self._child is child
                self._changed.notify_all()
            return
        if child.is_alive and not self._is_closing:
            self._kill(child)

    def _exited(self, child: Child, code: int) -> None:
        """Restarts the worker after an error; leaves it dead after an exit with 0."""
        with self._changed:
            if self._is_closing or self._child is not child:
                return
            self._is_ready = False
            self._counts.add("exits")
            if code == 0:
                self._changed.notify_all()
                return
            now = time.monotonic()
            self._errors = [at for at in self._errors if now - at < ERRORS_WINDOW_SECONDS] + [now]
            if len(self._errors) >= ERRORS_MAX:
                self.has_stopped = True
                self._changed.notify_all()
                return
            self._counts.add("restarts")
            fresh = self._spawn()
        self._await_ready(fresh)

    def _kill(self, child: Child) -> None:
        """Replaces a worker that did not answer in time; all else that it worked on fails with it."""
        with self._changed:
            if self._child is not child or self._is_closing:
                return
            self._counts.add("kills")
            self._counts.add("restarts")
            fresh = self._spawn_after(child)
            self._changed.notify_all()
        self._await_ready(fresh)

    def _spawn_after(self, child: Child) -> Child:
        # No longer the current one before it is killed, so that its exit is not taken for an error of its own.
        self._child = None
        child.kill()
        return self._spawn()

    def _ended(self, verdict: Verdict) -> Verdict:
        if not verdict.completed:
            self._counts.add("failures")
        if verdict.judged is Judged.HANGS:
            self._counts.add("hangs")
        return verdict

    def _post(self, path: str, payload: bytes) -> Answer:
        return self._request("POST", path, payload)

    def _request(self, method: str, path: str, payload: bytes) -> Answer:
        """Sends, and follows redirects as .NET's HttpClient does: with a GET after 301, 302 and 303."""
        end = time.monotonic() + self._timeout_seconds
        for _ in range(REDIRECTS_MAX):
            # A connection for each request: what a restart leaves behind is no business of the next.
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=max(end - time.monotonic(), 0.001))
            try:
                connection.request(method, path, payload if method == "POST" else None, self._headers(method))
                response = connection.getresponse()
                answer = Answer(response.status, response.headers.get("Content-Type", ""), response.read())
                location = response.headers.get("Location")
            finally:
                connection.close()
            if answer.status not in (301, 302, 303, 307, 308) or not location:
                return answer
            path = urlsplit(location).path or "/"
            if answer.status in (301, 302, 303):
                method = "GET"
        return answer

    @staticmethod
    def _headers(method: str) -> dict[str, str]:
        common = {"User-Agent": f"Azure-Functions-Host/{HOST_VERSION}", "Connection": "close"}
        if method != "POST":
            return common
        return common | {
            "Content-Type": "application/json; charset=utf-8",
            "X-Azure-Functions-HostVersion": HOST_VERSION,
            "X-Azure-Functions-InvocationId": str(uuid4()),
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
