"""Receiving: locks, order, the two modes, many receivers, looking without taking."""

from __future__ import annotations

import threading
import time

from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode

from harness import check, equal

from .world import LOCK_SECONDS, PATIENCE, World, nothing, one, some


@check
def a_locked_message_is_hidden_until_its_lock_ends(world: World) -> None:
    """A lock hides the message from all others; when it ends, the message comes again and its count grows.

    [Guide] Message transfers, locks, and settlement, peek-lock.
    """
    queue = world.fleeting()
    world.send(queue, "x")
    first = one(world.receiver(queue))
    other = world.receiver(queue)
    nothing(other)
    start = time.monotonic()
    second = one(other)
    assert time.monotonic() - start < LOCK_SECONDS + 3, "it came too late"
    equal((second.sequence_number, first.delivery_count, second.delivery_count), (first.sequence_number, 0, 1))
    assert first.lock_token != second.lock_token, "a lock has a token of its own"


@check
def a_lock_lasts_as_long_as_the_queue_says(world: World) -> None:
    """LockedUntil is the receive plus the queue's lock duration.

    [Guide] Message transfers, locks, and settlement.
    """
    queue = world.fleeting()
    world.send(queue, "x")
    message = one(world.receiver(queue))
    left = message.locked_until_utc.timestamp() - time.time()
    assert 0 < left <= LOCK_SECONDS, f"{left} s left"


@check
def messages_come_in_the_order_of_their_numbers(world: World) -> None:
    """Sequence numbers increase, and one receiver gets the messages in their order.

    [Guide] Message sequencing and timestamps.
    """
    queue = world.queue()
    world.send(queue, *map(str, range(50)))
    messages = some(world.receiver(queue, prefetch_count=50), 50)
    equal([str(message) for message in messages], [str(number) for number in range(50)])
    numbers = [message.sequence_number for message in messages]
    equal(numbers, sorted(set(numbers)))


@check
def receive_and_delete_leaves_nothing(world: World) -> None:
    """In this mode a delivered message is gone; there is no lock to lose.

    [Guide] Message transfers, locks, and settlement, receive-and-delete.
    """
    queue = world.fleeting()
    world.send(queue, "a", "b")
    receiver = world.receiver(queue, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE)
    equal([str(message) for message in some(receiver, 2)], ["a", "b"])
    time.sleep(LOCK_SECONDS + 0.2)
    equal(world.counts(queue), (0, 0, 0))


@check
def peeking_takes_and_locks_nothing(world: World) -> None:
    """Peek shows every message from a number on, also locked and deferred ones, and leaves them as they are.

    [Guide] Message browsing.
    """
    queue = world.queue()
    world.send(queue, "a", "b", "c")
    receiver = world.receiver(queue)
    locked = one(receiver)
    seen = receiver.peek_messages(max_message_count=10, sequence_number=1)
    equal([str(message) for message in seen], ["a", "b", "c"])
    later = receiver.peek_messages(max_message_count=10, sequence_number=locked.sequence_number + 1)
    equal([str(message) for message in later], ["b", "c"])
    equal([str(message) for message in some(receiver, 2)], ["b", "c"])


@check
def a_waiting_receiver_is_woken(world: World) -> None:
    """A receiver that waits gets a message as soon as there is one.

    [API] ServiceBusReceiver.receive_messages, max_wait_time.
    """
    queue = world.queue()
    receiver, sender = world.receiver(queue), world.sender(queue)
    nothing(receiver)
    threading.Timer(0.4, lambda: sender.send_messages(ServiceBusMessage("woken"))).start()
    start = time.monotonic()
    equal(str(one(receiver)), "woken")
    took = time.monotonic() - start
    assert 0.3 < took < PATIENCE / 2, f"it took {took:.2f} s"


@check
def competing_receivers_get_each_message_once(world: World) -> None:
    """Of several receivers of one queue exactly one gets a message.

    [Guide] Service Bus queues, topics, and subscriptions: competing consumers.
    """
    queue = world.queue()
    world.sender(queue).send_messages([ServiceBusMessage(str(number)) for number in range(300)])
    got: list[str] = []

    def work() -> None:
        with world.connect() as bus, bus.get_queue_receiver(queue, max_wait_time=1) as receiver:
            for message in receiver:
                receiver.complete_message(message)
                got.append(str(message))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(sorted(got, key=int), [str(number) for number in range(300)])
    equal(world.counts(queue), (0, 0, 0))


@check
def a_receiver_that_closes_gives_back_at_once_what_it_did_not_hand_out(world: World) -> None:
    """Prefetched messages that were never handed out are released when the receiver closes, not when their locks end.

    [Client] ServiceBusReceiver.close drains and releases.
    """
    queue = world.queue()
    world.send(queue, *map(str, range(5)))
    with world.bus.get_queue_receiver(queue, prefetch_count=5) as receiver:
        receiver.complete_message(one(receiver))
    equal(len(some(world.receiver(queue), 4)), 4)
