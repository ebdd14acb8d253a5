#!/usr/bin/env python3
"""Counts what lies in the queues and stores, by the clouds' own clients, once for each line of standard input.

Prints one JSON object a scan: by site the messages in its queue, its dead letters, and the keys that its store lacks and another one has. It
knows nothing of what the bridge says of itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from clouds import Clouds, connect


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ready_file", type=Path, help="as written by `bridge local --ready-file`")
    with connect(parser.parse_args().ready_file) as clouds:
        for _ in sys.stdin:
            print(json.dumps(_scan(clouds)), flush=True)
    return 0


def _scan(clouds: Clouds) -> dict[str, dict[str, int]]:
    stores = {site.name: set(site.records()) for site in clouds.sites}
    everything = set().union(*stores.values())
    return {
        site.name: {
            "queue": site.queue_waiting(),
            "letters": site.letters_waiting(),
            "missing": len(everything - stores[site.name]),
        }
        for site in clouds.sites
    }


if __name__ == "__main__":
    sys.exit(main())
