"""Deleting, and changing visibility."""

from __future__ import annotations

import time

from harness import check, equal

from .world import World, refused


@check
def deleting_is_idempotent(world: World) -> None:
    """[API] DeleteMessage. [Recorded] deleting again is success."""
    url = world.queue()
    world.send(url, "x")
    handle = world.receive(url, 1)[0]["ReceiptHandle"]
    for _ in range(3):
        world.sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    equal(world.counts(url), (0, 0, 0))


@check
def a_garbage_receipt_handle_is_refused(world: World) -> None:
    """[Recorded] DeleteMessage and ChangeMessageVisibility: ReceiptHandleIsInvalid and its message. [Model] HTTP
    404.
    """
    url = world.queue()
    message = 'The input receipt handle "garbage" is not a valid receipt handle.'
    refused(
        "ReceiptHandleIsInvalid",
        world.sqs.delete_message,
        status=404,
        QueueUrl=url,
        ReceiptHandle="garbage",
        message=message,
    )
    refused(
        "ReceiptHandleIsInvalid",
        world.sqs.change_message_visibility,
        status=404,
        QueueUrl=url,
        ReceiptHandle="garbage",
        VisibilityTimeout=1,
        message=message,
    )
    entry = {"Id": "a", "ReceiptHandle": "garbage"}
    for answer in (
        world.sqs.delete_message_batch(QueueUrl=url, Entries=[entry]),
        world.sqs.change_message_visibility_batch(QueueUrl=url, Entries=[{**entry, "VisibilityTimeout": 1}]),
    ):
        equal(
            answer["Failed"], [{"Id": "a", "SenderFault": True, "Code": "ReceiptHandleIsInvalid", "Message": message}]
        )
        assert "Successful" not in answer
    other = world.queue()
    world.send(other, "x")
    handle = world.receive(other, 1)[0]["ReceiptHandle"]
    refused("ReceiptHandleIsInvalid", world.sqs.delete_message, status=404, QueueUrl=url, ReceiptHandle=handle)


@check
def a_lapsed_lease_still_deletes_from_a_standard_queue(world: World) -> None:
    """[Recorded] DeleteMessage after the visibility timeout, before the message is received again."""
    url = world.queue(VisibilityTimeout="1")
    world.send(url, "x")
    handle = world.receive(url, 1)[0]["ReceiptHandle"]
    time.sleep(1.2)
    equal(world.counts(url), (1, 0, 0))
    world.sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    equal(world.counts(url), (0, 0, 0))


@check
def an_old_receipt_handle_deletes_nothing_but_succeeds(world: World) -> None:
    """[API] DeleteMessage: with an old handle the request succeeds, 'but the message might not be deleted'."""
    url = world.queue()
    world.send(url, "x")
    old = world.receive(url, 1, VisibilityTimeout=0)[0]["ReceiptHandle"]
    world.receive(url, 1)
    world.sqs.delete_message(QueueUrl=url, ReceiptHandle=old)
    equal(world.counts(url), (0, 1, 0))


@check
def visibility_can_be_changed(world: World) -> None:
    """[API] ChangeMessageVisibility: counts from the call, 0 shows at once, not kept for the next receive."""
    url = world.queue()
    world.send(url, "x")
    handle = world.receive(url, 1)[0]["ReceiptHandle"]

    def change(seconds: int) -> object:
        return world.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds)

    change(1)
    equal(world.bodies(url), [])
    message = world.receive(url, 1, WaitTimeSeconds=3)[0]
    handle = message["ReceiptHandle"]
    change(0)
    equal(world.bodies(url), ["x"])
    for seconds in (-1, 43201):
        refused("InvalidParameterValue", change, seconds=seconds)


@check
def visibility_can_be_changed_in_batches(world: World) -> None:
    """[API] ChangeMessageVisibilityBatch: one outcome per entry."""
    url = world.queue()
    world.sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(3)])
    entries = [
        {"Id": message["Body"], "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
        for message in world.receive(url)
    ]
    entries[2]["VisibilityTimeout"] = 99999
    answer = world.sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)
    equal([entry["Id"] for entry in answer["Successful"]], ["0", "1"])
    equal([(entry["Id"], entry["Code"]) for entry in answer["Failed"]], [("2", "InvalidParameterValue")])
    equal(sorted(world.bodies(url)), ["0", "1"])


@check
def visibility_of_a_deleted_message_cannot_be_changed(world: World) -> None:
    """[Recorded] ChangeMessageVisibility after DeleteMessage: code and message."""
    url = world.queue()
    world.send(url, "x")
    handle = world.receive(url, 1)[0]["ReceiptHandle"]
    world.sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    refused(
        "InvalidParameterValue",
        world.sqs.change_message_visibility,
        QueueUrl=url,
        ReceiptHandle=handle,
        VisibilityTimeout=9,
        message=f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not "
        "available for visibility timeout change.",
    )


@check
def visibility_can_be_changed_after_the_lease_lapsed(world: World) -> None:
    """[Recorded] ChangeMessageVisibility on a standard queue after the visibility timeout: HTTP 200."""
    url = world.queue(VisibilityTimeout="1")
    world.send(url, "x")
    handle = world.receive(url, 1)[0]["ReceiptHandle"]
    time.sleep(1.2)
    world.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=2)


@check
def a_batch_delete_deletes_what_it_can(world: World) -> None:
    """[API] DeleteMessageBatch: one outcome per entry."""
    url = world.queue()
    world.sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(10)])
    entries = [{"Id": message["Body"], "ReceiptHandle": message["ReceiptHandle"]} for message in world.receive(url)]
    entries[4]["ReceiptHandle"] = "garbage"
    answer = world.sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    equal(len(answer["Successful"]), 9)
    equal([entry["Id"] for entry in answer["Failed"]], [entries[4]["Id"]])
    equal(world.counts(url), (0, 1, 0))
