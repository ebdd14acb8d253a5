"""Dead-letter queues, and the way back from them."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid

from harness import check, equal

from .world import World, refused, text


@check
def a_message_received_too_often_goes_to_the_dead_letter_queue(world: World) -> None:
    """[API] CreateQueue, RedrivePolicy. [Recorded] id, attributes and count go along; DeadLetterQueueSourceArn is
    added.
    """
    dead = world.queue()
    url = world.queue(
        RedrivePolicy={"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 2}, VisibilityTimeout="0"
    )
    attributes = {"a": {"DataType": "String", "StringValue": "b"}}
    sent = world.send(url, "poison", MessageAttributes=attributes)
    for _ in range(2):
        equal(world.bodies(url), ["poison"])
    equal(world.counts(dead), (0, 0, 0), "it moves on the receive that would exceed the count")
    equal(world.bodies(url), [])
    letter = world.receive(dead, 1, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"])[0]
    equal((letter["MessageId"], letter["Body"], letter["MessageAttributes"]), (sent["MessageId"], "poison", attributes))
    equal(letter["Attributes"]["ApproximateReceiveCount"], "3")
    equal(letter["Attributes"]["DeadLetterQueueSourceArn"], world.arn(url))


@check
def a_receiver_that_waits_on_the_dead_letter_queue_is_woken(world: World) -> None:
    """[Guide] Short and long polling, on a dead-letter queue."""
    dead = world.queue()
    url = world.queue(
        RedrivePolicy={"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 1}, VisibilityTimeout="0"
    )
    world.send(url, "poison")
    world.bodies(url)
    threading.Timer(0.4, lambda: world.bodies(url)).start()
    start = time.monotonic()
    equal(world.bodies(dead, WaitTimeSeconds=10), ["poison"])
    assert time.monotonic() - start < 5


@check
def redrive_policies_are_checked(world: World) -> None:
    """[Guide] Dead-letter queues: same type, target exists. [Recorded] InvalidParameterValue; an empty text removes
    it.
    """
    url = world.queue()
    arn = world.arn(world.queue())
    fifo = world.arn(world.fifo())
    for policy in (
        {"deadLetterTargetArn": arn},
        {"maxReceiveCount": "1"},
        {"deadLetterTargetArn": arn, "maxReceiveCount": "x"},
        {"deadLetterTargetArn": arn, "maxReceiveCount": 0},
        {"deadLetterTargetArn": arn, "maxReceiveCount": 1001},
        {"deadLetterTargetArn": arn + "-not-there", "maxReceiveCount": 1},
        {"deadLetterTargetArn": fifo, "maxReceiveCount": 1},
        "not json",
    ):
        refused(
            "InvalidParameterValue",
            world.sqs.set_queue_attributes,
            QueueUrl=url,
            Attributes=text({"RedrivePolicy": policy}),
        )
    world.sqs.set_queue_attributes(
        QueueUrl=url, Attributes=text({"RedrivePolicy": {"deadLetterTargetArn": arn, "maxReceiveCount": "42"}})
    )
    equal(json.loads(world.attribute(url, "RedrivePolicy"))["deadLetterTargetArn"], arn)
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    equal(world.attribute(url, "RedrivePolicy"), None)


@check
def a_dead_letter_queue_decides_who_may_use_it(world: World) -> None:
    """[API] SetQueueAttributes, RedriveAllowPolicy."""
    dead = world.queue(RedriveAllowPolicy={"redrivePermission": "denyAll"})
    policy = text({"RedrivePolicy": {"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 1}})
    url = world.queue()
    refused("InvalidParameterValue", world.sqs.set_queue_attributes, QueueUrl=url, Attributes=policy)
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [world.arn(url)]}
    world.sqs.set_queue_attributes(QueueUrl=dead, Attributes=text({"RedriveAllowPolicy": allow}))
    equal(json.loads(world.attribute(dead, "RedriveAllowPolicy")), allow)
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes=policy)


@check
def the_sources_of_a_dead_letter_queue_are_listed(world: World) -> None:
    """[API] ListDeadLetterSourceQueues."""
    dead = world.queue()
    equal(world.sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"], [])
    policy = {"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 1}
    urls = sorted(world.queue(RedrivePolicy=policy) for _ in range(3))
    equal(sorted(world.sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"]), urls)
    page = world.sqs.list_dead_letter_source_queues(QueueUrl=dead, MaxResults=2)
    rest = world.sqs.list_dead_letter_source_queues(QueueUrl=dead, MaxResults=2, NextToken=page["NextToken"])
    equal(sorted(page["queueUrls"] + rest["queueUrls"]), urls)
    assert "NextToken" not in rest


def wait_for_task(world: World, arn: str) -> dict[str, object]:
    for _ in range(100):
        task = world.sqs.list_message_move_tasks(SourceArn=arn)["Results"][0]
        if task["Status"] not in ("RUNNING", "CANCELLING"):
            return task
        time.sleep(0.1)
    raise AssertionError(f"the task did not end: {task}")


@check
def dead_letters_can_be_moved_back(world: World) -> None:
    """[API] StartMessageMoveTask without a destination: to the original source.

    [Guide] Dead-letter queue redrive: a new message id. [Recorded] the finished task as listed.
    """
    dead = world.queue()
    url = world.queue(
        RedrivePolicy={"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 1}, VisibilityTimeout="0"
    )
    sent = {body: world.send(url, body)["MessageId"] for body in "abc"}
    world.bodies(url)
    world.bodies(url)
    equal(world.counts(dead), (3, 0, 0))
    started = world.sqs.start_message_move_task(SourceArn=world.arn(dead))
    assert started["TaskHandle"]
    task = wait_for_task(world, world.arn(dead))
    equal(
        (task["Status"], task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"]),
        ("COMPLETED", 3, 3),
    )
    assert "TaskHandle" not in task and "DestinationArn" not in task
    equal(world.counts(dead), (0, 0, 0))
    moved = {m["Body"]: m for m in world.receive(url, MessageSystemAttributeNames=["All"])}
    equal(sorted(moved), ["a", "b", "c"])
    for body, message in moved.items():
        equal(message["Attributes"]["ApproximateReceiveCount"], "1")
        assert message["MessageId"] != sent[body]


@check
def a_move_task_can_be_slow_and_be_cancelled(world: World) -> None:
    """[API] StartMessageMoveTask, MaxNumberOfMessagesPerSecond; CancelMessageMoveTask; one task at a time."""
    dead = world.queue()
    world.queue(RedrivePolicy={"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 1})
    target = world.queue()
    world.sqs.send_message_batch(QueueUrl=dead, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(10)])
    start = {"SourceArn": world.arn(dead), "DestinationArn": world.arn(target), "MaxNumberOfMessagesPerSecond": 2}
    handle = world.sqs.start_message_move_task(**start)["TaskHandle"]
    refused(
        "InvalidParameterValue",
        world.sqs.start_message_move_task,
        **start,
        message="There is already a task running. "
        "Only one active task is allowed for a source queue arn at a given time.",
    )
    time.sleep(1.2)
    task = world.sqs.list_message_move_tasks(SourceArn=world.arn(dead))["Results"][0]
    equal((task["Status"], task["TaskHandle"], task["MaxNumberOfMessagesPerSecond"]), ("RUNNING", handle, 2))
    moved = world.sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
    assert 1 <= moved <= 5, moved
    equal(wait_for_task(world, world.arn(dead))["Status"], "CANCELLED")
    equal(world.counts(target)[0] + world.counts(dead)[0], 10)


@check
def move_tasks_are_checked(world: World) -> None:
    """[Recorded] StartMessageMoveTask and CancelMessageMoveTask: codes and messages."""
    url, dead = world.queue(), world.queue()
    refused(
        "InvalidParameterValue",
        world.sqs.start_message_move_task,
        SourceArn=world.arn(dead),
        message="Source queue must be configured as a Dead Letter Queue.",
    )
    world.sqs.set_queue_attributes(
        QueueUrl=url, Attributes=text({"RedrivePolicy": {"deadLetterTargetArn": world.arn(dead), "maxReceiveCount": 1}})
    )
    refused(
        "ResourceNotFoundException",
        world.sqs.start_message_move_task,
        status=404,
        SourceArn=world.arn(dead),
        DestinationArn=world.arn(url) + "-not-there",
        message="The resource that you specified for the DestinationArn parameter doesn't exist.",
    )
    refused(
        "InvalidParameterValue",
        world.sqs.cancel_message_move_task,
        TaskHandle="garbage",
        message="Value for parameter TaskHandle is invalid.",
    )

    def handle(arn: str) -> str:
        return base64.b64encode(json.dumps({"taskId": str(uuid.uuid4()), "sourceArn": arn}).encode()).decode()

    refused(
        "ResourceNotFoundException",
        world.sqs.cancel_message_move_task,
        status=404,
        TaskHandle=handle(world.arn(dead)),
        message="Task does not exist.",
    )
    refused(
        "ResourceNotFoundException",
        world.sqs.cancel_message_move_task,
        status=404,
        TaskHandle=handle(world.arn(dead) + "-not-there"),
        message="The resource that you specified for the SourceArn parameter doesn't exist.",
    )
