"""The two jobs that are measured: what a contender does in AWS, and what it does in Azure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import boto3
from azure.servicebus import ServiceBusClient, ServiceBusReceiveMode

import raw
from aws_site import AwsSite
from azure_site import AzureSite
from compare import differences
from contract import winners

TOMBSTONE_SECONDS = 60 * 86_400.0


class Side:
    """One site with its own queue and store, and the queue of its peer."""

    name: str
    service: str
    """The service of the own queue, as localcloud names it."""
    settles: tuple[str, ...]
    """The operations that end a delivery."""

    def __init__(self, ready: dict[str, Any], stack: ExitStack) -> None:
        named = {site["cloud"]: (name, site) for name, site in ready["sites"].items()}
        (aws_name, aws), (azure_name, azure) = named["aws"], named["azure"]
        self.admin = raw.Admin(ready["admin"])
        self._ready = {"aws": aws, "azure": azure}
        self._sites = {"aws": AwsSite(aws_name, aws), "azure": AzureSite(azure_name, azure)}
        for site in self._sites.values():
            stack.callback(site.close)
        self.site = named[self.name][0]

    def fill(self, bodies: Sequence[bytes]) -> None:
        self._sites[self.name].send(bodies)

    def is_settled(self) -> bool:
        """Whether nothing waits in the own queue, and nothing is in flight."""
        return self.admin.usage()[self.service]["messages"] == 0

    def has_begun(self, before: dict[tuple[str, str, str], int]) -> bool:
        """Whether the first delivery has ended since."""
        return any(count > before.get(what, 0) for what, count in self.admin.requests().items() if self._is_settle(what))

    def _is_settle(self, what: tuple[str, str, str]) -> bool:
        service, operation, status = what
        return service == self.service and operation in self.settles and status in ("200", "ok")

    def empty_queues(self) -> None:
        """Takes out what earlier contenders left, as heartbeats of the bridge."""
        _take_sqs(self._ready["aws"])
        _take_service_bus(self._ready["azure"])

    def wrong(self, bodies: Iterable[bytes], run: str, stores: bool) -> list[str]:
        """How the end state differs from what an independent reading of the contract says: the store, and the peer's queue.

        Takes what was forwarded out of the peer's queue.
        """
        bodies = list(bodies)
        stored = {key: record for key, record in self._sites[self.name].records().items() if key.startswith(f"{run}-")}
        expected = winners(bodies) if stores else {}
        lines = differences(self.site, expected, stored, TOMBSTONE_SECONDS)
        forwarded = Counter(self.forwarded())
        lines += [f"not forwarded: {body[:120]!r}" for body in set(bodies) - forwarded.keys()]
        lines += [f"forwarded, and never sent: {body[:120]!r}" for body in forwarded.keys() - set(bodies)]
        waiting = self._sites[self.name].letters_waiting()
        return lines + ([f"{waiting} dead letters"] if waiting else [])

    def sender(self) -> raw.SqsSender | raw.ServiceBusSender:
        """Sends one event at a time."""
        raise NotImplementedError

    def reader(self) -> raw.Dynamodb | raw.Cosmos:
        """Sees what is stored."""
        raise NotImplementedError

    def forwarded(self) -> list[bytes]:
        """Takes all bodies out of the peer's queue; without heartbeats, which the bridge sends on its own."""
        raise NotImplementedError


class Aws(Side):
    name, service = "aws", "sqs"
    settles = ("DeleteMessage", "DeleteMessageBatch")

    def sender(self) -> raw.SqsSender:
        return raw.SqsSender(self._ready["aws"])

    def reader(self) -> raw.Dynamodb:
        return raw.Dynamodb(self._ready["aws"])

    def forwarded(self) -> list[bytes]:
        return _without_heartbeats(_take_service_bus(self._ready["azure"]))


class Azure(Side):
    name, service = "azure", "service-bus"
    settles = ("settle",)

    def sender(self) -> raw.ServiceBusSender:
        return raw.ServiceBusSender(self._ready["azure"])

    def reader(self) -> raw.Cosmos:
        return raw.Cosmos(self._ready["azure"])

    def forwarded(self) -> list[bytes]:
        return _without_heartbeats(_take_sqs(self._ready["aws"]))


SIDES = {"aws": Aws, "azure": Azure}


def _take_service_bus(site: Mapping[str, str]) -> list[bytes]:
    found: list[bytes] = []
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with (
        ServiceBusClient.from_connection_string(site["service_bus_connection_string"]) as bus,
        bus.get_queue_receiver(site["queue"], receive_mode=mode, prefetch_count=500) as receiver,
    ):
        while messages := receiver.receive_messages(max_message_count=500, max_wait_time=1):
            found += [b"".join(message.body) for message in messages]
    return found


def _take_sqs(site: Mapping[str, str]) -> list[bytes]:
    session = boto3.Session(site["access_key_id"], site["secret_access_key"], region_name=site["region"])
    client, url = session.client("sqs", endpoint_url=site["sqs_endpoint"]), site["queue_url"]
    found: list[bytes] = []
    while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [message["Body"].encode() for message in messages]
        receipts = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(messages)]
        client.delete_message_batch(QueueUrl=url, Entries=receipts)
    return found


def _without_heartbeats(bodies: Iterable[bytes]) -> list[bytes]:
    return [body for body in bodies if b'"_bridge/' not in body]
