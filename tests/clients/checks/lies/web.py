"""Lies over HTTP."""

from __future__ import annotations

import http.client
import json
import re
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Exchange:
    """What goes to the service, or what comes back; `status` is that of the answer."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int = 0


Change = Callable[[Exchange], Exchange]


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A JSON value with every innermost value changed."""
    if isinstance(value, dict):
        return {name: _each(one, change) for name, one in value.items()}
    if isinstance(value, list):
        return [_each(one, change) for one in value]
    return change(value)


def _in_json(change: Callable[[Any], Any]) -> Change:
    def changed(one: Exchange) -> Exchange:
        try:
            return replace(one, body=json.dumps(change(json.loads(one.body))).encode())
        except ValueError:
            return one

    return changed


def _accept(answer: Exchange) -> Exchange:
    """Nothing is ever refused."""
    return replace(answer, status=200, body=b"{}") if answer.status >= 400 else answer


def _fail_otherwise(answer: Exchange) -> Exchange:
    """What is refused is refused for another reason."""
    if answer.status < 400:
        return answer
    headers = {
        name: "Other;Sender" if name == "x-amzn-query-error" else value for name, value in answer.headers.items()
    }
    body = json.dumps({"__type": "Other", "code": "Other", "message": "other"}).encode()
    return replace(answer, status=418, headers=headers, body=body)


def _count_on(value: Any) -> Any:
    if isinstance(value, str) and value.isdecimal():
        return str(int(value) + 1)
    return value + 1 if type(value) in (int, float) else value


def _miscount(answer: Exchange) -> Exchange:
    """Every number is one more, of those in headers too."""
    body = re.sub(rb">(\d+)<", lambda found: b">%d<" % (int(found[1]) + 1), answer.body)
    keep = {"content-length", "x-ms-substatus"}
    headers = {name: value if name in keep else _count_on(value) for name, value in answer.headers.items()}
    return _in_json(lambda value: _each(value, _count_on))(replace(answer, headers=headers, body=body))


def _garble(answer: Exchange) -> Exchange:
    """Every text of an answer ends in another letter, and so does what is no JSON."""
    if answer.status >= 400 or not answer.body:
        return answer
    changed = _in_json(lambda value: _each(value, lambda one: one[:-1] + "~" if isinstance(one, str) else one))(answer)
    return replace(answer, body=answer.body[:-1] + b"~") if changed is answer else changed


def _empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _empty(one) for name, one in value.items() if name not in ("Item", "Attributes", "Policy")}
    return [] if isinstance(value, list) else value


_OPTIONS = re.compile(
    r"^(VisibilityTimeout|WaitTimeSeconds|DelaySeconds|MaximumMessageSize|ReceiveMessageWaitTimeSeconds|RedrivePolicy"
    r"|RedriveAllowPolicy|MessageDeduplicationId|MaxResults|MaxNumberOfMessages.*|Limit|Segment|TotalSegments|Tags|tags"
    r"|ConditionExpression|ExpressionAttributeValues|ttl|expires_at|condition|defaultTtl|MessageAttributes"
    r"|MessageSystemAttributes|ReturnValuesOnConditionCheckFailure|AttributeNames|MessageSystemAttributeNames|MaxResults)$"
)
_XML_OPTIONS = re.compile(
    rb"<(LockDuration|MaxDeliveryCount|DefaultMessageTimeToLive|RequiresDuplicateDetection"
    rb"|DeadLetteringOnMessageExpiration)>[^<]*</\1>"
)
_HEADER_OPTIONS = {"if-match", "brokerproperties", "x-ms-documentdb-is-upsert", "x-ms-max-item-count"}


def _without_options(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_options(one) for name, one in value.items() if not _OPTIONS.match(name)}
    return [_without_options(one) for one in value] if isinstance(value, list) else value


def _ignore(request: Exchange) -> Exchange:
    """The service does not know of conditions, times, sizes and limits."""
    headers = {name: value for name, value in request.headers.items() if name not in _HEADER_OPTIONS}
    request = replace(request, headers=headers, body=_XML_OPTIONS.sub(b"", request.body))
    return _in_json(_without_options)(request)


@dataclass(frozen=True)
class Lie:
    """What becomes of requests and of answers."""

    request: Change = lambda one: one
    answer: Change = lambda one: one
    swallows: re.Pattern[str] | None = None
    """Requests that are answered with success and never passed on, by target or method."""


LIES: dict[str, Lie] = {
    "accepts all": Lie(answer=_accept),
    "refuses for another reason": Lie(answer=_fail_otherwise),
    "miscounts": Lie(answer=_miscount),
    "garbles": Lie(answer=_garble),
    "finds nothing": Lie(answer=_in_json(_empty)),
    "ignores options": Lie(request=_ignore),
    "deletes nothing": Lie(swallows=re.compile(r"Delete|Purge|Untag|Remove|Cancel|^DELETE")),
}


@contextmanager
def proxy(server: str, lie: Lie | None) -> Iterator[str]:
    """Stands before `server` (host and port); answers its own host and port."""
    told = lie or Lie()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            mine = headers["host"]
            body = self.rfile.read(length).replace(mine.encode(), server.encode())
            target = headers.get("x-amz-target", "").split(".")[-1]
            if told.swallows and told.swallows.search(target or self.command):
                answer = Exchange(status=200, body=b"{}")
            else:
                request = told.request(Exchange(headers=headers, body=body))
                try:
                    answer = told.answer(_ask(server, self.connection, self.command, self.path, request))
                except (OSError, http.client.HTTPException):
                    # The service dropped the connection, so this one drops its own.
                    self.close_connection = True
                    return
            self._tell(replace(answer, body=answer.body.replace(server.encode(), mine.encode())))

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = serve

        def _tell(self, answer: Exchange) -> None:
            self.send_response(answer.status)
            # The checksum would give a changed body away.
            dropped = {"content-length", "transfer-encoding", "connection"} | ({"x-amz-crc32"} if lie else set())
            for name, value in answer.headers.items():
                if name not in dropped:
                    self.send_header(name, value)
            if answer.status != 204:
                self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body if answer.status != 204 else b"")

        def log_message(self, *_: object) -> None:
            pass

    yield from _serve(Handler)


def _ask(server: str, client: socket.socket, method: str, path: str, request: Exchange) -> Exchange:
    connection = http.client.HTTPConnection(server, timeout=30)
    try:
        headers = {**request.headers, "host": server, "content-length": str(len(request.body))}
        headers.pop("transfer-encoding", None)
        connection.request(method, path, request.body, headers)
        _wait(connection.sock, client)
        answer = connection.getresponse()
        body = answer.read()
        return Exchange({name.lower(): value for name, value in answer.getheaders()}, body, answer.status)
    finally:
        connection.close()


def _wait(service: socket.socket, client: socket.socket) -> None:
    """Waits for the service's answer; ends at once if the client hangs up, so that the service learns of it."""
    while True:
        ready, _, _ = select.select([service, client], [], [], 30)
        if service in ready or not ready:
            return
        if not client.recv(1, socket.MSG_PEEK):
            raise ConnectionAbortedError("the client hung up")
        # The client has sent its next request already; that can wait.
        client = service


@contextmanager
def idle_admin() -> Iterator[str]:
    """An admin endpoint that says yes to everything and does nothing."""

    class Handler(BaseHTTPRequestHandler):
        def serve(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(201)
            self.end_headers()
            self.wfile.write(b"[]")

        do_POST = do_PUT = do_DELETE = serve

        def log_message(self, *_: object) -> None:
            pass

    for address in _serve(Handler):
        yield f"http://{address}"


def _serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that went away is no news."""

    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
