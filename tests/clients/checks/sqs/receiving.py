"""Receiving: long polls, visibility, what a message tells of itself."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.parse

from harness import check, equal

from .world import World, refused


@check
def receive_parameters_are_checked(world: World) -> None:
    """[Recorded] ReceiveMessage: messages for MaxNumberOfMessages and WaitTimeSeconds."""
    url = world.queue()
    for value in (0, 11, -1):
        refused(
            "InvalidParameterValue",
            world.sqs.receive_message,
            QueueUrl=url,
            MaxNumberOfMessages=value,
            message=f"Value {value} for parameter MaxNumberOfMessages is invalid. "
            "Reason: Must be between 1 and 10, if provided.",
        )
    for value in (21, -1):
        refused(
            "InvalidParameterValue",
            world.sqs.receive_message,
            QueueUrl=url,
            WaitTimeSeconds=value,
            message=f"Value {value} for parameter WaitTimeSeconds is invalid. "
            "Reason: Must be >= 0 and <= 20, if provided.",
        )
    for value in (43201, -1):
        refused("InvalidParameterValue", world.sqs.receive_message, QueueUrl=url, VisibilityTimeout=value)
    refused("InvalidAttributeName", world.sqs.receive_message, QueueUrl=url, MessageSystemAttributeNames=["Colour"])


@check
def system_attributes_tell_a_messages_story(world: World) -> None:
    """[API] ReceiveMessage, MessageSystemAttributeNames; AttributeNames means the same."""
    url = world.queue()
    before = time.time() * 1000
    world.send(url, "x", MessageGroupId="tenant")
    first = world.receive(url, 1, MessageSystemAttributeNames=["All"], VisibilityTimeout=0)[0]["Attributes"]
    equal(
        set(first),
        {"ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", "MessageGroupId", "SenderId", "SentTimestamp"},
    )
    equal((first["ApproximateReceiveCount"], first["MessageGroupId"]), ("1", "tenant"))
    assert (
        before - 5000 < int(first["SentTimestamp"]) <= int(first["ApproximateFirstReceiveTimestamp"]) < before + 60000
    )
    time.sleep(0.05)
    second = world.receive(url, 1, AttributeNames=["All"], VisibilityTimeout=0)[0]["Attributes"]
    equal(second, {**first, "ApproximateReceiveCount": "2"})
    some = world.receive(
        url,
        1,
        AttributeNames=["SentTimestamp"],
        VisibilityTimeout=0,
        MessageSystemAttributeNames=["ApproximateReceiveCount"],
    )[0]["Attributes"]
    equal(some, {"SentTimestamp": first["SentTimestamp"], "ApproximateReceiveCount": "3"})
    assert "Attributes" not in world.receive(url, 1)[0]


@check
def an_empty_queue_answers_without_a_list(world: World) -> None:
    """[Recorded] ReceiveMessage on an empty queue: no Messages at all."""
    assert "Messages" not in world.sqs.receive_message(QueueUrl=world.queue())


@check
def a_long_poll_waits_its_time_and_wakes_on_a_message(world: World) -> None:
    """[Guide] Short and long polling: WaitTimeSeconds, or the queue's ReceiveMessageWaitTimeSeconds."""
    url = world.queue()
    start = time.monotonic()
    equal(world.bodies(url, WaitTimeSeconds=1), [])
    assert 0.95 < time.monotonic() - start < 3, time.monotonic() - start
    threading.Timer(0.5, lambda: world.send(url, "arrived")).start()
    start = time.monotonic()
    equal(world.bodies(url, WaitTimeSeconds=20), ["arrived"])
    assert 0.45 < time.monotonic() - start < 5, time.monotonic() - start
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes={"ReceiveMessageWaitTimeSeconds": "1"})
    start = time.monotonic()
    equal(world.bodies(url), [])
    assert time.monotonic() - start > 0.95
    start = time.monotonic()
    equal(world.bodies(url, WaitTimeSeconds=0), [])
    assert time.monotonic() - start < 0.9


@check
def a_long_poll_wakes_when_another_receivers_lease_ends(world: World) -> None:
    """[Guide] Visibility timeout: the message becomes visible to all when the timeout ends, also to those who wait
    already.
    """
    url = world.queue()
    results = []

    def receiver():
        return results.append((world.bodies(url, 1, WaitTimeSeconds=10, VisibilityTimeout=1), time.monotonic()))

    threads = [threading.Thread(target=receiver) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    start = time.monotonic()
    world.send(url, "twice")
    for thread in threads:
        thread.join()
    equal([bodies for bodies, _ in results], [["twice"], ["twice"]])
    assert results[0][1] - start < 0.9 < results[1][1] - start < 5, [when - start for _, when in results]


@check
def every_long_poll_gets_its_message(world: World) -> None:
    """[Guide] Short and long polling: ten receivers wait, ten messages come; nobody is left out."""
    url = world.queue()
    results = []

    def receiver():
        return results.extend(world.bodies(url, 1, WaitTimeSeconds=10))

    threads = [threading.Thread(target=receiver) for _ in range(10)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    start = time.monotonic()
    world.sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(10)])
    for thread in threads:
        thread.join()
    equal(sorted(results), [str(number) for number in range(10)])
    assert time.monotonic() - start < 5


@check
def a_receiver_that_hangs_up_takes_no_message_along(world: World) -> None:
    """[Ours] A closed connection cannot receive: the message goes to the next receiver at once, not after its
    visibility timeout.
    """
    url = world.queue()
    address = urllib.parse.urlsplit(world.site["sqs_endpoint"])
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for _ in range(3):
        connection = http.client.HTTPConnection(address.hostname, address.port)
        body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20})
        credential = f"{world.site['access_key_id']}/{now[:8]}/{world.site['region']}/sqs/aws4_request"
        connection.request(
            "POST",
            "/",
            body,
            {
                "X-Amz-Target": "AmazonSQS.ReceiveMessage",
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Date": now,
                "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00",
            },
        )
        time.sleep(0.2)
        connection.close()
    time.sleep(0.2)
    world.send(url, "kept")
    equal(world.bodies(url, WaitTimeSeconds=1), ["kept"])


@check
def a_message_is_hidden_for_its_visibility_timeout(world: World) -> None:
    """[Guide] Visibility timeout; counted as not visible meanwhile, with a new receipt handle and a greater count
    after.
    """
    url = world.queue(VisibilityTimeout="1")
    world.send(url, "x")
    first = world.receive(url, 1)[0]
    equal(world.counts(url), (0, 1, 0))
    equal(world.bodies(url), [])
    second = world.receive(url, 1, WaitTimeSeconds=3, MessageSystemAttributeNames=["ApproximateReceiveCount"])[0]
    equal(second["MessageId"], first["MessageId"])
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    equal(second["Attributes"]["ApproximateReceiveCount"], "2")
