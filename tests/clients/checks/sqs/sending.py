"""Sending: bodies, sizes, batches, attributes, delays."""

from __future__ import annotations

from harness import check, equal

from .world import World, attributes_md5, md5, refused


@check
def a_message_comes_back_as_it_was_sent(world: World) -> None:
    """[API] SendMessage, ReceiveMessage: MD5OfMessageBody (boto3 verifies it too), MessageId."""
    url = world.queue()
    for body in (
        "plain",
        "äöü € 𝄞 \u2028",
        "line\r\n\ttab",
        '{"a": "\\"quoted\\""}',
        "<xml/> &amp;",
        " ",
        "x" * 1_048_576,
    ):
        sent = world.send(url, body)
        equal(sent["MD5OfMessageBody"], md5(body))
        assert "SequenceNumber" not in sent
        message = world.receive(url, 1)[0]
        equal((message["MessageId"], message["Body"], message["MD5OfBody"]), (sent["MessageId"], body, md5(body)))
        world.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@check
def bodies_outside_the_allowed_characters_are_refused(world: World) -> None:
    """[API] SendMessage, MessageBody: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF."""
    url = world.queue()
    for character in ("\x00", "\x01", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff"):
        refused("InvalidMessageContents", world.send, url=url, body=f"a{character}b")
    for character in ("\t", "\n", "\r", " ", "\x7f", "\ud7ff", "\ue000", "\ufffd", "\U00010000", "\U0010ffff"):
        world.send(url, f"a{character}b")


@check
def an_empty_body_is_a_missing_parameter(world: World) -> None:
    """[Recorded] SendMessage with an empty MessageBody."""
    refused(
        "MissingParameter",
        world.send,
        url=world.queue(),
        body="",
        message="The request must contain the parameter MessageBody.",
    )


@check
def messages_over_the_limit_are_refused(world: World) -> None:
    """[Recorded] The limit is 1 MiB, or the queue's own; attributes count, names and types included."""
    url = world.queue()
    refused(
        "InvalidParameterValue",
        world.send,
        url=url,
        body="x" * 1_048_577,
        message="One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
    )
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "1024"})
    attributes = {"name": {"DataType": "String", "StringValue": "value"}}
    size = len("name" + "String" + "value")
    world.send(url, "x" * (1_024 - size), MessageAttributes=attributes)
    refused(
        "InvalidParameterValue",
        world.send,
        url=url,
        body="x" * (1_025 - size),
        MessageAttributes=attributes,
        message="One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.",
    )
    refused("InvalidParameterValue", world.send, url=url, body="é" * 513)


@check
def a_batch_has_one_outcome_per_entry(world: World) -> None:
    """[API] SendMessageBatch. [Recorded] InvalidMessageContents and oversize fail alone."""
    url = world.queue(MaximumMessageSize="1024")
    answer = world.sqs.send_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "good", "MessageBody": "1"},
            {"Id": "character", "MessageBody": "\x01"},
            {"Id": "size", "MessageBody": "x" * 1025},
            {"Id": "delay", "MessageBody": "2", "DelaySeconds": 901},
        ],
    )
    equal([entry["Id"] for entry in answer["Successful"]], ["good"])
    equal(answer["Successful"][0]["MD5OfMessageBody"], md5("1"))
    failed = {entry["Id"]: (entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]}
    equal(
        failed,
        {
            "character": ("InvalidMessageContents", True),
            "size": ("InvalidParameterValue", True),
            "delay": ("InvalidParameterValue", True),
        },
    )
    equal(world.bodies(url), ["1"])
    assert "Failed" not in world.sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "1"}])


