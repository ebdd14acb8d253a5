"""Conditional writes: the one primitive that the bridge stands on."""

from __future__ import annotations

import threading
import zlib

from botocore.exceptions import ClientError

from harness import check, equal

from .world import World, key, refused


@check
def the_table_stands_as_deployed(world: World) -> None:
    """The table stands: string key `pk`, on demand, TTL on `expires_at`.

    [API] DescribeTable, DescribeTimeToLive.
    """
    table = world.client.describe_table(TableName=world.table)["Table"]
    equal(table["TableStatus"], "ACTIVE")
    equal(table["KeySchema"], [{"AttributeName": "pk", "KeyType": "HASH"}])
    equal(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST")
    ttl = world.client.describe_time_to_live(TableName=world.table)["TimeToLiveDescription"]
    equal(ttl, {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"})


@check
def the_checksum_of_an_answer_is_that_of_its_body(world: World) -> None:
    """Every answer's x-amz-crc32 is that of its body.

    [Client] botocore compares it and retries (botocore/data/_retry.json, dynamodb).
    """
    seen = []
    client = world.connect()
    client.meta.events.register("before-parse.dynamodb.*", lambda response_dict, **_: seen.append(response_dict))
    client.get_item(TableName=world.table, Key={"pk": {"S": key("none")}})
    equal([int(answer["headers"]["x-amz-crc32"]) for answer in seen], [zlib.crc32(answer["body"]) for answer in seen])
    equal(len(seen), 1, "answers")


@check
def put_if_newer_refuses_older_and_equal_with_the_old_item(world: World) -> None:
    """Put if absent or newer: newer wins, older and equal are refused with the old item.

    [API] PutItem, ReturnValuesOnConditionCheckFailure.
    """
    world.put(key("lww"), "2", payload={"n": 2})
    world.put(key("lww"), "3", payload={"n": 3})
    for stale in ("1", "3"):
        answer = refused("ConditionalCheckFailedException", world.put, key("lww"), stale)
        equal(answer["Item"]["version"], {"S": "3"})
        equal(answer["Item"]["payload"], {"M": {"n": {"N": "3"}}})
    equal(world.version(key("lww")), "3")


@check
def of_many_writers_the_greatest_version_stays(world: World) -> None:
    """Of many writers at once the greatest version stays, and whoever lost saw one at least as great.

    [API] Conditional writes are atomic per item.
    """
    wins, blind = [], []

    def write(version: str) -> None:
        try:
            world.put(key("race"), version)
            wins.append(version)
        except ClientError as error:
            if error.response.get("Item", {}).get("version", {}).get("S", "") < version:
                blind.append(error)

    threads = [threading.Thread(target=write, args=(f"{version:03}",)) for version in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(blind, [], "refused by an older version")
    assert "023" in wins, wins
    equal(world.version(key("race")), "023")


@check
def a_transaction_is_whole_or_not_at_all(world: World) -> None:
    """A transaction is whole or not at all, with a reason for each item.

    [API] TransactWriteItems, CancellationReasons.
    """

    def put(name: str, **more: object) -> dict[str, object]:
        return {"Put": {"TableName": world.table, "Item": {"pk": {"S": key(name)}}, **more}}

    world.client.transact_write_items(TransactItems=[put("t1"), put("t2")])
    broken = [put("t3"), put("t1", ConditionExpression="attribute_not_exists(pk)")]
    answer = refused("TransactionCanceledException", world.client.transact_write_items, TransactItems=broken)
    equal([reason["Code"] for reason in answer["CancellationReasons"]], ["None", "ConditionalCheckFailed"])
    equal(world.get(key("t3")), None)
