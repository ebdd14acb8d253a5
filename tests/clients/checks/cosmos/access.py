"""Who may do what, and the management of containers."""

from __future__ import annotations

import base64
import time

from azure.cosmos import PartitionKey

from harness import check, equal

from .world import RUN, World, raw, refused, token


@check
def containers_are_managed_by_key(world: World) -> None:
    """A container that exists is 409, one that does not 404; management by key works.

    [API] Create a collection.
    """
    world.database.create_container("mine", PartitionKey("/pk"))
    refused(409, world.database.create_container, "mine", PartitionKey("/pk"))
    refused(404, world.database.get_container_client("none").read)
    world.database.delete_container("mine")
    refused(404, world.database.get_container_client("mine").read)


@check
def a_wrong_key_is_refused(world: World) -> None:
    """A wrong key is 401.

    [API] Access control: master key token.
    """
    refused(401, world.connect, base64.b64encode(b"another key").decode())


@check
def a_bearer_token_reads_and_writes_items(world: World) -> None:
    """A bearer token reads and writes items; expired or shapeless ones are 401.

    [API] Connect with Microsoft Entra ID.
    """
    name = f"{RUN}-aad"
    equal(raw(world, "POST", "", {"id": name, "pk": "p"})[0], 201)
    equal(raw(world, "GET", f"/{name}", key="p")[0], 200)
    for bad in (token(time.time() - 1), "no-token", "a.b.c", ""):
        equal(raw(world, "GET", f"/{name}", key="p", bearer=bad)[0], 401)


@check
def a_bearer_token_may_not_manage_databases(world: World) -> None:
    """A bearer token may not manage databases (403/5300).

    [API] Data plane role-based access control: management operations.
    """
    status, headers, _ = raw(world, "POST", None, {"id": f"no-{RUN}"})
    equal((status, headers["x-ms-substatus"]), (403, "5300"))
