"""What an item may hold, and how exactly it comes back."""

from __future__ import annotations

from harness import check, equal

from .world import RUN, World, raw, refused, user


@check
def ids_with_odd_characters_come_back_each_its_own(world: World) -> None:
    """Ids and partition keys with odd characters come back, each its own.

    [API] Ids are strings; clients percent-encode them.
    """
    odd = [
        "a b",
        " lead",
        "a+b",
        "a%b",
        "a%20b",
        "ä",
        "a\u0308",
        "日本",
        "\U0001f600",
        "a&b=c",
        "a:b@c;d,e",
        "'\"",
        "(x)",
        "[x]",
        "{x}",
        "a.b",
        "~",
        "a|b",
        "<>",
    ]
    for number, text in enumerate(odd):
        name = f"{RUN}-odd-{text}"
        world.records.create_item({"id": name, "pk": name, "n": number})
    for number, text in enumerate(odd):
        name = f"{RUN}-odd-{text}"
        item = world.records.read_item(name, name)
        equal((item["n"], item["id"]), (number, name))
        world.records.replace_item(name, {**user(item), "r": 1})
        world.records.delete_item(name, name)


@check
def ids_with_restricted_characters_or_lengths_are_refused(world: World) -> None:
    """Ids with / \\ ? # and empty or over-long ids are refused.

    [API] Service quotas: id at most 1,023 bytes; restricted characters.
    """
    for bad in ("a/b", "a\\b", "a?b", "a#b", "", "x" * 1024):
        equal(raw(world, "POST", "", {"id": bad, "pk": "p"})[0], 400, bad[:20])
    longest = f"{RUN}-{'x' * (1023 - len(RUN) - 1)}"
    equal(raw(world, "POST", "", {"id": longest, "pk": "p"})[0], 201)


@check
def numbers_are_doubles(world: World) -> None:
    """Numbers come back as doubles: 0.1, 1e21, -0.5 exact; 2^53+1 is rounded.

    [API] Working with JSON: numbers are IEEE 754 doubles.
    """
    item = world.create("numbers", exact=[0.1, 1e21, -0.5, 2**53, 1.7976931348623157e308, 5e-324], rounded=2**53 + 1)
    read = world.read(item)
    equal(read["exact"], [0.1, 1e21, -0.5, 2**53, 1.7976931348623157e308, 5e-324])
    equal(read["rounded"], 2**53)


@check
def nested_values_come_back(world: World) -> None:
    """Nested values come back: maps, lists, null, bool, empty string, non-ASCII names.

    [API] Working with JSON.
    """
    payload = {
        "m": {"a": [1, "zwei", None, True, {"b": []}], "": ""},
        "ü": "日本 \U0001f600",
        "_x": 1,
        "ttl": 5,
        "id": "other",
    }
    item = world.create("nested", payload=payload)
    equal(world.read(item)["payload"], payload)


@check
def an_item_over_2_mb_is_refused(world: World) -> None:
    """An item over 2 MB is 413.

    [API] Service quotas: maximum size of an item 2 MB.
    """
    world.create("large", body="x" * 1_900_000)
    refused(413, world.create, "too-large", body="x" * (2 * 1024 * 1024))


@check
def a_partition_key_header_must_be_the_items(world: World) -> None:
    """A partition key header that is not the item's is 400.

    [API] Create a document: x-ms-documentdb-partitionkey.
    """
    equal(raw(world, "POST", "", {"id": f"{RUN}-mismatch", "pk": "p"}, key="q")[0], 400)
