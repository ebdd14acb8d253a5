"""Items one at a time: their life, and who wins."""

from __future__ import annotations

import threading
import time

from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from harness import check, equal

from .world import IF_UNCHANGED, RUN, World, refused, user


@check
def the_container_stands_as_deployed(world: World) -> None:
    """The container stands: partition key /pk with hash version 2, items may have their own time to live.

    [API] Get a collection; Time to live: default -1.
    """
    properties = world.records.read()
    partition_key = properties["partitionKey"]
    equal((partition_key["paths"], partition_key["version"]), (["/pk"], 2))
    equal(properties["defaultTtl"], -1)


@check
def an_item_is_created_read_and_deleted(world: World) -> None:
    """Create, read and delete; twice created is 409, absent is 404.

    [API] HTTP status codes.
    """
    item = world.create("life", v=1)
    equal(user(world.read(item)), user(item))
    refused(409, world.create, "life", v=2)
    world.records.delete_item(item["id"], item["pk"])
    refused(404, world.read, item)
    refused(404, world.records.delete_item, item["id"], item["pk"])
    refused(404, world.records.replace_item, item["id"], item)


@check
def every_answer_carries_charge_session_and_etag(world: World) -> None:
    """Every answer carries a charge, an activity id, a session token and the etag of the body.

    [API] Common REST response headers.
    """
    item = world.create("headers")
    read = world.read(item)
    equal(world.header("etag"), read["_etag"])
    assert read["_etag"].startswith('"'), read["_etag"]
    assert float(world.header("x-ms-request-charge")) > 0
    assert world.header("x-ms-activity-id") and world.header("x-ms-session-token")
    assert abs(read["_ts"] - time.time()) < 5, read["_ts"]


@check
def a_stale_etag_replaces_nothing(world: World) -> None:
    """Replace with the current etag works once; a stale etag is 412.

    [API] Optimistic concurrency: If-Match.
    """
    item = world.create("etag", v=1)
    newer = world.records.replace_item(
        item["id"], {**user(item), "v": 2}, etag=item["_etag"], match_condition=IF_UNCHANGED
    )
    assert newer["_etag"] != item["_etag"]
    refused(
        412,
        world.records.replace_item,
        item["id"],
        {**user(item), "v": 3},
        etag=item["_etag"],
        match_condition=IF_UNCHANGED,
    )
    refused(412, world.records.delete_item, item["id"], item["pk"], etag=item["_etag"], match_condition=IF_UNCHANGED)
    equal(world.read(item)["v"], 2)


@check
def of_many_replaces_with_one_etag_exactly_one_wins(world: World) -> None:
    """Of many replaces with one etag exactly one wins.

    [API] Optimistic concurrency.
    """
    item = world.create("race", v=0)
    outcomes = []

    def replace(value: int) -> None:
        try:
            world.records.replace_item(
                item["id"], {**user(item), "v": value}, etag=item["_etag"], match_condition=IF_UNCHANGED
            )
            outcomes.append(200)
        except CosmosHttpResponseError as error:
            outcomes.append(error.status_code)

    threads = [threading.Thread(target=replace, args=(value,)) for value in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(sorted(outcomes), [200] + [412] * 15)


@check
def upsert_creates_or_replaces(world: World) -> None:
    """Upsert creates or replaces; with a stale etag it is 412.

    [API] Create a document: x-ms-documentdb-is-upsert.
    """
    item = {"id": f"{RUN}-upsert", "pk": f"{RUN}-upsert"}
    first = world.records.upsert_item({**item, "v": 1, "old": True})
    second = world.records.upsert_item({**item, "v": 2})
    equal(user(second), {**item, "v": 2})
    refused(412, world.records.upsert_item, {**item, "v": 3}, etag=first["_etag"], match_condition=IF_UNCHANGED)


@check
def one_id_in_two_partitions_is_two_items(world: World) -> None:
    """One id in two partitions is two items.

    [API] Partitioning: the id is unique within its logical partition.
    """
    name = f"{RUN}-twice"
    for partition in ("p", "q"):
        world.records.create_item({"id": name, "pk": partition, "v": partition})
    equal([world.records.read_item(name, partition)["v"] for partition in ("p", "q")], ["p", "q"])
    refused(404, world.records.read_item, name, "r")


@check
def patch_sets_and_its_condition_holds_it_back(world: World) -> None:
    """Patch sets, and its condition holds it back (412) or lets it through.

    [API] Partial document update: filter predicate.
    """
    item = world.create("patch", v=1, o=True)
    name = item["id"], item["pk"]
    equal(world.records.patch_item(*name, [{"op": "set", "path": "/v", "value": 2}])["v"], 2)
    newer = [{"op": "set", "path": "/v", "value": 9}]
    refused(412, world.records.patch_item, *name, newer, filter_predicate="FROM c WHERE c.v < 2", substatus=1110)
    equal(world.records.patch_item(*name, newer, filter_predicate="FROM c WHERE c.v < 9 OR c.nope = 1")["v"], 9)
    refused(412, world.records.patch_item, *name, newer, filter_predicate="from c where c.v = 1 or c.v = 2")
    refused(404, world.records.patch_item, f"{RUN}-absent", "p", newer)
    refused(400, world.records.patch_item, *name, [{"op": "set", "path": f"/x{i}", "value": 1} for i in range(11)])


@check
def a_batch_is_whole_or_not_at_all(world: World) -> None:
    """A batch is whole or not at all.

    [API] Transactional batch operations: 207, 424.
    """
    partition = f"{RUN}-batch"

    def item(name: str) -> dict[str, str]:
        return {"id": f"{RUN}-{name}", "pk": partition}

    done = world.records.execute_item_batch([("create", (item("b1"),)), ("upsert", (item("b2"),))], partition)
    equal([result["statusCode"] for result in done], [201, 201])
    try:
        world.records.execute_item_batch([("create", (item("b3"),)), ("create", (item("b1"),))], partition)
        raise AssertionError("expected the batch to fail, but it succeeded")
    except CosmosBatchOperationError as error:
        equal([result["statusCode"] for result in error.operation_responses], [424, 409])
    refused(404, world.records.read_item, f"{RUN}-b3", partition)