@check
def batches_are_checked_as_a_whole(world: World) -> None:
    """[API] SendMessageBatch and the other batches: errors. [Recorded] codes and messages."""
    url = world.queue()

    def entry(name: str) -> dict[str, str]:
        return {"Id": name, "MessageBody": "x"}

    prefix = "AWS.SimpleQueueService."
    refused(prefix + "EmptyBatchRequest", world.sqs.send_message_batch, QueueUrl=url, Entries=[])
    refused(
        prefix + "TooManyEntriesInBatchRequest",
        world.sqs.send_message_batch,
        QueueUrl=url,
        Entries=[entry(str(number)) for number in range(20)],
        message="Maximum number of entries per request are 10. You have sent 20.",
    )
    refused(
        prefix + "BatchEntryIdsNotDistinct",
        world.sqs.send_message_batch,
        QueueUrl=url,
        Entries=[entry("a"), entry("a")],
    )
    for name in ("", "a b", "invalid:id", "x" * 81):
        refused(
            prefix + "InvalidBatchEntryId",
            world.sqs.delete_message_batch,
            QueueUrl=url,
            Entries=[{"Id": name, "ReceiptHandle": "x"}],
            message="A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            "It can be at most 80 letters long.",
        )
    big = [{"Id": str(number), "MessageBody": "x" * (1_048_576 // 2)} for number in range(2)]
    world.sqs.send_message_batch(QueueUrl=url, Entries=big)
    refused(
        prefix + "BatchRequestTooLong",
        world.sqs.send_message_batch,
        QueueUrl=url,
        Entries=[*big, {"Id": "one-more", "MessageBody": "x"}],
        message="Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.",
    )


@check
def message_attributes_come_back_with_their_digest(world: World) -> None:
    """[Guide] Message metadata: the digest's algorithm; binary values; boto3 verifies nothing here, so this does."""
    url = world.queue()
    attributes = {
        "text": {"DataType": "String", "StringValue": "ä"},
        "number": {"DataType": "Number.int", "StringValue": "42"},
        "binary": {"DataType": "Binary.png", "BinaryValue": bytes(range(256))},
        "dotted.name-x_y": {"DataType": "String", "StringValue": "1"},
    }
    sent = world.send(url, "body", MessageAttributes=attributes)
    equal(sent["MD5OfMessageAttributes"], attributes_md5(attributes))
    message = world.receive(url, 1, MessageAttributeNames=["All"])[0]
    equal(message["MessageAttributes"], attributes)
    equal(message["MD5OfMessageAttributes"], attributes_md5(attributes))


@check
def a_receiver_chooses_attributes_and_gets_the_digest_of_these(world: World) -> None:
    """[API] ReceiveMessage, MessageAttributeNames. [Recorded] digests of the chosen ones, prefixes, unknown names."""
    url = world.queue()
    values = {"Hello": "There", "General": "Kenobi", "Help.Me": "Me"}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}
    world.send(url, "msg", MessageAttributes=attributes)
    for asked, names in (
        ([], []),
        (["All"], list(values)),
        ([".*"], list(values)),
        (["Hello", "General"], ["Hello", "General"]),
        (["Hel.*"], ["Hello", "Help.Me"]),
        (["Hello", "Foo"], ["Hello"]),
        (["Foo"], []),
        (["AWS.x"], []),
    ):
        message = world.receive(url, 1, MessageAttributeNames=asked, VisibilityTimeout=0)[0]
        chosen = {name: attributes[name] for name in names}
        equal(message.get("MessageAttributes", {}), chosen, asked)
        equal(message.get("MD5OfMessageAttributes"), attributes_md5(chosen) if chosen else None, asked)


@check
def message_attributes_are_checked(world: World) -> None:
    """[Guide] Message metadata: names, types, values, at most ten. [Recorded] the empty value's message."""
    url = world.queue()

    def send(name: str = "name", **attribute: str) -> object:
        return world.send(url, "x", MessageAttributes={name: {"DataType": "String", "StringValue": "v", **attribute}})

    for name in ("AWS.x", "amazon.x", ".x", "x.", "a..b", "a b", "a!", "x" * 257):
        refused("InvalidParameterValue", send, name=name)
    for data_type in ("", "Text", "string", "Number." + "x" * 256):
        refused("InvalidParameterValue", send, DataType=data_type)
    refused(
        "InvalidParameterValue",
        send,
        name="ErrorDetails",
        StringValue="",
        message="Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'.",
    )
    refused("InvalidParameterValue", send, StringValue="\x08")
    refused("InvalidParameterValue", send, DataType="Number", StringValue="many")
    many = {str(number): {"DataType": "String", "StringValue": "v"} for number in range(11)}
    refused("InvalidParameterValue", world.send, url=url, body="x", MessageAttributes=many)
    many.pop("0")
    world.send(url, "x", MessageAttributes=many)


@check
def the_trace_header_is_a_system_attribute(world: World) -> None:
    """[API] SendMessage, MessageSystemAttributes: AWSTraceHeader only; MD5OfMessageSystemAttributes."""
    url = world.queue()
    header = {
        "DataType": "String",
        "StringValue": "Root=1-3152b799-8954dae64eda91bc9a23a7e8;Parent=7fa8c0f79203be72;Sampled=1",
    }
    sent = world.send(url, "x", MessageSystemAttributes={"AWSTraceHeader": header})
    equal(sent["MD5OfMessageSystemAttributes"], attributes_md5({"AWSTraceHeader": header}))
    assert "MD5OfMessageAttributes" not in sent
    message = world.receive(url, 1, MessageSystemAttributeNames=["AWSTraceHeader"])[0]
    equal(message["Attributes"], {"AWSTraceHeader": header["StringValue"]})
    refused("InvalidParameterValue", world.send, url=url, body="x", MessageSystemAttributes={"Other": header})


@check
def a_message_can_be_delayed(world: World) -> None:
    """[API] SendMessage, DelaySeconds 0 to 900, over the queue's own DelaySeconds; counted as delayed."""
    url = world.queue(DelaySeconds="900")
    world.send(url, "queue's delay")
    world.send(url, "soon", DelaySeconds=1)
    world.send(url, "now", DelaySeconds=0)
    equal(world.counts(url), (1, 0, 2))
    equal(world.bodies(url), ["now"])
    equal(world.bodies(url, WaitTimeSeconds=3), ["soon"])
    for seconds in (-1, 901):
        refused("InvalidParameterValue", world.send, url=url, body="x", DelaySeconds=seconds)
