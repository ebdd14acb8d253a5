"""Tests of the second reading itself: `python -m unittest` in this folder."""

from __future__ import annotations

import json
import random
import struct
import unittest
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import permutations

from contract import NANOSECONDS, Event, canonical, cosmos_id, nanoseconds, read_event, winners
from workload import generate

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def event(timestamp: str, source: str = "aws:us-east-1", number: int = 1, op: str = "update", key: str = "k") -> bytes:
    members = {
        "event_id": f"01936d6e-8a3c-7000-8000-{number:012x}",
        "source_region": source,
        "op_type": op,
        "payload": {"id": key, "n": number},
        "timestamp": timestamp,
    }
    return json.dumps(members).encode()


class Timestamps(unittest.TestCase):
    def test_are_compared_as_instants(self) -> None:
        self.assertEqual(nanoseconds("1970-01-01T00:00:00Z"), 0)
        self.assertEqual(nanoseconds("1970-01-01t05:30:01.5+05:30"), 1_500_000_000)
        self.assertEqual(nanoseconds("1969-12-31T16:00:00-08:00"), 0)
        self.assertEqual(nanoseconds("1969-12-31T23:59:59.999999999Z"), -1)
        self.assertLess(nanoseconds("2026-11-21T01:02:05Z"), nanoseconds("2026-11-21T01:02:05.500Z"))

    def test_leap_second_is_the_next_second(self) -> None:
        self.assertEqual(nanoseconds("2016-12-31T23:59:60.25Z"), nanoseconds("2017-01-01T00:00:00.25Z"))

    def test_others_are_refused(self) -> None:
        for text in ("2026-11-21", "2026-11-21T01:02:03", "2026-11-21 01:02:03Z", "yesterday"):
            with self.assertRaises(ValueError):
                nanoseconds(text)


class Versions(unittest.TestCase):
    def test_text_is_that_of_the_schema(self) -> None:
        version = read_event(event("2026-11-21T01:02:03.123456Z")).version_text
        name = "2026-11-21T01:02:03.123456000Z aws:us-east-1                    01936d6e-8a3c-7000-8000-000000000001"
        self.assertEqual(version, f"{name} 0a7975e94f34d40f")
        self.assertEqual(len(version), 117)

    def test_content_is_that_of_the_contract(self) -> None:
        """The examples of schema/README.md, whose figures sha256sum gave."""
        payload = canonical({"total": 1999.0, "id": "order-42", "currency": "EUR"})
        update = Event("order-42", "", "", "update", "2026-11-21T01:02:03.123456Z", payload)
        self.assertEqual(update.content, "ab542efc433a3778")
        delete = Event("order-42", "", "", "delete", "2026-11-21T01:02:04Z", canonical({"id": "order-42"}))
        self.assertEqual(delete.content, "e4f0ec29dbe7f1f7")

    def test_two_contents_of_one_event_are_ordered(self) -> None:
        def of(op: str, total: int) -> bytes:
            members = json.loads(event("2026-11-21T01:02:03Z", op=op))
            return json.dumps({**members, "payload": {"id": "k", "total": total}}).encode()

        contents = [of("update", 1), of("update", 2), of("upsert", 1), of("delete", 1)]
        last = max(map(read_event, contents), key=lambda one: one.content)
        for order in permutations(contents):
            self.assertEqual(winners(order)["k"], last)
        self.assertEqual(read_event(of("delete", 1)).version, read_event(of("delete", 2)).version)

    def test_order_is_that_of_the_texts(self) -> None:
        sent = generate(("aws:us-east-1", "azure:westeurope"), 500, 5, 3, NOW)
        events = [read_event(one.body) for one in sent]
        by_version = sorted(events, key=lambda one: one.version)
        self.assertEqual(by_version, sorted(events, key=lambda one: one.version_text.encode()))

    def test_ties_are_broken_by_origin_and_then_by_event(self) -> None:
        first = event("2026-11-21T01:02:03Z", "aws:us-east-1", 9)
        second = event("2026-11-21T01:02:03.0Z", "azure:westeurope", 1)
        third = event("2026-11-21T02:02:03+01:00", "azure:westeurope", 2)
        for order in permutations((first, second, third)):
            self.assertEqual(winners(order)["k"], read_event(third))

    def test_a_late_update_does_not_undo_a_delete(self) -> None:
        deleted = event("2026-11-21T01:02:03.500Z", op="delete")
        late = event("2026-11-21T01:02:03Z", number=2)
        self.assertTrue(winners([deleted, late])["k"].deleted)


