"""The Service Bus trigger of the Functions host: receives under a lock, invokes, completes or abandons."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from azure.servicebus import AutoLockRenewer, ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus.exceptions import ServiceBusError

from hosts.counts import Counts
from hosts.function_package import Package
from hosts.function_payload import NotText, Received, one
from hosts.functions_host import FunctionsHost

WAIT_SECONDS = 0.5
"""One receive; short, so that a player ends soon after it is told to."""
REST_SECONDS = 0.5
"""After a connection that failed."""


class ServiceBusTrigger:
    """The trigger of the function that has one, with as many calls at the same time as host.json says."""

    def __init__(
        self,
        package: Package,
        settings: Mapping[str, str],
        host: FunctionsHost,
        counts: Counts,
        calls: int | None = None,
    ) -> None:
        self._trigger = package.trigger("serviceBusTrigger")
        if self._trigger.members.get("cardinality", "one") != "one":
            raise NotImplementedError("the trigger's cardinality must be one")
        self._connection = settings[self._trigger.members["connection"]]
        self._queue = self._trigger.members["queueName"]
        self._data_type = self._trigger.members.get("dataType", "string")
        self._renewal_seconds_max = package.renewal_seconds_max
        self._calls = calls or package.concurrent_calls_max
        self._host = host
        self._counts = counts

    def run(self, stop: threading.Event) -> None:
        """Works until `stop`."""
        lanes = [threading.Thread(target=self._lane, args=(stop,), daemon=True) for _ in range(self._calls)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()

    def payload(self, message: ServiceBusReceivedMessage) -> bytes:
        """The invocation of one message."""
        return one(self._trigger.function, self._trigger.binding, self._data_type, received(message))

    def _lane(self, stop: threading.Event) -> None:
        """One call at a time, over a connection of its own. A broker that is away is asked again."""
        while not stop.is_set():
            try:
                with (
                    ServiceBusClient.from_connection_string(self._connection, retry_total=0) as client,
                    client.get_queue_receiver(self._queue) as receiver,
                    AutoLockRenewer(max_lock_renewal_duration=self._renewal_seconds_max) as renewer,
                ):
                    while not stop.is_set():
                        for message in receiver.receive_messages(max_message_count=1, max_wait_time=WAIT_SECONDS):
                            renewer.register(receiver, message)
                            self._deliver(receiver, message)
            except (ServiceBusError, OSError, ValueError) as error:
                # The client raises a ValueError for a connection that ended while it was being opened.
                self._counts.add("broker_errors")
                self._counts.add(f"broker_errors_{type(error).__name__}")
                stop.wait(REST_SECONDS)

    def _deliver(self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> None:
        try:
            completed = self._host.invoke(self._trigger.function, self.payload(message)).completed
        except NotText:
            self._counts.add("failures")
            completed = False
        if completed:
            receiver.complete_message(message)
            self._counts.add("completed")
        else:
            receiver.abandon_message(message)
            self._counts.add("abandoned")


def received(message: ServiceBusReceivedMessage) -> Received:
    """The message in .NET's terms."""
    enqueued, expires = message.enqueued_time_utc, message.expires_at_utc
    assert enqueued is not None
    return Received(
        body=b"".join(message.body),
        message_id=message.message_id,
        delivery_count=(message.delivery_count or 0) + 1,
        enqueued=enqueued,
        expires=expires or enqueued,
        lock_token=str(message.lock_token),
        sequence_number=message.sequence_number or 0,
        content_type=message.content_type,
        subject=message.subject,
        correlation_id=message.correlation_id,
        session_id=message.session_id,
        partition_key=message.partition_key,
        reply_to=message.reply_to,
        to=message.to,
        application_properties={_plain(name): _plain(value) for name, value in _properties(message).items()},
    )


def _properties(message: ServiceBusReceivedMessage) -> Mapping[Any, Any]:
    return message.application_properties or {}


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
