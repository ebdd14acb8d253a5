"""Time to live."""

from __future__ import annotations

import time

from harness import check, equal

from .world import World, key


@check
def an_item_whose_time_is_over_goes_away(world: World) -> None:
    """An item whose time is over goes away; a later time and a text stay.

    [API] Time to live: N in epoch seconds, on the table's attribute.
    """
    now = int(time.time())
    world.put(key("ttl/past"), "1", expires_at=now + 1)
    world.put(key("ttl/later"), "1", expires_at=now + 3600)
    world.put(key("ttl/text"), "1", expires_at=str(now + 1))
    world.put(key("ttl/lifted"), "1", expires_at=now + 1)
    world.put(key("ttl/lifted"), "2")
    deadline = time.time() + 8
    while world.version(key("ttl/past")) and time.time() < deadline:
        time.sleep(0.1)
    # The service itself takes up to days; here nobody should have to wait.
    versions = {name: world.version(key(f"ttl/{name}")) for name in ("past", "later", "text", "lifted")}
    equal(versions, {"past": None, "later": "1", "text": "1", "lifted": "2"})
