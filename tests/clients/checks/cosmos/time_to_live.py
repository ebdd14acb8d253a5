"""Time to live, of items and of containers."""

from __future__ import annotations

import time

from azure.cosmos import PartitionKey

from harness import check, equal

from .world import RUN, World, raw, refused, user


@check
def an_items_own_time_to_live_hides_it(world: World) -> None:
    """An item's own time to live hides it to the second; a rewrite without one keeps it.

    [API] Time to live: item-level ttl.
    """
    short, kept, never = (
        world.create("ttl-short", ttl=4),
        world.create("ttl-kept", ttl=4),
        world.create("ttl-never", ttl=-1),
    )
    batch = f"{RUN}-ttl-batch"
    world.records.execute_item_batch([("create", ({"id": batch, "pk": batch, "ttl": 1},))], batch)
    world.records.replace_item(kept["id"], {name: value for name, value in user(kept).items() if name != "ttl"})
    patched = world.create("ttl-patched")
    world.records.patch_item(patched["id"], patched["pk"], [{"op": "add", "path": "/ttl", "value": 1}])
    equal(world.read(short)["ttl"], 4)
    time.sleep(5.1)
    for gone in (short["id"], batch, patched["id"]):
        refused(404, world.records.read_item, gone, gone)
    found = world.records.query_items(
        "SELECT VALUE c.id FROM c WHERE STARTSWITH(c.id, @run)",
        parameters=[{"name": "@run", "value": f"{RUN}-ttl"}],
        enable_cross_partition_query=True,
    )
    equal(sorted(found), [kept["id"], never["id"]])
    equal(world.create("ttl-short")["id"], short["id"], "an expired id is free again")


@check
def an_unfit_time_to_live_is_refused(world: World) -> None:
    """A ttl of 0, -2, text or a fraction is 400.

    [API] Time to live: nonzero, positive, or -1.
    """
    for number, bad in enumerate((0, -2, "60", 1.5, 2**31)):
        equal(raw(world, "POST", "", {"id": f"{RUN}-bad-ttl-{number}", "pk": "p", "ttl": bad})[0], 400, bad)


@check
def a_containers_default_counts_for_items_without_one(world: World) -> None:
    """A container's default counts for items without a ttl; without a default no item expires.

    [API] Time to live: container level.
    """
    fleeting = world.database.create_container("fleeting", PartitionKey("/pk"), default_ttl=1)
    lasting = world.database.create_container("lasting", PartitionKey("/pk"))
    a, b = world.create("a", fleeting), world.create("b", fleeting, ttl=-1)
    c = world.create("c", lasting, ttl=1)
    time.sleep(2.1)
    refused(404, world.read, a, fleeting)
    world.read(b, fleeting)
    world.read(c, lasting)
