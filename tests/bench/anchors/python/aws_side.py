#!/usr/bin/env python3
"""A bridge by hand, AWS side: SQS to DynamoDB with last-writer-wins, forwarded to Service Bus.

Threads, as boto3 has no asyncio. Clients live as long as the process; requests to SQS and sends to Service Bus are batches.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender
from botocore.config import Config
from botocore.exceptions import ClientError

from event import Event, expires_at, now, read_event

POLLERS = 3
WRITES_AT_ONCE = 16


class Bridge:
    def __init__(self, ready: dict[str, Any]) -> None:
        self.site, aws = next(named for named in ready["sites"].items() if named[1]["cloud"] == "aws")
        azure = next(site for site in ready["sites"].values() if site["cloud"] == "azure")
        session = boto3.Session(aws["access_key_id"], aws["secret_access_key"], region_name=aws["region"])
        config = Config(max_pool_connections=POLLERS + WRITES_AT_ONCE, tcp_keepalive=True, parameter_validation=False)
        self.sqs = session.client("sqs", endpoint_url=aws["sqs_endpoint"], config=config)
        self.dynamodb = session.client("dynamodb", endpoint_url=aws["dynamodb_endpoint"], config=config)
        self.queue, self.dead_letters, self.table = aws["queue_url"], aws["dead_letter_queue_url"], aws["table"]
        self.bus = ServiceBusClient.from_connection_string(azure["service_bus_connection_string"])
        self.peer_queue = azure["queue"]
        self.writers = ThreadPoolExecutor(WRITES_AT_ONCE)
        self.stopping = threading.Event()

    def run(self) -> None:
        pollers = [threading.Thread(target=self.poll, daemon=True) for _ in range(POLLERS)]
        for poller in pollers:
            poller.start()
        self.stopping.wait()
        # A poll that waits for messages may have most of its 20 s left.
        for poller in pollers:
            poller.join(timeout=0.5)

    def poll(self) -> None:
        with self.bus.get_queue_sender(self.peer_queue) as sender:
            while not self.stopping.is_set():
                answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, WaitTimeSeconds=20)
                if messages := answer.get("Messages"):
                    self.handle(messages, sender)

    def handle(self, messages: list[dict[str, Any]], sender: ServiceBusSender) -> None:
        events, done = [], []
        for message in messages:
            try:
                events.append((message, read_event(message["Body"])))
            except (ValueError, KeyError, TypeError):
                self.sqs.send_message(QueueUrl=self.dead_letters, MessageBody=message["Body"])
                done.append(message)
        writes = [self.writers.submit(self.write, event) for _, event in events]
        own = [message["Body"] for message, event in events if event.source_region == self.site]
        forwarded = self.forward(own, sender)
        for (message, event), write in zip(events, writes, strict=True):
            if write.exception() is not None:
                print(f"{event.key}: {write.exception()}", file=sys.stderr)
            elif forwarded or event.source_region != self.site:
                done.append(message)
        if done:
            receipts = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(done)]
            self.sqs.delete_message_batch(QueueUrl=self.queue, Entries=receipts)

    def forward(self, bodies: list[str], sender: ServiceBusSender) -> bool:
        if not bodies:
            return True
        try:
            batch = sender.create_message_batch()
            for body in bodies:
                message = ServiceBusMessage(body.encode(), application_properties={"bridge_forwarded_by": self.site})
                try:
                    batch.add_message(message)
                except ValueError:  # The batch is full.
                    sender.send_messages(batch)
                    batch = sender.create_message_batch()
                    batch.add_message(message)
            sender.send_messages(batch)
        except Exception as error:  # noqa: BLE001: whatever it was, the messages come again.
            print(f"forwarding: {error}", file=sys.stderr)
            return False
        return True

    def write(self, event: Event) -> None:
        try:
            self.dynamodb.put_item(
                TableName=self.table,
                Item=self.item(event),
                ConditionExpression="attribute_not_exists(pk) OR version < :version",
                ExpressionAttributeValues={":version": {"S": event.version}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def item(self, event: Event) -> dict[str, Any]:
        item = {
            "pk": {"S": event.key},
            "version": {"S": event.version},
            "event_id": {"S": event.event_id},
            "source_region": {"S": event.source_region},
            "timestamp": {"S": event.timestamp},
            "op_type": {"S": event.op_type},
            "deleted": {"BOOL": event.payload is None},
            "applied_at": {"S": now()},
            "applied_by": {"S": self.site},
        }
        if event.payload is None:
            item["expires_at"] = {"N": str(expires_at(event))}
        else:
            item["payload"] = attribute(event.payload)
        return item


def attribute(value: Any) -> dict[str, Any]:
    """A value of JSON as DynamoDB has it; boto3's own serializer refuses floats."""
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": repr(value)}
        case None:
            return {"NULL": True}
        case dict():
            return {"M": {name: attribute(member) for name, member in value.items()}}
        case _:
            return {"L": [attribute(item) for item in value]}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        bridge = Bridge(json.load(file))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: bridge.stopping.set())
    bridge.run()
