"""Scans and batches."""

from __future__ import annotations

from harness import check, equal

from .world import World, key, refused


@check
def a_scan_in_four_segments_sees_every_item_once(world: World) -> None:
    """A scan in four segments sees every item once.

    [API] Scan, Segment and TotalSegments.
    """
    keys = {key(f"scan/{number}") for number in range(200)}
    for name in keys:
        world.put(name, "1", filler="x" * 200)
    seen = []
    for segment in range(4):
        start = {}
        while True:
            page = world.client.scan(
                TableName=world.table, Segment=segment, TotalSegments=4, Limit=20, ConsistentRead=True, **start
            )
            seen += [item["pk"]["S"] for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    mine = [name for name in seen if name.startswith(key("scan/"))]
    equal(sorted(mine), sorted(keys))


@check
def one_page_of_a_scan_is_at_most_1_mb(world: World) -> None:
    """One page of a scan is at most 1 MB.

    [API] Scan: a single operation reads up to 1 MB.
    """
    for number in range(5):
        world.put(key(f"page/{number}"), "1", body="x" * 390_000)
    page = world.client.scan(
        TableName=world.table,
        FilterExpression="begins_with(pk, :p)",
        ExpressionAttributeValues={":p": {"S": key("page/")}},
    )
    for number in range(5):
        world.client.delete_item(TableName=world.table, Key={"pk": {"S": key(f"page/{number}")}})
    assert "LastEvaluatedKey" in page, f"{page['ScannedCount']} items came in one page"


@check
def a_batch_get_returns_what_is_there(world: World) -> None:
    """BatchGetItem returns what is there, refuses a key twice and 101 keys.

    [API] BatchGetItem.
    """
    for number in range(3):
        world.put(key(f"batch/{number}"), str(number))
    wanted = [{"pk": {"S": key(f"batch/{number}")}} for number in range(4)]
    answer = world.client.batch_get_item(RequestItems={world.table: {"Keys": wanted, "ConsistentRead": True}})
    found = sorted(item["version"]["S"] for item in answer["Responses"][world.table])
    equal((found, answer["UnprocessedKeys"]), (["0", "1", "2"], {}))
    refused(
        "ValidationException", world.client.batch_get_item, RequestItems={world.table: {"Keys": [wanted[0], wanted[0]]}}
    )
    many = [{"pk": {"S": str(number)}} for number in range(101)]
    refused("ValidationException", world.client.batch_get_item, RequestItems={world.table: {"Keys": many}})
