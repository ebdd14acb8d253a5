"""What can be filled and drained again: the same few words for each of the four services."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Protocol

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode

from local import Local


class Load(Protocol):
    """One service, as far as load is concerned. An item is a message, or an item of a store."""

    name: str
    size_max: int
    """Bytes of text that the largest legal item may well have."""

    def put(self, count: int, size: int) -> None: ...

    def drain(self) -> None:
        """Takes out, or deletes, all that was put."""


class Backlog(Load, Protocol):
    """A queue."""

    def take(self, count: int) -> None:
        """Takes out so many, which must be there."""


class Sqs:
    name, size_max = "SQS", 2**20

    def __init__(self, local: Local, queue: str) -> None:
        self._client = local.sqs()
        self._url = self._client.create_queue(QueueName=queue)["QueueUrl"]

    def put(self, count: int, size: int) -> None:
        at_once = max(1, min(10, self.size_max // size, count))
        entries = [{"Id": str(n), "MessageBody": "x" * size} for n in range(at_once)]
        for _ in range(count // at_once):
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            assert len(answer["Successful"]) == at_once, answer

    def take(self, count: int) -> None:
        while count > 0:
            count -= self._take()

    def _take(self) -> int:
        """Takes out up to ten messages, and tells how many."""
        got = self._client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", [])
        if got:
            receipts = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
            self._client.delete_message_batch(QueueUrl=self._url, Entries=receipts)
        return len(got)

    def drain(self) -> None:
        while self._take():
            pass


class ServiceBus:
    """Of a Premium namespace, whose messages may be as large as 1 MB."""

    name, size_max = "Service Bus", 1_000_000

    def __init__(self, local: Local, stack: ExitStack, queue: str) -> None:
        connection_string = local.azure["service_bus_connection_string"]
        self._queue = queue
        self._bus = stack.enter_context(ServiceBusClient.from_connection_string(connection_string))
        self._sender = stack.enter_context(self._bus.get_queue_sender(queue))
        self._receiver = stack.enter_context(self._receive())

    def put(self, count: int, size: int) -> None:
        at_once = max(1, min(100, self.size_max // size, count))
        batch = [ServiceBusMessage("x" * size) for _ in range(at_once)]
        for _ in range(count // at_once):
            self._sender.send_messages(batch if at_once > 1 else batch[0])

    def _receive(self, **options: Any) -> Any:
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
        return self._bus.get_queue_receiver(self._queue, receive_mode=mode, **options)

    def take(self, count: int) -> None:
        while count > 0:
            count -= len(self._receiver.receive_messages(max_message_count=count, max_wait_time=5))

    def drain(self) -> None:
        with self._receive(prefetch_count=200) as receiver:
            while receiver.receive_messages(max_message_count=200, max_wait_time=1):
                pass


class Dynamodb:
    # The limit of 400 KB counts names and keys too.
    name, size_max = "DynamoDB", 400 * 1024 - 100

    def __init__(self, local: Local) -> None:
        self._client, self._table, self._count = local.dynamodb(), local.aws["table"], 0

    def put(self, count: int, size: int) -> None:
        for _ in range(count):
            item = {"pk": {"S": f"load-{self._count}"}, "text": {"S": "x" * size}}
            self._client.put_item(TableName=self._table, Item=item)
            self._count += 1

    def drain(self) -> None:
        while self._count:
            self._count -= 1
            self._client.delete_item(TableName=self._table, Key={"pk": {"S": f"load-{self._count}"}})


class Cosmos:
    # The limit of 2 MB counts the item's other properties too.
    name, size_max = "Cosmos DB", 2 * 2**20 - 1_000

    def __init__(self, local: Local) -> None:
        self._records, self._count = local.cosmos(), 0

    def put(self, count: int, size: int) -> None:
        for _ in range(count):
            self._records.create_item({"id": f"load-{self._count}", "pk": f"load-{self._count}", "text": "x" * size})
            self._count += 1

    def drain(self) -> None:
        while self._count:
            self._count -= 1
            self._records.delete_item(f"load-{self._count}", f"load-{self._count}")


def all_of(local: Local, stack: ExitStack) -> list[Load]:
    """A load for each service, with clients that are closed with the stack."""
    return [Sqs(local, "load"), ServiceBus(local, stack, local.azure["queue"]), Dynamodb(local), Cosmos(local)]
