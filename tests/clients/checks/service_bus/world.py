"""The Service Bus under test, and queues that live for one check."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.management import ServiceBusAdministrationClient

from harness import Admin, site

PATIENCE = 5.0
"""Seconds to wait for a message that must come."""
NOTHING = 0.3
"""Seconds to wait for a message that must not come."""
LOCK_SECONDS = 1.0
"""Of the queues whose locks must end. The service itself allows 5 s at least; nobody here wants to wait that long."""


class World:
    """A client without retries. What a check opens is closed after it: unused credit would take others' messages."""

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self.site = site(ready, "azure")
        self.connection_string = self.site["service_bus_connection_string"]
        self.admin = Admin(ready["admin"], "service-bus")
        self.management = self._management()
        self._queues: list[str] = []
        self._open = ExitStack()
        self.bus = self.connect()

    def connect(self, connection_string: str | None = None) -> ServiceBusClient:
        # No retries: a check must see the service's own answer.
        bus = ServiceBusClient.from_connection_string(connection_string or self.connection_string, retry_total=0)
        return self._open.enter_context(bus)

    def queue(self, **settings: Any) -> str:
        name = f"check-{uuid.uuid4().hex[:12]}"
        self.management.create_queue(name, **settings)
        self._queues.append(name)
        return name

    def fleeting(self, **settings: Any) -> str:
        """A queue whose locks end soon."""
        return self.queue(lock_duration=timedelta(seconds=LOCK_SECONDS), **settings)

    def sender(self, queue: str) -> ServiceBusSender:
        return self._open.enter_context(self.bus.get_queue_sender(queue))

    def receiver(self, queue: str, **options: Any) -> ServiceBusReceiver:
        return self._open.enter_context(self.bus.get_queue_receiver(queue, **options))

    def dead_letters(self, queue: str) -> ServiceBusReceiver:
        return self.receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)

    def send(self, queue: str, *bodies: str, **properties: Any) -> None:
        sender = self.sender(queue)
        for body in bodies:
            sender.send_messages(ServiceBusMessage(body, **properties))

    def counts(self, queue: str) -> tuple[int, int, int]:
        """Messages that are active, dead, scheduled."""
        found = self.management.get_queue_runtime_properties(queue)
        return found.active_message_count, found.dead_letter_message_count, found.scheduled_message_count

    def _management(self) -> ServiceBusAdministrationClient:
        class Plain(RequestsTransport):
            """The administration client speaks TLS only; localcloud has none."""

            def send(self, request: HttpRequest, **options: Any) -> Any:
                request.url = request.url.replace("https://", "http://")
                return super().send(request, **options)

        host = self.connection_string.split("sb://")[1].split(";")[0]
        http = self.site["service_bus_http_endpoint"].removeprefix("http://")
        text = self.connection_string.replace(f"sb://{host}", f"sb://{http}")
        return ServiceBusAdministrationClient.from_connection_string(text, transport=Plain(), retry_total=0)

    def clean_up(self) -> None:
        self.admin.restore()
        with suppress(Exception):
            self._open.close()
        for name in self._queues:
            with suppress(Exception):
                self.management.delete_queue(name)
        self._queues.clear()
        self.bus = self.connect()


def one(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    """The next message, which must be there."""
    messages = receiver.receive_messages(max_message_count=1, max_wait_time=PATIENCE)
    if not messages:
        raise AssertionError(f"expected a message within {PATIENCE} s, got none")
    return messages[0]


def some(receiver: ServiceBusReceiver, count: int) -> list[ServiceBusReceivedMessage]:
    """So many messages, which must be there; the client may hand them over in several goes."""
    return [one(receiver) for _ in range(count)]


def nothing(receiver: ServiceBusReceiver) -> None:
    """There must be no message."""
    if messages := receiver.receive_messages(max_message_count=1, max_wait_time=NOTHING):
        raise AssertionError(f"expected no message, got {messages[0]}")


def refused(error: type[Exception], call: Callable[..., Any], *arguments: Any, **named: Any) -> Exception:
    """The call must raise this error, and no mere relative of it."""
    try:
        call(*arguments, **named)
    except error as found:
        if type(found) is not error:
            raise AssertionError(f"expected {error.__name__}, got {type(found).__name__}: {found}") from found
        return found
    raise AssertionError(f"expected {error.__name__}, but the call succeeded")


def text_of(properties: Mapping[Any, Any] | None) -> dict[str, Any]:
    """Application properties with their texts as texts: the client hands out bytes."""

    def decoded(value: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value

    return {decoded(name): decoded(value) for name, value in (properties or {}).items()}
