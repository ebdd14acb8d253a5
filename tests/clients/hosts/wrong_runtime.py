#!/usr/bin/env python3
"""A Lambda runtime that does what its event tells it to, mostly wrong: to see that the player notices."""

from __future__ import annotations

import http.client
import json
import os
import time

PATH = "/2018-06-01/runtime/invocation"


def serve() -> None:
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        connection.request("GET", f"{PATH}/next")
        response = connection.getresponse()
        request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
        left_ms = int(response.headers["Lambda-Runtime-Deadline-Ms"]) - time.time() * 1000
        event = json.loads(response.read())
        match event:
            case {"sleep": seconds}:
                time.sleep(seconds)
                _post(connection, f"{request_id}/response", b"{}")
            case {"exit": code}:
                os._exit(code)
            case {"raise": message}:
                _post(connection, f"{request_id}/error", message.encode())
            case {"answer": text}:
                _post(connection, f"{request_id}/response", text.encode())
            case {"chunked": pieces}:
                # Without a length, as a runtime sends that does not know it.
                body = (piece.encode() for piece in pieces)
                connection.request("POST", f"{PATH}/{request_id}/response", body, encode_chunked=True)
                connection.getresponse().read()
            case "strange":
                # An answer for somebody else, and one too many.
                statuses = [
                    _post(connection, f"{name}/response", b"{}") for name in ("strange", request_id, request_id)
                ]
                print(statuses, flush=True)
            case "context":
                told = {"pid": os.getpid(), "left_ms": left_ms, "environment": dict(os.environ)}
                _post(connection, f"{request_id}/response", json.dumps(told).encode())


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> int:
    connection.request("POST", f"{PATH}/{path}", body)
    response = connection.getresponse()
    response.read()
    return response.status


if __name__ == "__main__":
    serve()
