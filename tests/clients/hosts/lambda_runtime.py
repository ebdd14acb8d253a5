"""AWS Lambda as a function sees it: the Runtime API, and environments that freeze, time out and restart."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from hosts.child import Child
from hosts.counts import Counts
from hosts.killer import Killer

API = "/2018-06-01/runtime"
INIT_SECONDS_MAX = 10.0
"""How long a process may take until it first asks for work ("Lambda execution environment lifecycle", read 2026-11)."""
ANSWER_BYTES_MAX = 6 * 1024 * 1024
"""The most that a synchronous invocation returns ("Lambda quotas", read 2026-11)."""


@dataclass(frozen=True)
class Function:
    """What a function is configured with."""

    folder: Path
    """The unpacked zip, with `bootstrap` in it."""
    variables: Mapping[str, str]
    timeout_seconds: float
    region: str = "us-east-1"
    name: str = "bridge"
    memory_mb: int = 256
    init_seconds_max: float = INIT_SECONDS_MAX

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:000000000000:function:{self.name}"


class Ended(Enum):
    """How an invocation ended."""

    ANSWER = "answer"
    ERROR = "error"
    INIT = "init"
    """The process said why it does not start, which the service shows to whoever invoked."""
    TIMEOUT = "timeout"
    EXIT = "exit"


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended, and with what words."""

    how: Ended
    body: bytes = b""


@dataclass
class _Invocation:
    payload: bytes
    request_id: str = field(default_factory=lambda: str(uuid4()))


class Environment:
    """One execution environment: at most one process, which gets one invocation at a time."""

    def __init__(self, function: Function, counts: Counts, killer: Killer | None = None) -> None:
        self.function = function
        self._counts = counts
        self._killer = killer
        self._sandbox: Sandbox | None = None
        self.memory_bytes_max: int | None = None
        """Of processes that start from now on."""
        self.lines: list[str] = []
        """The last lines of the process that ended last."""

    @property
    def pid(self) -> int | None:
        """The process that would get the next invocation."""
        return self._sandbox.child.pid if self._sandbox and self._sandbox.child.is_alive else None

    @property
    def peak_memory_mb(self) -> float:
        """Of the process that would get the next invocation."""
        return self._sandbox.child.peak_memory_mb if self._sandbox else 0.0

    def invoke(self, payload: bytes) -> Outcome:
        """Hands over an event; starts a process for it if there is none."""
        if self.pid is None:
            self.close()
            self._sandbox = Sandbox(self.function, self.memory_bytes_max)
            self._counts.add("starts")
        assert self._sandbox is not None
        if self._killer:
            self._killer.invocation_begins(self.pid)
        outcome = self._sandbox.invoke(payload)
        self._counts.add("invocations")
        if outcome.how is Ended.ANSWER:
            self._counts.answered(self._sandbox.child.started)
        else:
            self._counts.add("failures")
            self._counts.add(outcome.how.value)
        if outcome.how in (Ended.INIT, Ended.TIMEOUT, Ended.EXIT):
            self._counts.add("restarts")
            self.close()
        return outcome

    def close(self) -> None:
        """Ends the process. Without an extension there is no signal before SIGKILL (the same page)."""
        if self._sandbox:
            self._sandbox.close()
            self.lines = list(self._sandbox.child.lines)
            self._sandbox = None


