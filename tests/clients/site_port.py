"""What both sites have in common: one queue, one dead-letter queue and one store."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from stored import Record


@dataclass(frozen=True)
class Message:
    """A message to send, with properties beside its body."""

    body: bytes
    properties: Mapping[str, str] = field(default_factory=dict)


def messages(of: Iterable[bytes | Message]) -> list[Message]:
    """Messages, where some are bodies alone."""
    return [one if isinstance(one, Message) else Message(one) for one in of]


@dataclass(frozen=True)
class Letter:
    """A message in a dead-letter queue."""

    body: bytes
    properties: Mapping[str, str]
    handle: Any


class Site(ABC):
    """One queue, one dead-letter queue and one store."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def send(self, bodies: Sequence[bytes | Message]) -> None:
        """Sends bodies, byte for byte, in as few batches as the service allows."""

    @abstractmethod
    def queue_is_empty(self) -> bool:
        """Whether nothing waits in the queue or is being worked on."""

    @abstractmethod
    def queue_waiting(self) -> int:
        """How many messages lie in the queue, in any state; Service Bus is asked for the first thousand only."""

    @abstractmethod
    def letters_waiting(self) -> int:
        """How many letters wait; Service Bus is asked for the first hundred only."""

    @abstractmethod
    def take_letters(self, wait_seconds: float) -> list[Letter]:
        """Takes up to ten letters, waiting so long for the first; they stay hidden until they are dropped."""

    @abstractmethod
    def drop_letter(self, letter: Letter) -> None:
        """Removes a letter that was taken."""

    @abstractmethod
    def records(self) -> dict[str, Record]:
        """The whole store by one scan, without the bridge's own keys."""

    @abstractmethod
    def record(self, key: str) -> Record | None:
        """One record by its key."""

    @abstractmethod
    def forget(self, key: str) -> None:
        """Removes a record, as no worker ever would: for what a test has put there against the rules."""

    @abstractmethod
    def close(self) -> None:
        """Closes connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def wait_for_letter(site: Site, within_seconds: float) -> list[Letter]:
    """Takes letters until one has come or the time is over."""
    end = time.monotonic() + within_seconds
    while (left := end - time.monotonic()) > 0:
        if letters := site.take_letters(left):
            return letters
    return []
