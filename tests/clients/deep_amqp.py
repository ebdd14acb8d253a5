#!/usr/bin/env python3
"""Sends messages to the Azure site whose bodies are AMQP values nested without end, and good events among them.

With `--only send` that is all. Then every event must be in both stores, and every other message in a letter, byte for byte as
it came. Exit code 0 if all is so, 1 if not. Needs the queue to itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from clouds import connect
from hosts import script
from raw_amqp import RawSender, binary, compound, described
from site_port import wait_for_letter

VALUE_BYTES = 200_000
"""As much as a message of the Standard tier holds. Every level takes a stack frame of a decoder with recursion."""
DATA, VALUE = 0x75, 0x77
PATIENCE_SECONDS = 30.0


def nested() -> Iterator[tuple[str, bytes]]:
    """One value for each way to nest."""
    levels = VALUE_BYTES // 2
    yield "described values", b"\x00\x44" * levels + b"\x40"
    yield "descriptors", b"\x00" * levels + b"\x44" * levels + b"\x40"
    for name, code, before in (("lists", 0xD0, b""), ("maps", 0xD1, b"\x40"), ("arrays", 0xF0, b"")):
        value = compound(0xF0, 1, b"\x40") if code == 0xF0 else b"\x40"
        parts: list[bytes] = []
        length = len(value)
        for _ in range(VALUE_BYTES // (9 + len(before))):
            head = compound(code, 2 if before else 1, b"")[:1] + (length + 4 + len(before)).to_bytes(4, "big")
            head += (2 if before else 1).to_bytes(4, "big") + before
            # The elements of an array share one constructor, which stands before them.
            parts.append(head)
            length += len(head)
        yield name, b"".join(reversed(parts)) + value


def main() -> int:
    options = _options()
    ready = json.loads(options.ready_file.read_text())
    name, site = next((name, site) for name, site in ready["sites"].items() if site["cloud"] == "azure")
    bodies = {value: way for way, value in nested()}
    keys = [f"deep/{number}" for number in range(len(bodies) + 1)]
    with connect(options.ready_file) as clouds:
        azure = clouds.site(name)
        if options.only != "check":
            with RawSender(site["service_bus_connection_string"], site["queue"]) as sender:
                for key, value in zip(keys, bodies, strict=False):
                    sender.send(described(DATA, binary(script.event(azure, key))))
                    sender.send(described(VALUE, value))
                sender.send(described(DATA, binary(script.event(azure, keys[-1]))))
        if options.only == "send":
            return 0
        wrong = []
        end = time.monotonic() + PATIENCE_SECONDS
        for one in clouds.sites:
            for key in keys:
                while one.record(key) is None and time.monotonic() < end:
                    time.sleep(0.2)
                if one.record(key) is None:
                    wrong.append(f"{one.name} has not got {key}")
        while bodies and (letters := wait_for_letter(azure, 5)):
            for letter in letters:
                way = bodies.pop(letter.body, None)
                reason = letter.properties.get("bridge_reason")
                if way is None or reason != "not_json":
                    wrong.append(f"a letter of {len(letter.body)} bytes, {way}, with the reason {reason}")
                azure.drop_letter(letter)
        wrong += [f"no letter has the value of nested {way}" for way in bodies.values()]
    return script.verdict(wrong)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: deep_amqp.py ready.json")
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    parser.add_argument("--only", choices=["send", "check"], help="one half of it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
