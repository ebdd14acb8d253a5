"""Settling: complete, abandon, defer, renew, and what a lost lock means."""

from __future__ import annotations

import time
from datetime import timedelta
from unittest.mock import patch

from azure.servicebus.exceptions import MessageLockLostError

from harness import check, equal

from .world import LOCK_SECONDS, World, nothing, one, refused, some, text_of


@check
def a_completed_message_is_gone(world: World) -> None:
    """Complete removes the message for good.

    [Guide] Message transfers, locks, and settlement.
    """
    queue = world.fleeting()
    world.send(queue, "x")
    receiver = world.receiver(queue)
    receiver.complete_message(one(receiver))
    time.sleep(LOCK_SECONDS + 0.2)
    nothing(receiver)
    equal(world.counts(queue), (0, 0, 0))


@check
def an_abandoned_message_comes_again_at_once(world: World) -> None:
    """Abandon gives the message back before its lock ends; its delivery count grows.

    [Guide] Message transfers, locks, and settlement.
    """
    queue = world.queue()
    world.send(queue, "x", application_properties={"kept": "yes"})
    receiver = world.receiver(queue)
    for count in range(3):
        message = one(receiver)
        equal((message.delivery_count, text_of(message.application_properties)), (count, {"kept": "yes"}))
        receiver.abandon_message(message)


@check
def a_deferred_message_comes_only_to_who_asks_by_number(world: World) -> None:
    """Defer sets a message aside; it is received by its sequence number, and then settled like any other.

    [Guide] Message deferral.
    """
    queue = world.queue()
    world.send(queue, "aside", "next")
    receiver = world.receiver(queue)
    message = one(receiver)
    receiver.defer_message(message)
    equal(str(one(receiver)), "next")
    nothing(receiver)
    back = receiver.receive_deferred_messages([message.sequence_number])
    equal([(str(found), found.sequence_number) for found in back], [("aside", message.sequence_number)])
    receiver.complete_message(back[0])
    equal([str(left) for left in receiver.peek_messages(max_message_count=10, sequence_number=1)], ["next"])


@check
def a_renewed_lock_lasts_longer(world: World) -> None:
    """Renewing starts the lock anew; the message stays hidden past its first end, and can be completed then.

    [Guide] Message transfers, locks, and settlement, renew locks.
    """
    queue = world.fleeting()
    world.send(queue, "x")
    receiver = world.receiver(queue)
    message = one(receiver)
    first = message.locked_until_utc
    time.sleep(LOCK_SECONDS * 0.7)
    until = receiver.renew_message_lock(message)
    assert until > first + timedelta(seconds=LOCK_SECONDS * 0.5), (first, until)
    time.sleep(LOCK_SECONDS * 0.6)
    receiver.complete_message(message)
    equal(world.counts(queue), (0, 0, 0))


@check
def a_lost_lock_settles_nothing(world: World) -> None:
    """After the lock has ended, complete and renew are refused, and the message belongs to the next receiver.

    [Guide] Service Bus messaging exceptions: MessageLockLost.
    """
    queue = world.fleeting()
    world.send(queue, "a", "b")
    receiver = world.receiver(queue)
    completed, renewed = some(receiver, 2)
    time.sleep(LOCK_SECONDS + 0.2)
    # The client would refuse by its own clock; that one stands still here, so that the service is asked.
    with patch("azure.servicebus._common.message.utc_now", return_value=completed.enqueued_time_utc):
        refused(MessageLockLostError, receiver.complete_message, completed)
        refused(MessageLockLostError, receiver.renew_message_lock, renewed)
    equal(sorted(str(message) for message in some(receiver, 2)), ["a", "b"])
