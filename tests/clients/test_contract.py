"""Tests of the second reading itself: `python -m unittest` in this folder."""

from __future__ import annotations

import json
import random
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
        want = "2026-11-21T01:02:03.123456000Z aws:us-east-1                    01936d6e-8a3c-7000-8000-000000000001"
        self.assertEqual(version, want)
        self.assertEqual(len(version), 100)

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
