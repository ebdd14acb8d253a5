#!/usr/bin/env python3
"""Puts an item of somebody else's at a key of each store, then sends events of that key: each ends in a letter, and the item stays.

Each site writes one event at its own foreign item, and one at the other's. Needs workers, and both dead-letter queues to itself. Exit code
0 if all is as it must be, 1 if not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from clouds import Clouds, connect
from contract import cosmos_id
from drift import SITES, Stores
from hosts import script
from site_port import Site, wait_for_letter

LETTER_SECONDS = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: foreign_item.py ready.json")
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    options = parser.parse_args()
    stores = Stores(options.ready_file)
    wrong: list[str] = []
    with connect(options.ready_file) as clouds:
        for holder in SITES:
            for origin in SITES:
                wrong += _play(clouds, stores, clouds.site(holder), clouds.site(origin))
    return script.verdict(wrong)


def _play(clouds: Clouds, stores: Stores, holder: Site, origin: Site) -> Iterator[str]:
    """An event that `origin` accepts, at a key where `holder` has an item that is no record."""
    key = f"foreign-{uuid4()}"
    stores.put_raw(holder.name, {"pk": key, "id": cosmos_id(key), "version": "1"})
    body = script.event(origin, key)
    origin.send([body])
    told = f"an event of {origin.name} at an item of {holder.name}"
    letters = wait_for_letter(holder, LETTER_SECONDS)
    if [letter.body for letter in letters] != [body]:
        yield f"{told}: {len(letters)} letters at {holder.name}"
        return
    properties = letters[0].properties
    holder.drop_letter(letters[0])
    said = {name: properties.get(name) for name in ("bridge_reason", "bridge_owed")}
    if said != {"bridge_reason": "store_rejected", "bridge_owed": holder.name}:
        yield f"{told}: the letter says {dict(properties)}"
    if key not in properties.get("bridge_detail", ""):
        yield f"{told}: the detail does not name the key: {properties.get('bridge_detail')}"
    (item,) = stores.held(holder.name).get(key, [None])
    if item is None or item["version"] != "1" or item["event_id"] is not None:
        yield f"{told}: the item was changed into {item}"
    other = next(site for site in clouds.sites if site is not holder)
    record = other.record(key)
    if record is None or record.problems:
        yield f"{told}: {other.name} holds {record}"


if __name__ == "__main__":
    sys.exit(main())
