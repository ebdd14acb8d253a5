"""What an item may hold, and how exactly it comes back."""

from __future__ import annotations

import time
from decimal import Decimal

from harness import check, equal

from .world import World, key, refused


@check
def numbers_keep_their_decimal_value(world: World) -> None:
    """Numbers keep their decimal value: 38 digits, 1E+21, 0.1.

    [API] Data types: Number, up to 38 digits of precision.
    """
    numbers = [
        "0.1",
        "1E+21",
        "-1E-130",
        "9." + "9" * 37 + "E+125",
        "12345678901234567890123456789012345678",
        "0",
        "-7",
    ]
    item = {"pk": {"S": key("numbers")}, "list": {"L": [{"N": number} for number in numbers]}}
    world.client.put_item(TableName=world.table, Item=item)
    # Compared in the client's raw form: its own deserialiser gives up on large numbers, which come without an exponent.
    answer = world.client.get_item(TableName=world.table, Key={"pk": {"S": key("numbers")}})
    got = [Decimal(value["N"]) for value in answer["Item"]["list"]["L"]]
    equal(got, [Decimal(number) for number in numbers])


@check
def a_number_too_long_or_out_of_range_is_refused(world: World) -> None:
    """A number of 39 digits or out of range is refused.

    [API] Data types: Number.
    """
    for number in ("123456789012345678901234567890123456789", "1E+126", "1E-131"):
        item = {"pk": {"S": key("bad")}, "n": {"N": number}}
        refused("ValidationException", world.client.put_item, TableName=world.table, Item=item)


@check
def all_types_of_a_payload_come_back(world: World) -> None:
    """All types of a payload come back: nested maps and lists, null, bool, empty string, non-ASCII.

    [API] Data types.
    """
    payload = {"m": {"a": [Decimal(1), "zwei", None, True, {"b": []}]}, "e": "", "ü": "日本 \U0001f600"}
    world.put(key("types"), "1", payload=payload)
    equal(world.get(key("types"))["payload"], payload)


@check
def reserved_names_inside_the_payload_harm_nothing(world: World) -> None:
    """A member named `ttl`, `id` or `version` inside the payload harms nothing.

    [API] Only top-level attributes count.
    """
    payload = {"ttl": Decimal(1), "expires_at": Decimal(1), "pk": "x", "version": "x"}
    world.put(key("names"), "1", payload=payload)
    time.sleep(2.2)
    equal(world.get(key("names"))["payload"], payload)


@check
def an_item_of_400_kb_passes_and_one_byte_more_is_refused(world: World) -> None:
    """An item of 400 KB passes, one byte more is refused.

    [API] Quotas: maximum item size 400 KB, names included.
    """
    fixed = len("pk") + len(key("large")) + len("version") + 1 + len("body")
    room = 400 * 1024 - fixed
    world.put(key("large"), "1", body="x" * room)
    answer = refused("ValidationException", world.put, key("large"), "2", body="x" * (room + 1))
    assert "Item size has exceeded the maximum allowed size" in answer["Error"]["Message"], answer


@check
def a_partition_key_has_1_to_2048_bytes(world: World) -> None:
    """A partition key of 2048 bytes passes, 2049 and empty are refused.

    [API] Quotas: partition key length.
    """
    world.put("k" * 2048, "1")
    world.client.delete_item(TableName=world.table, Key={"pk": {"S": "k" * 2048}})
    refused("ValidationException", world.put, "k" * 2049, "1")
    refused("ValidationException", world.put, "", "1")


@check
def keys_with_odd_characters_are_kept_apart(world: World) -> None:
    """Keys with odd characters are kept apart.

    [API] Data types: String is UTF-8, compared by bytes.
    """
    odd = [key(name) for name in ("a/b", "a?b", "a#b", "a b", "a+b", "a%2Fb", "ä", "a\u0308", "\u0000")]
    for number, name in enumerate(odd):
        world.put(name, str(number))
    equal([world.version(name) for name in odd], [str(number) for number in range(len(odd))])
