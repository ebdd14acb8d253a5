"""Faults on purpose, and what the official client makes of them."""

from __future__ import annotations

import time
from collections.abc import Callable

from azure.core.exceptions import AzureError

from harness import check, equal

from .world import RUN, World, raw, refused, token

ALONE = True


@check
def throttling_has_a_hint_that_the_client_waits_for(world: World) -> None:
    """Throttling is 429/3200 with a hint in milliseconds, and the client waits for it.

    [API] HTTP status codes: 429; x-ms-retry-after-ms.
    """
    item = world.create("throttle")
    world.admin.fault(operation="read-item", kind="throttle", retry_after="150ms", count=1)
    status, headers, _ = raw(world, "GET", f"/{item['id']}", key=item["pk"])
    equal((status, headers["x-ms-substatus"], headers["x-ms-retry-after-ms"]), (429, "3200", "150"))
    world.admin.fault(operation="read-item", kind="throttle", retry_after="150ms", count=2)
    start = time.monotonic()
    world.read(item)
    assert time.monotonic() - start >= 0.3


@check
def an_error_before_the_effect_writes_nothing(world: World) -> None:
    """An error before the effect is 449 or 503 by turns, and nothing is written.

    [Ours] HTTP status codes: 449, 503.
    """
    seen = set()
    for number in range(2):
        name = f"{RUN}-error-{number}"
        world.admin.fault(operation="create-item", kind="error", count=1)
        seen.add(raw(world, "POST", "", {"id": name, "pk": "p"})[0])
        equal(raw(world, "GET", f"/{name}", key="p")[0], 404)
    equal(seen, {449, 503})


@check
def an_error_after_the_effect_leaves_the_item(world: World) -> None:
    """An error after the effect is 503, and it is written: the client's own retry of a create then sees 409.

    [Ours] HTTP status codes: 503, the outcome is not known.
    """
    name = f"{RUN}-after"
    world.admin.fault(operation="create-item", kind="error", when="after", count=1)
    equal(raw(world, "POST", "", {"id": name, "pk": "p"})[0], 503)
    equal(raw(world, "GET", f"/{name}", key="p")[0], 200)
    equal(raw(world, "POST", "", {"id": name, "pk": "p"})[0], 409)


@check
def a_dropped_connection_loses_the_answer(world: World) -> None:
    """A dropped connection loses the answer, before or after the effect.

    [Ours] As a network does.
    """
    for when, there in (("before", 404), ("after", 200)):
        world.admin.fault(operation="create-item", kind="drop", when=when, count=1)
        no_answer(world.create, f"drop-{when}")
        name = f"{RUN}-drop-{when}"
        equal(raw(world, "GET", f"/{name}", key=name)[0], there, when)


@check
def a_dark_service_comes_back_with_its_data(world: World) -> None:
    """A dark service answers nobody, then comes back with its data.

    [Ours] As an outage does.
    """
    item = world.create("dark")
    world.admin.fault(kind="dark", **{"for": "700ms"})
    no_answer(world.read, item)
    time.sleep(0.8)
    equal(world.read(item), item)


@check
def a_shifted_clock_expires_what_lives_for_weeks(world: World) -> None:
    """A shifted clock expires what lives for weeks.

    [Ours] Time to live, by the service's clock.
    """
    weeks = world.create("weeks", ttl=35 * 86_400)
    world.admin.clock_ahead(36 * 86_400_000)
    refused(403, world.read, weeks)  # the key's signature is 36 days old by now
    equal(raw(world, "GET", f"/{weeks['id']}", key=weeks["pk"], bearer=token(time.time() + 37 * 86_400))[0], 404)


def no_answer(call: Callable[..., object], *arguments: object) -> None:
    try:
        call(*arguments)
    except AzureError:
        return
    raise AssertionError("expected no answer, got one")
