#!/usr/bin/env python3
"""A custom handler that does what the body of a message tells it to, mostly wrong: to see that the player notices."""

from __future__ import annotations

import base64
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JSON = "application/json"
DONE = b'{"Outputs":{},"Logs":[],"ReturnValue":null}'
ANSWERS: dict[str, tuple[int, str, bytes]] = {
    "right": (200, JSON, DONE),
    "created": (201, f"{JSON}; charset=utf-8", b"{}"),
    "null": (200, JSON, b"null"),
    "empty": (200, JSON, b""),
    "no content": (204, "", b""),
    "list": (200, JSON, b"[]"),
    "text": (200, "text/plain", DONE),
    "half": (200, JSON, DONE[:20]),
    "refused": (400, JSON, DONE),
    "error": (500, JSON, DONE),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        # The host takes any status for a sign of life.
        self._answer(404, "text/plain", b"")

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        word = base64.b64decode(next(iter(payload["Data"].values()))).decode()
        match word.split():
            case ["sleep", seconds]:
                time.sleep(float(seconds))
                self._answer(*ANSWERS["right"])
            case ["exit", code]:
                os._exit(int(code))
            case ["redirect", status]:
                self._answer(int(status), JSON, DONE, "/elsewhere")
            case ["pid"]:
                self._answer(200, JSON, json.dumps({"ReturnValue": os.getpid()}).encode())
            case ["reset"]:
                self.connection.close()
            case _ if self.path == "/elsewhere":
                self._answer(*ANSWERS["right"])
            case _:
                self._answer(*ANSWERS[word])

    def _answer(self, status: int, kind: str, body: bytes, location: str = "") -> None:
        if self.path == "/elsewhere" and self.command == "POST":
            status, location = 200, ""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


if __name__ == "__main__":
    port = int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
