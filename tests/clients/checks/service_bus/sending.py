"""Sending: what comes back, how large it may be, batches."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessageSizeExceededError

from harness import check, equal

from .world import World, one, refused, some, text_of


@check
def a_message_comes_back_as_it_was_sent(world: World) -> None:
    """Body and broker properties arrive as sent, and the service adds number, time and count.

    [Guide] Messages, payloads, and serialization.
    """
    queue = world.queue()
    sent = {
        "message_id": "id-1",
        "subject": "order",
        "correlation_id": "correlation",
        "content_type": "application/json",
        "reply_to": "answers",
        "to": "there",
        "time_to_live": timedelta(hours=1),
    }
    before = datetime.now(UTC)
    world.send(queue, '{"text": "äöü € 𝄞"}', **sent)
    message = one(world.receiver(queue))
    equal(str(message), '{"text": "äöü € 𝄞"}')
    equal({name: getattr(message, name) for name in sent}, sent)
    equal((message.delivery_count, message.sequence_number > 0), (0, True))
    assert abs(message.enqueued_time_utc - before) < timedelta(seconds=5), message.enqueued_time_utc


@check
def bytes_come_back_as_bytes(world: World) -> None:
    """A body is a sequence of bytes that the service does not look into.

    [Guide] Messages, payloads, and serialization.
    """
    queue = world.queue()
    body = bytes(range(256)) * 10
    world.sender(queue).send_messages(ServiceBusMessage(body))
    equal(b"".join(one(world.receiver(queue)).body), body)


@check
def application_properties_keep_their_types(world: World) -> None:
    """Numbers, truth values, texts, UUIDs, times and nulls in application properties arrive with their types.

    [Guide] AMQP 1.0 in Azure Service Bus and Event Hubs protocol guide, application properties.
    """
    queue = world.queue()
    properties = {
        "int": 1,
        "large": 2**30,
        "float": 1.5,
        "true": True,
        "text": "ä",
        "uuid": uuid.uuid4(),
        "null": None,
    }
    world.send(queue, "x", application_properties=properties)
    equal(text_of(one(world.receiver(queue)).application_properties), properties)


@check
def a_batch_arrives_whole_and_in_order(world: World) -> None:
    """A batch is one transfer and many messages, each with its own number and id.

    [API] ServiceBusSender.create_message_batch; AMQP protocol guide, message format 0x80013700.
    """
    queue = world.queue()
    sender = world.sender(queue)
    batch = sender.create_message_batch()
    for number in range(20):
        batch.add_message(ServiceBusMessage(str(number), message_id=f"id-{number}"))
    sender.send_messages(batch)
    messages = some(world.receiver(queue), 20)
    equal([(str(message), message.message_id) for message in messages], [(str(n), f"id-{n}") for n in range(20)])
    equal(len({message.sequence_number for message in messages}), 20, "sequence numbers")


@check
def a_message_of_256_kb_passes_and_a_larger_one_is_refused(world: World) -> None:
    """On the standard tier a message has at most 256 KB, its properties included.

    [Guide] Service Bus quotas, message size.
    """
    queue = world.queue()
    world.send(queue, "x" * 260_000)
    equal(str(one(world.receiver(queue))), "x" * 260_000)
    refused(MessageSizeExceededError, world.send, queue, "x" * 262_144)
    equal(world.counts(queue)[0], 1)


@check
def a_repeated_id_is_dropped_where_duplicates_are_detected(world: World) -> None:
    """With duplicate detection on, a second message of one id is accepted and dropped; off, it stays.

    [Guide] Duplicate detection.
    """
    for detects, count in ((True, 2), (False, 3)):
        queue = world.queue(requires_duplicate_detection=detects)
        for body, name in (("first", "a"), ("second", "a"), ("third", "b")):
            world.send(queue, body, message_id=name)
        equal(world.counts(queue)[0], count, f"duplicate detection {detects}")
