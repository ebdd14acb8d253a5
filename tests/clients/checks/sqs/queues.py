"""Queues: their names, attributes, tags and permissions."""

from __future__ import annotations

import contextlib
import json
import time

from harness import check, equal

from .world import World, refused


@check
def a_queue_has_the_documented_defaults(world: World) -> None:
    """[API] CreateQueue: default of each attribute. [Recorded] SqsManagedSseEnabled is true."""
    url = world.queue()
    found = world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    for volatile in ("CreatedTimestamp", "LastModifiedTimestamp"):
        assert abs(int(found.pop(volatile)) - time.time()) < 5
    assert found.pop("QueueArn").startswith(f"arn:aws:sqs:{world.site['region']}:")
    equal(
        found,
        {
            "ApproximateNumberOfMessages": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
            "ApproximateNumberOfMessagesNotVisible": "0",
            "DelaySeconds": "0",
            "MaximumMessageSize": "1048576",
            "MessageRetentionPeriod": "345600",
            "ReceiveMessageWaitTimeSeconds": "0",
            "SqsManagedSseEnabled": "true",
            "VisibilityTimeout": "30",
        },
    )


@check
def creating_a_queue_again_is_idempotent_unless_attributes_differ(world: World) -> None:
    """[API] CreateQueue: same attributes return the existing queue's URL. [Recorded] code and message otherwise."""
    name = world.name()
    url = world.create(name, Attributes={"VisibilityTimeout": "69"})
    equal(world.sqs.create_queue(QueueName=name)["QueueUrl"], url)
    equal(world.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "69"})["QueueUrl"], url)
    refused(
        "QueueAlreadyExists",
        world.sqs.create_queue,
        QueueName=name,
        Attributes={"DelaySeconds": "1"},
        message="A queue already exists with the same name and a different value for attribute DelaySeconds",
    )
    with contextlib.suppress(world.sqs.exceptions.QueueNameExists):
        world.sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "1"})


@check
def queue_names_are_checked(world: World) -> None:
    """[API] CreateQueue, QueueName: 80 of alphanumeric, hyphen, underscore; .fifo only for FIFO queues."""
    for name in ("", "a b", "a/b", "a.b", "a.fifo", "x" * 81):
        refused("InvalidParameterValue", world.sqs.create_queue, QueueName=name)
    refused("InvalidParameterValue", world.sqs.create_queue, QueueName="no-suffix", Attributes={"FifoQueue": "true"})


@check
def attributes_of_the_wrong_queue_type_are_unknown(world: World) -> None:
    """[Recorded] CreateQueue and SetQueueAttributes on standard and FIFO queues."""
    name = world.name()
    for attribute, value in (("FifoQueue", "false"), ("ContentBasedDeduplication", "false")):
        refused(
            "InvalidAttributeName",
            world.sqs.create_queue,
            QueueName=name,
            Attributes={attribute: value},
            message=f"Unknown Attribute {attribute}.",
        )
    refused(
        "InvalidAttributeName",
        world.sqs.create_queue,
        QueueName=name,
        Attributes={"DeduplicationScope": "queue"},
        message="You can specify the DeduplicationScope only when FifoQueue is set to true.",
    )
    refused(
        "InvalidAttributeName",
        world.sqs.set_queue_attributes,
        QueueUrl=world.queue(),
        Attributes={"FifoQueue": "true"},
        message="Unknown Attribute FifoQueue.",
    )
    refused(
        "InvalidAttributeValue",
        world.sqs.set_queue_attributes,
        QueueUrl=world.fifo(),
        Attributes={"FifoQueue": "false"},
        message="Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
    )


@check
def attribute_values_are_checked(world: World) -> None:
    """[API] SetQueueAttributes: range of each attribute; InvalidAttributeValue. GetQueueAttributes:
    InvalidAttributeName.
    """
    url = world.queue()
    for name, value in (
        ("VisibilityTimeout", "43201"),
        ("VisibilityTimeout", "-1"),
        ("DelaySeconds", "901"),
        ("MessageRetentionPeriod", "59"),
        ("MessageRetentionPeriod", "1209601"),
        ("MaximumMessageSize", "1023"),
        ("MaximumMessageSize", "1048577"),
        ("ReceiveMessageWaitTimeSeconds", "21"),
        ("VisibilityTimeout", "soon"),
    ):
        refused("InvalidAttributeValue", world.sqs.set_queue_attributes, QueueUrl=url, Attributes={name: value})
    refused("InvalidAttributeName", world.sqs.set_queue_attributes, QueueUrl=url, Attributes={"Colour": "1"})
    refused("InvalidAttributeName", world.sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["Colour"])


@check
def attributes_can_be_changed_and_asked_for_one_by_one(world: World) -> None:
    """[API] SetQueueAttributes, GetQueueAttributes: without names, nothing is returned."""
    url = world.queue()
    world.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "69", "DelaySeconds": "420"})
    found = world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "DelaySeconds", "Policy"])
    equal(found["Attributes"], {"VisibilityTimeout": "69", "DelaySeconds": "420"})
    assert "Attributes" not in world.sqs.get_queue_attributes(QueueUrl=url)
    assert "Attributes" not in world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])


