"""FIFO queues."""

from __future__ import annotations

import hashlib
import threading
import time

from harness import check, equal

from .world import World, refused


@check
def a_fifo_queue_needs_group_and_deduplication_ids(world: World) -> None:
    """[Recorded] SendMessage and SendMessageBatch without them, or with unfit ones."""
    url = world.fifo()
    no_id = (
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
    )
    no_group = "The request must contain the parameter MessageGroupId."
    refused("InvalidParameterValue", world.send, url=url, body="x", MessageGroupId="g", message=no_id)
    refused("MissingParameter", world.send, url=url, body="x", MessageDeduplicationId="d", message=no_group)
    entry = {"Id": "a", "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    for missing, message in (("MessageGroupId", no_group), ("MessageDeduplicationId", no_id)):
        bad = {name: value for name, value in entry.items() if name != missing}
        refused(
            "InvalidParameterValue",
            world.sqs.send_message_batch,
            QueueUrl=url,
            Entries=[entry, {**bad, "Id": "b"}],
            message=message,
        )
    for name in ("MessageGroupId", "MessageDeduplicationId"):
        for value in ("", "with space", "x" * 129, "\x08"):
            arguments = {"MessageGroupId": "g", "MessageDeduplicationId": "d", name: value}
            refused(
                "InvalidParameterValue",
                world.send,
                url=url,
                body="x",
                **arguments,
                message=f"Value {value} for parameter {name} is invalid. Reason: {name} can only include alphanumeric "
                "and punctuation characters. 1 to 128 in length.",
            )
    refused(
        "InvalidParameterValue",
        world.send,
        url=url,
        body="x",
        MessageGroupId="g",
        MessageDeduplicationId="d",
        DelaySeconds=2,
        message="Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter "
        "that is not valid for this queue type.",
    )
    equal(world.counts(url), (0, 0, 0))


@check
def a_standard_queue_takes_a_group_id_but_no_deduplication_id(world: World) -> None:
    """[Guide] Fair queues: MessageGroupId on standard queues. [API] MessageDeduplicationId is for FIFO queues only."""
    url = world.queue()
    world.send(url, "x", MessageGroupId="tenant")
    refused("InvalidParameterValue", world.send, url=url, body="x", MessageDeduplicationId="d")
    refused("InvalidParameterValue", world.send, url=url, body="x", MessageGroupId="with space")


@check
def groups_keep_their_order_and_wait_for_their_first(world: World) -> None:
    """[Recorded] ReceiveMessage on a FIFO queue: group by group; a group with a message in flight waits."""
    url = world.fifo(ContentBasedDeduplication="true")
    for body in ("g1-m1", "g2-m1", "g1-m2", "g1-m3"):
        world.send(url, body, MessageGroupId=body[:2])
    first = world.receive(url, 2)
    equal([message["Body"] for message in first], ["g1-m1", "g1-m2"])
    equal(world.counts(url), (2, 2, 0))
    equal(world.bodies(url), ["g2-m1"])
    world.sqs.delete_message(QueueUrl=url, ReceiptHandle=first[0]["ReceiptHandle"])
    equal(world.bodies(url), [])
    world.sqs.delete_message(QueueUrl=url, ReceiptHandle=first[1]["ReceiptHandle"])
    equal(world.bodies(url), ["g1-m3"])


@check
def a_group_comes_back_up_to_its_first_hidden_message(world: World) -> None:
    """[Recorded] ChangeMessageVisibility of one of three messages of a group."""
    for place, expected in ((0, []), (1, ["foo"]), (2, ["foo", "bar"])):
        url = world.fifo(ContentBasedDeduplication="true", VisibilityTimeout="1")
        for body in ("foo", "bar", "baz"):
            world.send(url, body, MessageGroupId="1")
        messages = world.receive(url)
        world.sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=messages[place]["ReceiptHandle"], VisibilityTimeout=30
        )
        time.sleep(1.2)
        equal(world.bodies(url), expected)


@check
def deleting_lets_a_waiting_receiver_have_the_rest_of_the_group(world: World) -> None:
    """[Guide] FIFO delivery logic, with long polling."""
    url = world.fifo(ContentBasedDeduplication="true")
    for body in ("a", "b"):
        world.send(url, body, MessageGroupId="g")
    handle = world.receive(url, 1)[0]["ReceiptHandle"]
    threading.Timer(0.4, lambda: world.sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)).start()
    start = time.monotonic()
    equal(world.bodies(url, 1, WaitTimeSeconds=10), ["b"])
    assert time.monotonic() - start < 5


