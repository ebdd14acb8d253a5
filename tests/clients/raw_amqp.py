"""AMQP 1.0 by hand, for messages that no vendor's client would encode: sockets and bytes, and nothing else.

AMQP 1.0, parts 1 to 3 and 5; just as much as a sender on Service Bus needs.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

PAYLOAD_BYTES = 60_000
"""Of one frame, which may have 64 KiB."""
PATIENCE_SECONDS = 10.0
NULL, TRUE, FALSE = b"\x40", b"\x41", b"\x42"


def uint(number: int) -> bytes:
    return b"\x70" + struct.pack(">I", number)


def string(text: str) -> bytes:
    return b"\xb1" + struct.pack(">I", len(text.encode())) + text.encode()


def symbol(text: str) -> bytes:
    return b"\xa3" + bytes([len(text)]) + text.encode()


def binary(content: bytes) -> bytes:
    return b"\xb0" + struct.pack(">I", len(content)) + content


def compound(code: int, count: int, content: bytes) -> bytes:
    """A list (0xd0), a map (0xd1) or an array (0xf0)."""
    return bytes([code]) + struct.pack(">II", len(content) + 4, count) + content


def described(code: int, value: bytes) -> bytes:
    return b"\x00\x53" + bytes([code]) + value


def performative(code: int, *fields: bytes) -> bytes:
    return described(code, compound(0xD0, len(fields), b"".join(fields)))


class RawSender:
    """A link to a queue, over a connection of its own."""

    def __init__(self, connection_string: str, queue: str) -> None:
        parts = dict(part.split("=", 1) for part in connection_string.rstrip(";").split(";"))
        host, _, port = parts["Endpoint"].split("://")[1].strip("/").partition(":")
        self._socket = socket.create_connection((host, int(port or 5672)), PATIENCE_SECONDS)
        self._delivery = 0
        self._shake_hands(b"AMQP\x03\x01\x00\x00")
        self._expect(0x40)
        key = f"\0{parts['SharedAccessKeyName']}\0{parts['SharedAccessKey']}".encode()
        self._write(1, performative(0x41, symbol("PLAIN"), binary(key)))
        self._expect(0x44)
        self._shake_hands(b"AMQP\x00\x01\x00\x00")
        self._write(0, performative(0x10, string("by-hand"), string(host), uint(65_536)))
        self._expect(0x10)
        self._write(0, performative(0x11, NULL, uint(0), uint(2_048), uint(2_048)))
        self._expect(0x11)
        ends = performative(0x28, string("by-hand")), performative(0x29, string(queue))
        self._write(0, performative(0x12, string("by-hand"), uint(0), FALSE, NULL, NULL, *ends, NULL, NULL, uint(0)))
        self._expect(0x12)
        self._expect(0x13)

    def send(self, encoded: bytes, message_format: int = 0) -> None:
        """Sends a message, given as the sections that it consists of; returns once the service has taken it."""
        pieces = [encoded[at : at + PAYLOAD_BYTES] for at in range(0, len(encoded), PAYLOAD_BYTES)] or [b""]
        for number, piece in enumerate(pieces):
            more = TRUE if number + 1 < len(pieces) else FALSE
            tag = binary(struct.pack(">I", self._delivery))
            self._write(0, performative(0x14, uint(0), uint(self._delivery), tag, uint(message_format), FALSE, more) + piece)
        self._delivery += 1
        answer = self._expect(0x15)
        if b"\x00\x53\x24" not in answer:
            raise RuntimeError(f"the service did not accept the message: {answer!r}")

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _shake_hands(self, header: bytes) -> None:
        self._socket.sendall(header)
        if (answer := self._read(8)) != header:
            raise RuntimeError(f"{answer!r} instead of {header!r}")

    def _write(self, kind: int, body: bytes) -> None:
        self._socket.sendall(struct.pack(">IBBH", 8 + len(body), 2, kind, 0) + body)

    def _expect(self, code: int) -> bytes:
        """The body of the next frame with that performative; flows and heartbeats may come in between."""
        while True:
            size, words, _, _ = struct.unpack(">IBBH", self._read(8))
            body = self._read(size - 8)[words * 4 - 8 :]
            if body.startswith(b"\x00\x53" + bytes([code])):
                return body
            if body and not body.startswith(b"\x00\x53\x13"):
                raise RuntimeError(f"{body!r} instead of 0x{code:02x}")

    def _read(self, count: int) -> bytes:
        read = b""
        while len(read) < count:
            more = self._socket.recv(count - len(read))
            if not more:
                raise RuntimeError("the service ended the connection")
            read += more
        return read
