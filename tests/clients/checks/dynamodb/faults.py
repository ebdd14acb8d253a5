"""Faults on purpose, and what the official client makes of them."""

from __future__ import annotations

import time
from collections.abc import Callable

from botocore.config import Config
from botocore.exceptions import EndpointConnectionError, HTTPClientError

from harness import check, equal

from .world import World, key, refused

ALONE = True


@check
def throttling_has_two_names_and_the_client_gets_through(world: World) -> None:
    """[API] Error handling with DynamoDB: ThrottlingException and ProvisionedThroughputExceededException, both 400.

    [Client] boto3 retries both by itself.
    """
    world.admin.fault(operation="GetItem", kind="throttle", count=2)
    names = set()
    for _ in range(2):
        error = refused(None, world.get, key("throttled"))
        names.add(error["Error"]["Code"])
    equal(names, {"ProvisionedThroughputExceededException", "ThrottlingException"})
    world.admin.fault(operation="GetItem", kind="throttle", count=2)
    patient = world.connect(config=Config(retries={"total_max_attempts": 5, "mode": "standard"}))
    answer = patient.get_item(TableName=world.table, Key={"pk": {"S": key("throttled")}})
    equal(answer["ResponseMetadata"]["RetryAttempts"], 2)


@check
def an_error_after_the_effect_leaves_the_write(world: World) -> None:
    """[API] Error handling with DynamoDB: InternalServerError, 500, leaves open whether the write happened."""
    world.admin.fault(operation="PutItem", kind="error", when="after", count=1)
    refused("InternalServerError", world.put, key("after"), "1", status=500)
    equal(world.version(key("after")), "1")
    world.admin.fault(operation="PutItem", kind="error", count=1)
    refused("InternalServerError", world.put, key("before"), "1", status=500)
    equal(world.version(key("before")), None)


@check
def a_dropped_connection_loses_the_answer(world: World) -> None:
    """[Ours] A connection is dropped before or after the effect, as a network does."""
    for when, version in (("before", None), ("after", "1")):
        world.admin.fault(operation="PutItem", kind="drop", when=when, count=1)
        no_answer(world.put, key(f"drop-{when}"), "1")
        equal(world.version(key(f"drop-{when}")), version, when)


@check
def a_dark_service_comes_back_with_its_data(world: World) -> None:
    """[Ours] A dark service answers nobody, as in an outage, and forgets nothing."""
    world.put(key("dark"), "1")
    world.admin.fault(kind="dark", **{"for": "700ms"})
    no_answer(world.get, key("dark"))
    time.sleep(0.8)
    equal(world.version(key("dark")), "1")


@check
def a_dripping_answer_arrives_whole_and_late(world: World) -> None:
    """[Ours] An answer comes in small pieces, as over a slow network, and is whole."""
    world.put(key("drip"), "1", payload={"text": "x" * 500})
    world.admin.fault(operation="GetItem", kind="drip", pause="50ms", count=1)
    start = time.monotonic()
    equal(world.get(key("drip")), {"pk": key("drip"), "version": "1", "payload": {"text": "x" * 500}})
    assert time.monotonic() - start > 0.1, "it came at once"


@check
def a_clock_an_hour_ahead_refuses_the_signature(world: World) -> None:
    """[Guide] Signature Version 4: a signature expires; the answer says both times, by which clients correct their
    own.
    """
    world.admin.clock_ahead(3_600_000)
    answer = refused("InvalidSignatureException", world.get, key("clock"))
    assert "Signature expired" in answer["Error"]["Message"], answer
    world.admin.clock_ahead(0)
    world.get(key("clock"))


def no_answer(call: Callable[..., object], *arguments: object) -> None:
    try:
        call(*arguments)
    except (HTTPClientError, EndpointConnectionError):
        return
    raise AssertionError("expected no answer, got one")
