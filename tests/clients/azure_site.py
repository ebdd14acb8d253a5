"""Service Bus and Cosmos DB through azure-servicebus and azure-cosmos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any
from uuid import uuid4

from azure.cosmos import CosmosClient
from azure.cosmos.exceptions import CosmosResourceNotFoundError
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiver, ServiceBusSubQueue
from azure.servicebus.exceptions import MessageSizeExceededError

from contract import cosmos_id
from site_port import Letter, Message, Site, messages
from stored import Record, by_key, cosmos_record


class AzureSite(Site):
    """Service Bus and Cosmos DB."""

    def __init__(self, name: str, ready: Mapping[str, str]) -> None:
        super().__init__(name)
        self._open = ExitStack()
        bus = ServiceBusClient.from_connection_string(ready["service_bus_connection_string"])
        self._bus = self._open.enter_context(bus)
        self._queue = ready["queue"]
        self._sender = self._open.enter_context(bus.get_queue_sender(self._queue))
        self._letters_name = ready["dead_letter_queue"]
        self._letters: ServiceBusReceiver | None = None
        cosmos = CosmosClient(ready["cosmos_endpoint"], credential=ready["cosmos_key"])
        self._container = cosmos.get_database_client(ready["database"]).get_container_client(ready["container"])

    def send(self, bodies: Sequence[bytes | Message]) -> None:
        batch = self._sender.create_message_batch()
        waiting = 0
        for one in messages(bodies):
            # Some clients cannot settle a message without an id, so every message gets one.
            message = ServiceBusMessage(
                one.body,
                message_id=str(uuid4()),
                content_type="application/json",
                application_properties=dict(one.properties),
            )
            try:
                batch.add_message(message)
            except MessageSizeExceededError:
                if waiting:
                    self._sender.send_messages(batch)
                batch, waiting = self._sender.create_message_batch(), 0
                batch.add_message(message)
            waiting += 1
        if waiting:
            self._sender.send_messages(batch)

    def send_one(self, message: ServiceBusMessage) -> None:
        """Sends a message as it is, which the service may refuse."""
        self._sender.send_messages(message)

    def broker_dead_letters(self) -> ServiceBusReceiver:
        """The queue's own dead letters, to look into."""
        return self._bus.get_queue_receiver(self._queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)

    def queue_is_empty(self) -> bool:
        return self._peek(self._queue, 1) == 0

    def queue_waiting(self) -> int:
        return self._peek(self._queue, 1_000)

    def letters_waiting(self) -> int:
        return self._peek(self._letters_name, 100)

    def _peek(self, queue: str, count: int) -> int:
        with self._bus.get_queue_receiver(queue) as receiver:
            return len(receiver.peek_messages(max_message_count=count))

    def take_letters(self, wait_seconds: float) -> list[Letter]:
        if self._letters is None:
            self._letters = self._open.enter_context(self._bus.get_queue_receiver(self._letters_name))
        # One at a time: asked for more, the client waits a while for them after the first has come.
        messages = self._letters.receive_messages(max_message_count=1, max_wait_time=max(wait_seconds, 0.1))
        return [
            Letter(b"".join(message.body), _text_properties(message.application_properties), message)
            for message in messages
        ]

    def put_back_what_the_broker_set_aside(self) -> int:
        """Moves letters that were delivered too often, to those who look through all of them, back among the letters."""
        moved = 0
        dead = self._bus.get_queue_receiver(self._letters_name, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        with dead, self._bus.get_queue_sender(self._letters_name) as sender:
            while messages := dead.receive_messages(max_message_count=1, max_wait_time=1):
                for message in messages:
                    properties = dict(message.application_properties or {})
                    body = b"".join(message.body)
                    sender.send_messages(
                        ServiceBusMessage(body, message_id=str(uuid4()), application_properties=properties)
                    )
                    dead.complete_message(message)
                    moved += 1
        return moved

    def drop_letter(self, letter: Letter) -> None:
        if self._letters is not None:
            self._letters.complete_message(letter.handle)

    def records(self) -> dict[str, Record]:
        items = self._container.query_items("SELECT * FROM c", enable_cross_partition_query=True)
        return by_key(cosmos_record(item) for item in items)

    def record(self, key: str) -> Record | None:
        items = self._container.query_items(
            "SELECT * FROM c WHERE c.pk = @pk", parameters=[{"name": "@pk", "value": key}], partition_key=key
        )
        found = [cosmos_record(item) for item in items]
        if len(found) > 1:
            raise RuntimeError(f"Cosmos DB has {len(found)} items of the key {key!r}")
        return found[0] if found else None

    def forget(self, key: str) -> None:
        with suppress(CosmosResourceNotFoundError):
            self._container.delete_item(cosmos_id(key), partition_key=key)

    def close(self) -> None:
        self._open.close()


def _text_properties(properties: Mapping[Any, Any] | None) -> dict[str, str]:
    def text(value: Any) -> str:
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)

    return {text(name): text(value) for name, value in (properties or {}).items()}
