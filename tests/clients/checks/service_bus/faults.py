"""Faults on purpose, and what the official client makes of them."""

from __future__ import annotations

import time

from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError, ServiceBusServerBusyError

from harness import check, equal

from .world import World, one, refused

ALONE = True


@check
def throttling_is_the_services_own_word_and_the_client_gets_through(world: World) -> None:
    """A busy service says com.microsoft:server-busy.

    [Guide] Service Bus messaging exceptions: ServerBusy. [Client] with its retries on, the client gets through.
    """
    queue = world.queue()
    world.admin.fault(operation="send", kind="throttle", count=1)
    refused(ServiceBusServerBusyError, world.send, queue, "x")
    equal(world.counts(queue)[0], 0)
    world.admin.fault(operation="send", kind="throttle", retry_after="100ms", count=1)
    options = {"retry_total": 3, "retry_backoff_factor": 0.1}
    patient = ServiceBusClient.from_connection_string(world.connection_string, **options)
    with patient, patient.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("x"))
    equal(world.counts(queue)[0], 1)


@check
def an_error_after_the_effect_leaves_the_message(world: World) -> None:
    """[Ours] A send fails before or after its effect; only the queue can tell which."""
    for when, count in (("before", 0), ("after", 1)):
        queue = world.queue()
        world.admin.fault(operation="send", kind="error", when=when, count=1)
        refused_somehow(world, queue)
        equal(world.counts(queue)[0], count, when)


@check
def a_dropped_connection_loses_the_answer(world: World) -> None:
    """[Ours] A connection is dropped before or after the effect, as a network does."""
    for when, count in (("before", 0), ("after", 1)):
        queue = world.queue()
        world.admin.fault(operation="send", kind="drop", when=when, count=1)
        refused_somehow(world, queue)
        equal(world.counts(queue)[0], count, when)


@check
def a_dark_service_comes_back_with_its_messages(world: World) -> None:
    """[Ours] A dark service answers nobody, as in an outage, and forgets nothing."""
    queue = world.queue()
    world.send(queue, "kept")
    world.admin.fault(kind="dark", **{"for": "700ms"})
    refused_somehow(world, queue)
    time.sleep(0.8)
    world.bus = world.connect()
    equal(str(one(world.receiver(queue))), "kept")


@check
def a_settlement_can_be_lost(world: World) -> None:
    """[Ours] A complete that fails before its effect leaves the message, which comes again."""
    queue = world.fleeting()
    world.send(queue, "x")
    world.admin.fault(operation="settle", kind="error", count=1)
    receiver = world.receiver(queue)
    try:
        receiver.complete_message(one(receiver))
    except (ServiceBusError, MessageLockLostError):
        equal(one(world.receiver(queue)).delivery_count, 1)
        return
    raise AssertionError("expected the settlement to fail")


def refused_somehow(world: World, queue: str) -> None:
    try:
        world.send(queue, "x")
    except ServiceBusError:
        return
    raise AssertionError("expected the send to fail, but it succeeded")
