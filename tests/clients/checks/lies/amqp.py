"""Lies over AMQP 1.0: bytes of a frame become others, as many as before, so that every frame stays well formed."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

PORT = 5672
HEADER_BYTES = 8
"""Of a protocol header, and of a frame."""
TRANSFER = b"\x00\x53\x14"
DISPOSITION = b"\x00\x53\x15"
ACCEPTED, RELEASED = b"\x00\x53\x24", b"\x00\x53\x26"

Change = Callable[[bytes], bytes]


def _as_it_is(frame: bytes) -> bytes:
    return frame


@dataclass(frozen=True)
class Lie:
    """What becomes of a client's frames and of the service's."""

    request: Change = _as_it_is
    answer: Change = _as_it_is


def _swap(old: bytes, new: bytes, within: bytes = b"") -> Change:
    if len(old) != len(new):
        raise ValueError("a frame keeps its length")
    return lambda frame: frame.replace(old, new) if within in frame[HEADER_BYTES : HEADER_BYTES + 12] else frame


def _garble(frame: bytes) -> bytes:
    """The last byte of what is delivered is another."""
    return frame[:-1] + bytes([frame[-1] ^ 1]) if frame[HEADER_BYTES:].startswith(TRANSFER) else frame


LIES: dict[str, Lie] = {
    "other bodies": Lie(answer=_garble),
    "no annotations": Lie(answer=_swap(b"x-opt-", b"x-opq-")),
    "no properties": Lie(request=_swap(b"\x00\x53\x74", b"\x00\x53\x71")),
    "completes nothing": Lie(request=_swap(ACCEPTED, RELEASED, DISPOSITION)),
    "schedules nothing": Lie(request=_swap(b"x-opt-scheduled", b"x-opt-schedulex")),
    "knows no management": Lie(request=_swap(b"com.microsoft:", b"com.microsofx:")),
    "other reasons": Lie(answer=_swap(b"com.microsoft:", b"com.microsofx:")),
    "other words": Lie(answer=_swap(b"amqp:", b"amqx:")),
    "no reasons": Lie(answer=_swap(b"DeadLetter", b"DeadLettex")),
}

_numbers = itertools.count(1)


@contextmanager
def proxy(server: str, lie: Lie | None) -> Iterator[str]:
    """Stands before the AMQP of `server`; answers the address where it listens, as clients insist on the port."""
    address = f"127.3.{os.getpid() % 250}.{next(_numbers)}"
    told = lie or Lie()
    with socket.create_server((address, PORT)) as listener:
        threading.Thread(target=_accept, args=(listener, server, told), daemon=True).start()
        yield address


def _accept(listener: socket.socket, server: str, lie: Lie) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            try:
                service = socket.create_connection((server, PORT))
            except OSError:
                client.close()
                continue
            for source, target, change in ((client, service, lie.request), (service, client, lie.answer)):
                threading.Thread(target=_pass_on, args=(source, target, change), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, change: Change) -> None:
    with suppress(OSError), source.makefile("rb") as stream:
        while head := stream.read(HEADER_BYTES):
            if head.startswith(b"AMQP"):
                target.sendall(head)
                continue
            frame = head + stream.read(int.from_bytes(head[:4], "big") - HEADER_BYTES)
            target.sendall(change(frame))
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