@check
def a_missing_queue_is_said_to_be_missing(world: World) -> None:
    """[Recorded] Code and message over the JSON protocol; boto3 maps it to its own exception class."""
    url = world.queue() + "-not-there"
    for call, more in (
        (world.sqs.receive_message, {}),
        (world.sqs.send_message, {"MessageBody": "x"}),
        (world.sqs.get_queue_attributes, {}),
        (world.sqs.delete_queue, {}),
        (world.sqs.purge_queue, {}),
        (world.sqs.delete_message, {"ReceiptHandle": "x"}),
    ):
        found = refused(
            "AWS.SimpleQueueService.NonExistentQueue",
            call,
            QueueUrl=url,
            **more,
            message="The specified queue does not exist.",
        )
        equal(found["Error"].get("QueryErrorCode"), "QueueDoesNotExist")
    try:
        world.sqs.get_queue_url(QueueName=world.name())
        raise AssertionError("a missing queue has a URL")
    except world.sqs.exceptions.QueueDoesNotExist:
        pass


@check
def a_queue_can_be_found_by_name_and_used_by_its_bare_name(world: World) -> None:
    """[API] GetQueueUrl. [Recorded] QueueUrl may be the bare name."""
    url = world.queue()
    name = url.rsplit("/", 1)[1]
    equal(world.sqs.get_queue_url(QueueName=name)["QueueUrl"], url)
    world.send(name, "by name")
    equal(world.bodies(url), ["by name"])


@check
def queues_are_listed_by_prefix_and_page(world: World) -> None:
    """[API] ListQueues: NextToken only if MaxResults was set and there is more."""
    prefix = world.name()
    urls = [world.create(f"{prefix}-{number}") for number in range(5)]
    found = world.sqs.list_queues(QueueNamePrefix=prefix)
    equal(found["QueueUrls"], urls)
    assert "NextToken" not in found
    pages = list(
        world.sqs.get_paginator("list_queues").paginate(QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2})
    )
    equal([len(page["QueueUrls"]) for page in pages], [2, 2, 1])
    equal([url for page in pages for url in page["QueueUrls"]], urls)
    assert "QueueUrls" not in world.sqs.list_queues(QueueNamePrefix=world.name())


@check
def a_deleted_queue_is_gone_and_its_name_rests(world: World) -> None:
    """[API] DeleteQueue, CreateQueue: 60 seconds until the name can be used again."""
    url = world.queue()
    name = url.rsplit("/", 1)[1]
    world.sqs.delete_queue(QueueUrl=url)
    refused("AWS.SimpleQueueService.NonExistentQueue", world.sqs.get_queue_url, QueueName=name)
    refused(
        "AWS.SimpleQueueService.QueueDeletedRecently",
        world.sqs.create_queue,
        QueueName=name,
        message="You must wait 60 seconds after deleting a queue before you can create another with the same name.",
    )


@check
def purging_empties_a_queue_once_a_minute(world: World) -> None:
    """[API] PurgeQueue: also in-flight messages. [Recorded] the second within 60 s: code, message, HTTP 403."""
    url = world.queue()
    for body in "abc":
        world.send(url, body)
    world.send(url, "late", DelaySeconds=900)
    world.receive(url, 1)
    world.sqs.purge_queue(QueueUrl=url)
    equal(world.counts(url), (0, 0, 0))
    name = url.rsplit("/", 1)[1]
    refused(
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        world.sqs.purge_queue,
        status=403,
        QueueUrl=url,
        message=f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
    )


@check
def tags_are_kept(world: World) -> None:
    """[Recorded] TagQueue, UntagQueue, ListQueueTags: empty values are kept, missing keys ignored."""
    url = world.create(world.name(), tags={"born": "with"})
    world.sqs.tag_queue(QueueUrl=url, Tags={"tag1": "value1", "tag2": "value2", "tag3": ""})
    world.sqs.tag_queue(QueueUrl=url, Tags={"tag1": "changed"})
    equal(
        world.sqs.list_queue_tags(QueueUrl=url)["Tags"],
        {"born": "with", "tag1": "changed", "tag2": "value2", "tag3": ""},
    )
    world.sqs.untag_queue(QueueUrl=url, TagKeys=["tag1", "tag2", "tag3", "born", "never"])
    assert "Tags" not in world.sqs.list_queue_tags(QueueUrl=url)


@check
def one_kind_of_encryption_excludes_the_other(world: World) -> None:
    """[Recorded] KmsMasterKeyId and SqsManagedSseEnabled."""
    url = world.queue()
    world.sqs.set_queue_attributes(
        QueueUrl=url, Attributes={"KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "6000"}
    )
    names = ["KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"]
    equal(
        world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"],
        {"KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "6000", "SqsManagedSseEnabled": "false"},
    )
    refused(
        "InvalidAttributeName",
        world.sqs.set_queue_attributes,
        QueueUrl=url,
        Attributes={"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "true"},
    )


@check
def permissions_are_statements_of_the_policy(world: World) -> None:
    """[Recorded] AddPermission and RemovePermission."""
    url = world.queue()
    account = world.arn(url).split(":")[4]
    add = {"QueueUrl": url, "Label": "label", "AWSAccountIds": [account], "Actions": ["ReceiveMessage"]}
    world.sqs.add_permission(**add)
    statement = json.loads(world.attribute(url, "Policy"))["Statement"][0]
    equal(statement["Action"], "SQS:ReceiveMessage")
    equal(statement["Principal"], {"AWS": f"arn:aws:iam::{account}:root"})
    refused(
        "InvalidParameterValue",
        world.sqs.add_permission,
        **add,
        message="Value label for parameter Label is invalid. Reason: Already exists.",
    )
    world.sqs.remove_permission(QueueUrl=url, Label="label")
    equal(world.attribute(url, "Policy"), None)
    refused(
        "InvalidParameterValue",
        world.sqs.remove_permission,
        QueueUrl=url,
        Label="label",
        message="Value label for parameter Label is invalid. Reason: can't find label.",
    )