@check
def a_duplicate_is_accepted_and_not_delivered(world: World) -> None:
    """[Guide] Exactly-once processing: the sender is told the first message's ids; also after its deletion."""
    url = world.fifo()

    def send(body: str, group: str) -> dict[str, str]:
        return world.send(url, body, MessageGroupId=group, MessageDeduplicationId="same")

    first = send("first", "g1")
    handle = world.receive(url, 1)[0]["ReceiptHandle"]
    world.sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    again = send("again", "g2")
    equal((again["MessageId"], again["SequenceNumber"]), (first["MessageId"], first["SequenceNumber"]))
    equal(world.counts(url), (0, 0, 0))


@check
def ids_can_count_within_their_group_only(world: World) -> None:
    """[API] CreateQueue, DeduplicationScope messageGroup."""
    url = world.fifo(DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    for group in ("g1", "g2", "g1"):
        world.send(url, group, MessageGroupId=group, MessageDeduplicationId="same")
    equal(world.bodies(url), ["g1", "g2"])
    refused(
        "InvalidAttributeValue",
        world.sqs.set_queue_attributes,
        QueueUrl=url,
        Attributes={"DeduplicationScope": "queue"},
    )


@check
def the_body_can_stand_in_for_the_deduplication_id(world: World) -> None:
    """[API] CreateQueue, ContentBasedDeduplication: SHA-256 of the body, not of the attributes."""
    url = world.fifo(ContentBasedDeduplication="true")
    world.send(url, "same", MessageGroupId="g")
    world.send(url, "same", MessageGroupId="g", MessageAttributes={"a": {"DataType": "String", "StringValue": "b"}})
    message = world.receive(url, 10, MessageSystemAttributeNames=["All"])
    equal(len(message), 1)
    equal(message[0]["Attributes"]["MessageDeduplicationId"], hashlib.sha256(b"same").hexdigest())


@check
def sequence_numbers_increase(world: World) -> None:
    """[API] SendMessage, SequenceNumber: 128 bits, increasing; the receiver is told the same."""
    url = world.fifo(ContentBasedDeduplication="true")
    sent = [world.send(url, str(number), MessageGroupId="g")["SequenceNumber"] for number in range(5)]
    equal([int(number) for number in sent], sorted({int(number) for number in sent}))
    received = world.receive(url, 10, MessageSystemAttributeNames=["SequenceNumber"])
    equal([message["Attributes"]["SequenceNumber"] for message in received], sent)


@check
def on_a_fifo_queue_a_receipt_ends_with_its_lease(world: World) -> None:
    """[Recorded] DeleteMessage on a FIFO queue after the visibility timeout."""
    url = world.fifo(ContentBasedDeduplication="true", VisibilityTimeout="1")
    world.send(url, "x", MessageGroupId="g")
    handle = world.receive(url, 1)[0]["ReceiptHandle"]
    time.sleep(1.2)
    refused(
        "InvalidParameterValue",
        world.sqs.delete_message,
        QueueUrl=url,
        ReceiptHandle=handle,
        message=f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
    )
    equal(world.bodies(url), ["x"])


@check
def a_fifo_queues_delay_is_the_queues(world: World) -> None:
    """[Recorded] SendMessage with DelaySeconds=0 on a FIFO queue with a delay: the queue's delay holds."""
    url = world.fifo(ContentBasedDeduplication="true", DelaySeconds="1")
    world.send(url, "x", MessageGroupId="g", DelaySeconds=0)
    equal(world.bodies(url), [])
    equal(world.bodies(url, WaitTimeSeconds=3), ["x"])


@check
def a_fifo_dead_letter_takes_its_own_id_for_deduplication(world: World) -> None:
    """[Guide] Dead-letter queue redrive: the deduplication id is replaced with the message's id."""
    dead = world.fifo()
    url = world.fifo(
        RedrivePolicy={"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 1}, VisibilityTimeout="0"
    )
    sent = world.send(url, "poison", MessageGroupId="g", MessageDeduplicationId="d")
    world.bodies(url)
    world.bodies(url)
    letter = world.receive(dead, 1, MessageSystemAttributeNames=["All"])[0]
    equal((letter["MessageId"], letter["Attributes"]["MessageGroupId"]), (sent["MessageId"], "g"))
    equal(letter["Attributes"]["MessageDeduplicationId"], sent["MessageId"])


@check
def a_named_receive_can_be_repeated(world: World) -> None:
    """[API] ReceiveMessage, ReceiveRequestAttemptId: the same messages and receipt handles while hidden."""
    url = world.fifo(ContentBasedDeduplication="true")
    for body in "ab":
        world.send(url, body, MessageGroupId="g")
    first = world.receive(url, ReceiveRequestAttemptId="attempt-1")
    again = world.receive(url, ReceiveRequestAttemptId="attempt-1")

    def keep(messages: list[dict[str, str]]) -> list[tuple[str, str]]:
        return [(message["Body"], message["ReceiptHandle"]) for message in messages]

    equal(keep(again), keep(first))
    equal(len(again), 2)
    equal(world.bodies(url, ReceiveRequestAttemptId="attempt-2"), [])
