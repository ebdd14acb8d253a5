"""Messages for later, and messages that do not live for ever."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from azure.servicebus import ServiceBusMessage

from harness import check, equal

from .world import World, nothing, one


@check
def a_scheduled_message_comes_at_its_time(world: World) -> None:
    """Scheduling answers a sequence number; the message is counted as scheduled, then becomes active.

    [Guide] Message sequencing and timestamps, scheduled messages.
    """
    queue = world.queue()
    due = datetime.now(UTC) + timedelta(seconds=2)
    numbers = world.sender(queue).schedule_messages(ServiceBusMessage("later"), due)
    equal((len(numbers), world.counts(queue)), (1, (0, 0, 1)))
    receiver = world.receiver(queue)
    nothing(receiver)
    message = one(receiver)
    late = (datetime.now(UTC) - due).total_seconds()
    assert -0.05 < late < 1, f"it came {late:.2f} s after its time"
    equal((str(message), world.counts(queue)), ("later", (1, 0, 0)))


@check
def a_message_can_carry_its_own_time(world: World) -> None:
    """A message with ScheduledEnqueueTimeUtc that is simply sent waits as well.

    [Guide] Message sequencing and timestamps, scheduled messages.
    """
    queue = world.queue()
    due = datetime.now(UTC) + timedelta(seconds=2)
    world.sender(queue).send_messages(ServiceBusMessage("later", scheduled_enqueue_time_utc=due))
    receiver = world.receiver(queue)
    nothing(receiver)
    equal(str(one(receiver)), "later")


@check
def a_scheduled_message_can_be_cancelled(world: World) -> None:
    """Cancelling takes the sequence numbers that scheduling answered.

    [Guide] Message sequencing and timestamps, scheduled messages.
    """
    queue = world.queue()
    sender = world.sender(queue)
    due = datetime.now(UTC) + timedelta(seconds=1)
    cancelled, _kept = sender.schedule_messages([ServiceBusMessage("cancelled"), ServiceBusMessage("kept")], due)
    sender.cancel_scheduled_messages(cancelled)
    equal(world.counts(queue), (0, 0, 1))
    receiver = world.receiver(queue)
    equal(str(one(receiver)), "kept")
    nothing(receiver)


@check
def a_message_dies_at_the_end_of_its_life(world: World) -> None:
    """The shorter of the message's and the queue's time to live counts.

    [Guide] Message expiration (Time to Live).
    """
    short = world.queue(default_message_time_to_live=timedelta(seconds=2))
    world.send(short, "of the queue")
    world.send(short, "longer than the queue's", time_to_live=timedelta(hours=1))
    long = world.queue(default_message_time_to_live=timedelta(hours=1))
    world.send(long, "of the message", time_to_live=timedelta(seconds=2))
    equal((world.counts(short)[0], world.counts(long)[0]), (2, 1))
    time.sleep(2.1)
    nothing(world.receiver(short))
    nothing(world.receiver(long))
