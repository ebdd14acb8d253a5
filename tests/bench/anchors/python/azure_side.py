#!/usr/bin/env python3
"""A bridge by hand, Azure side: Service Bus to Cosmos DB with last-writer-wins, forwarded to SQS.

asyncio, as both Azure SDKs have it. Messages come one by one, since `receive_messages` waits up to 0.2 s for more after the first; many
are in flight at once. Sends to SQS take along whatever waits.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from typing import Any

import boto3
from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosAccessConditionFailedError, CosmosResourceExistsError, CosmosResourceNotFoundError
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from botocore.config import Config

from event import Event, expires_at, now, read_event

IN_FLIGHT = 64
SENDS_AT_ONCE = 2
"""More would be idle sooner, and send fewer messages a request."""
PREFETCH = 100


class Forwarder:
    """Sends to SQS what waits, up to ten messages a request."""

    def __init__(self, site: str, aws: dict[str, str]) -> None:
        session = boto3.Session(aws["access_key_id"], aws["secret_access_key"], region_name=aws["region"])
        config = Config(max_pool_connections=SENDS_AT_ONCE, tcp_keepalive=True, parameter_validation=False)
        self.sqs = session.client("sqs", endpoint_url=aws["sqs_endpoint"], config=config)
        self.queue = aws["queue_url"]
        self.marks = {"bridge_forwarded_by": {"DataType": "String", "StringValue": site}}
        self.waiting: asyncio.Queue[tuple[str, asyncio.Future[None]]] = asyncio.Queue()

    async def send(self, body: str) -> None:
        sent = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait((body, sent))
        await sent

    async def run(self) -> None:
        while True:
            batch = [await self.waiting.get()]
            # The messages that arrived together have their turn first.
            await asyncio.sleep(0)
            while len(batch) < 10 and not self.waiting.empty():
                batch.append(self.waiting.get_nowait())
            entries = [
                {"Id": str(at), "MessageBody": body, "MessageAttributes": self.marks} for at, (body, _) in enumerate(batch)
            ]
            try:
                answer = await asyncio.to_thread(self.sqs.send_message_batch, QueueUrl=self.queue, Entries=entries)
                failed = {int(one["Id"]): RuntimeError(one["Code"]) for one in answer.get("Failed", ())}
            except Exception as error:  # noqa: BLE001: whatever it was, the messages come again.
                failed = dict.fromkeys(range(len(batch)), error)
            for at, (_, sent) in enumerate(batch):
                if at in failed:
                    sent.set_exception(failed[at])
                else:
                    sent.set_result(None)


class Bridge:
    def __init__(self, site: str, container: ContainerProxy, receiver: ServiceBusReceiver, forwarder: Forwarder) -> None:
        self.site, self.container, self.receiver, self.forwarder = site, container, receiver, forwarder
        self.room = asyncio.Semaphore(IN_FLIGHT)
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        async for message in self.receiver:
            await self.room.acquire()
            task = asyncio.create_task(self.handle(message))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def handle(self, message: ServiceBusReceivedMessage) -> None:
        try:
            body = b"".join(message.body)
            try:
                event = read_event(body)
            except (ValueError, KeyError, TypeError) as error:
                await self.receiver.dead_letter_message(message, reason="unreadable", error_description=str(error))
                return
            if event.source_region == self.site:
                await asyncio.gather(self.write(event), self.forwarder.send(body.decode()))
            else:
                await self.write(event)
            await self.receiver.complete_message(message)
        except Exception as error:  # noqa: BLE001: whatever it was, the message comes again.
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            await self.receiver.abandon_message(message)
        finally:
            self.room.release()

    async def write(self, event: Event) -> None:
        while True:
            try:
                stored = await self.container.read_item(event.key, partition_key=event.key)
            except CosmosResourceNotFoundError:
                try:
                    await self.container.create_item(self.item(event), no_response=True)
                except CosmosResourceExistsError:
                    continue
                return
            if event.version <= stored["version"]:
                return
            try:
                await self.container.replace_item(
                    event.key,
                    self.item(event),
                    etag=stored["_etag"],
                    match_condition=MatchConditions.IfNotModified,
                    no_response=True,
                )
            except CosmosAccessConditionFailedError:
                continue
            return

    def item(self, event: Event) -> dict[str, Any]:
        applied_at = now()
        item = {
            "id": event.key,
            "pk": event.key,
            "version": event.version,
            "event_id": event.event_id,
            "source_region": event.source_region,
            "timestamp": event.timestamp,
            "op_type": event.op_type,
            "deleted": event.payload is None,
            "applied_at": applied_at,
            "applied_by": self.site,
        }
        if event.payload is None:
            item["ttl"] = expires_at(event) - int(time.time())
        else:
            item["payload"] = event.payload
        return item


async def main(ready: dict[str, Any]) -> None:
    site, azure = next(named for named in ready["sites"].items() if named[1]["cloud"] == "azure")
    aws = next(one for one in ready["sites"].values() if one["cloud"] == "aws")
    forwarder = Forwarder(site, aws)
    bus = ServiceBusClient.from_connection_string(azure["service_bus_connection_string"])
    async with CosmosClient(azure["cosmos_endpoint"], azure["cosmos_key"]) as cosmos, bus:
        container = cosmos.get_database_client(azure["database"]).get_container_client(azure["container"])
        async with bus.get_queue_receiver(azure["queue"], prefetch_count=PREFETCH) as receiver:
            bridge = Bridge(site, container, receiver, forwarder)
            work = [asyncio.create_task(bridge.run())]
            work += [asyncio.create_task(forwarder.run()) for _ in range(SENDS_AT_ONCE)]
            stopping = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stopping.set)
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait([stopped, *work], return_when=asyncio.FIRST_COMPLETED)
            for task in work:
                if task.done():
                    task.result()
                task.cancel()
            await asyncio.gather(*bridge.tasks)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        asyncio.run(main(json.load(file)))
