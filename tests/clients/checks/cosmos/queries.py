"""Queries and the change feed."""

from __future__ import annotations

from harness import check, equal

from .world import RUN, World


@check
def queries_work_in_one_partition_and_over_all(world: World) -> None:
    """Queries: by parameter in a partition, over all partitions in order, and a count.

    [API] SQL query; cross-partition queries.
    """
    partition = f"{RUN}-query"
    for number in range(5):
        world.records.create_item(
            {
                "id": f"{RUN}-q{number}",
                "pk": partition if number < 3 else f"{partition}-{number}",
                "q": RUN,
                "n": number,
            }
        )
    parameters = [{"name": "@run", "value": RUN}]
    one = list(
        world.records.query_items(
            "SELECT c.n FROM c WHERE c.q = @run AND c.n >= 1", parameters=parameters, partition_key=partition
        )
    )
    equal(sorted(item["n"] for item in one), [1, 2])
    every = list(
        world.records.query_items(
            "SELECT VALUE c.n FROM c WHERE c.q = @run ORDER BY c.n DESC",
            parameters=parameters,
            enable_cross_partition_query=True,
            max_item_count=2,
        )
    )
    equal(every, [4, 3, 2, 1, 0])
    count = list(
        world.records.query_items(
            "SELECT VALUE COUNT(1) FROM c WHERE c.q = @run", parameters=parameters, enable_cross_partition_query=True
        )
    )
    equal(count, [5])


@check
def the_change_feed_shows_what_was_written(world: World) -> None:
    """The change feed shows what was written.

    [API] Change feed, latest version mode.
    """
    item = world.create("feed")
    assert item["id"] in [change["id"] for change in world.records.query_items_change_feed(start_time="Beginning")]