class Values(unittest.TestCase):
    def test_numbers_are_equal_by_their_decimal_values(self) -> None:
        spellings = ("1", "1.0", "1.00", "1e0", "10e-1")
        self.assertEqual({canonical(json.loads(text)) for text in spellings}, {"1"})
        self.assertEqual(canonical(-0.0), canonical(0))
        self.assertEqual(canonical(1e21), canonical(10**21))
        self.assertEqual(canonical(1.2345678901234568e17), canonical(123456789012345680))

    def test_numbers_are_written_as_rfc_8785_shows(self) -> None:
        """Its appendix B."""
        for bits, text in (
            ("8000000000000000", "0"),
            ("0000000000000001", "5e-324"),
            ("ffefffffffffffff", "-1.7976931348623157e+308"),
            ("4340000000000000", "9007199254740992"),
            ("4430000000000000", "295147905179352830000"),
            ("44b52d02c7e14af5", "9.999999999999997e+22"),
            ("44b52d02c7e14af6", "1e+23"),
            ("444b1ae4d6e2ef4f", "999999999999999900000"),
            ("444b1ae4d6e2ef50", "1e+21"),
            ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
            ("3eb0c6f7a0b5ed8d", "0.000001"),
            ("41b3de4355555555", "333333333.3333333"),
            ("becbf647612f3696", "-0.0000033333333333333333"),
            ("43143ff3c1cb0959", "1424953923781206.2"),
        ):
            self.assertEqual(canonical(struct.unpack(">d", bytes.fromhex(bits))[0]), text)

    def test_names_and_texts_are_written_as_rfc_8785_shows(self) -> None:
        names = ("\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6")
        text = canonical(dict.fromkeys(names, 0))
        want = ("\\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33")
        self.assertEqual(text, "{" + ",".join(f'"{name}":0' for name in want) + "}")
        self.assertEqual(canonical('\u20ac$\u000f\nA\'B"\\\\"/'), '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"')

    def test_kinds_are_told_apart(self) -> None:
        self.assertEqual(len({canonical(value) for value in (1, True, "1", [1], {"1": 1}, None)}), 6)
        self.assertEqual(canonical({"b": 1, "a": [None]}), canonical({"a": [None], "b": 1.0}))

    def test_keys_are_escaped_for_cosmos(self) -> None:
        self.assertEqual(cosmos_id("a/b\\c?d#e~f "), "a~2Fb~5Cc~3Fd~23e~7Ef~20")
        self.assertEqual(cosmos_id(" größe%"), " größe%")
        self.assertEqual(cosmos_id("x\u00a0"), "x~C2~A0")
        self.assertEqual([cosmos_id(key) for key in (".", "..", "...")], ["~2E", "~2E~2E", "..."])

    def test_a_cloud_event_is_the_same_event(self) -> None:
        native = json.loads(event("2026-11-21T01:02:03Z"))
        cloud = {
            "specversion": "1.0",
            "id": native["event_id"].upper(),
            "source": native["source_region"],
            "type": "com.example.updated",
            "time": native["timestamp"],
            "data": native["payload"],
        }
        self.assertEqual(read_event(json.dumps(cloud).encode()), read_event(json.dumps(native).encode()))


class Workload(unittest.TestCase):
    def setUp(self) -> None:
        self.sent = generate(("aws:us-east-1", "azure:westeurope"), 2_000, 200, 1, NOW)

    def test_is_repeatable(self) -> None:
        self.assertEqual(self.sent, generate(("aws:us-east-1", "azure:westeurope"), 2_000, 200, 1, NOW))

    def test_any_order_has_the_same_winners(self) -> None:
        bodies = [one.body for one in self.sent]
        expected = winners(bodies)
        random.Random(0).shuffle(bodies)
        self.assertEqual(winners(bodies), expected)
        self.assertEqual(len(expected), 200)

    def test_is_nasty(self) -> None:
        events = [read_event(one.body) for one in self.sent]
        distinct = {(one.key, one.event_id): one for one in events}.values()
        instants: dict[tuple[str, int], set[str]] = {}
        for one in distinct:
            instants.setdefault((one.key, nanoseconds(one.timestamp)), set()).add(one.source_region)
        self.assertGreater(len(events), 2_400, "some are sent again")
        contents: dict[str, set[str]] = {}
        for one in events:
            contents.setdefault(one.event_id, set()).add(one.content)
        self.assertGreater(sum(len(of) == 2 for of in contents.values()), 50, "some have two contents")
        self.assertGreater(sum(len(origins) == 2 for origins in instants.values()), 300, "ties between origins")
        winning = winners(one.body for one in self.sent).values()
        self.assertGreater(sum(one.deleted for one in winning), 20)
        by_text = _greatest_text(distinct)
        self.assertGreater(sum(by_text[one.key].version < one.version for one in winning), 50, "texts mislead")
        ahead = max(nanoseconds(one.timestamp) for one in events) - int(NOW.timestamp()) * NANOSECONDS
        self.assertLess(ahead, 0, "none is stamped in the future")


def _greatest_text(events: Iterable[Event]) -> dict[str, Event]:
    """Who would win if timestamps were compared as texts."""
    greatest: dict[str, Event] = {}
    for one in events:
        greatest[one.key] = max(greatest.get(one.key, one), one, key=lambda either: either.timestamp)
    return greatest


if __name__ == "__main__":
    unittest.main()