class Sandbox:
    """One process, and the Runtime API that it alone talks to."""

    def __init__(self, function: Function, memory_bytes_max: int | None = None) -> None:
        self._function = function
        self._changed = threading.Condition()
        self._has_asked = False
        self._is_over = False
        self._waiting: _Invocation | None = None
        self._current: _Invocation | None = None
        self._outcome: Outcome | None = None
        self._init_error: bytes | None = None
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        # Under the lock, as the process may ask for work before it is known here.
        with self._changed:
            command = [str(function.folder / "bootstrap")]
            self.child = Child(command, self._variables(), function.folder, self._exited, memory_bytes_max)

    def invoke(self, payload: bytes) -> Outcome:
        """Runs one invocation to its end, whatever that is."""
        with self._changed:
            self._outcome = None
            self._waiting = _Invocation(payload)
            self.child.thaw()
            self._changed.notify_all()
            # The time to start is not the function's.
            self._changed.wait_for(lambda: self._has_asked or self._is_over, self._function.init_seconds_max)
            timeout_seconds = self._function.timeout_seconds if self._has_asked else 0.0
            ended = self._changed.wait_for(lambda: self._outcome or self._is_over, timeout_seconds)
            outcome = self._outcome
            init_error = self._init_error
            self._waiting = self._current = None
        if outcome:
            return outcome
        if init_error is not None:
            self.child.kill()
            return Outcome(Ended.INIT, init_error)
        if ended:
            return Outcome(Ended.EXIT, "\n".join(self.child.lines).encode())
        self.child.kill()
        return Outcome(Ended.TIMEOUT)

    def close(self) -> None:
        self.child.kill()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def next(self) -> _Invocation | None:
        """The next invocation for the process, which is frozen until there is one. None when all is over."""
        with self._changed:
            self._has_asked = True
            self._changed.notify_all()
            if self._waiting is None and not self._is_over:
                self.child.freeze()
            self._changed.wait_for(lambda: self._waiting is not None or self._is_over)
            self._current, self._waiting = self._waiting, None
            return self._current

    def end(self, request_id: str, outcome: Outcome) -> bool:
        """Takes the answer to the current invocation; false if the process answers something else."""
        with self._changed:
            if self._current is None or self._current.request_id != request_id or self._outcome:
                return False
            self._outcome = outcome
            self._changed.notify_all()
            return True

    def fail_to_start(self, body: bytes) -> bool:
        """Takes the reason why the process does not start; false once it has asked for work."""
        with self._changed:
            if self._has_asked:
                return False
            self._init_error = body
            return True

    def headers(self, invocation: _Invocation) -> dict[str, str]:
        deadline_ms = int((time.time() + self._function.timeout_seconds) * 1000)
        return {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self._function.arn,
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
        }

    def _exited(self, _code: int) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _variables(self) -> dict[str, str]:
        """Those of "Defined runtime environment variables" (AWS Lambda developer guide, read 2026-11)."""
        function = self._function
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_ACCESS_KEY_ID": "AKIAROLEOFFUNCTION",
            "AWS_SECRET_ACCESS_KEY": "of-the-role",
            "AWS_SESSION_TOKEN": "of-the-role",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[$LATEST]0123456789abcdef0123456789abcdef",
            "LAMBDA_TASK_ROOT": str(function.folder),
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "_HANDLER": "bootstrap",
            **function.variables,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A killed process resets its connection; anything else is a fault of the player."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(sandbox: Sandbox) -> type[BaseHTTPRequestHandler]:
    """The Runtime API of one sandbox."""

    class Api(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        # Head and body leave in one piece: without that each invocation waits 40 ms for a delayed acknowledgement.
        wbufsize = -1

        def do_GET(self) -> None:
            if self.path != f"{API}/invocation/next":
                self._answer(404, b'{"errorType":"NotFound"}')
                return
            invocation = sandbox.next()
            if invocation is None:
                self.close_connection = True
                return
            self._answer(200, invocation.payload, sandbox.headers(invocation))

        def do_POST(self) -> None:
            body = self._body()
            match self.path.removeprefix(API).strip("/").split("/"):
                case ["invocation", request_id, "response"] if len(body) > ANSWER_BYTES_MAX:
                    taken = sandbox.end(request_id, Outcome(Ended.ERROR, b"Function.ResponseSizeTooLarge"))
                    self._answer(413, b'{"errorType":"RequestEntityTooLarge"}')
                    return
                case ["invocation", request_id, "response"]:
                    taken = sandbox.end(request_id, Outcome(Ended.ANSWER, body))
                case ["invocation", request_id, "error"]:
                    taken = sandbox.end(request_id, Outcome(Ended.ERROR, body))
                case ["init", "error"]:
                    taken = sandbox.fail_to_start(body)
                case _:
                    self._answer(404, b'{"errorType":"NotFound"}')
                    return
            if taken:
                self._answer(202, b'{"status":"OK"}')
            else:
                self._answer(400, b'{"errorType":"InvalidRequestID"}')

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {"Content-Type": "application/json"}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Requests are counted, not logged."""

    return Api
