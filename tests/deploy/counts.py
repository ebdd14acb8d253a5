#!/usr/bin/env python3
"""What 1,000 events cost in calls: the figures of docs/costs.md.

    counts.py        # BRIDGE_PROGRAM names the program

Each site's worker takes 1,000 new events of its own site, then the 1,000 that its peer forwarded. Heartbeats and starts are in it.
"""

from __future__ import annotations

import sys
from collections import Counter

from clouds import AWS, AZURE, Clouds, wait

EVENTS = 1000


def main() -> int:
    clouds = Clouds()
    try:
        for site, queue, peer in ((AWS, "sqs", "service-bus"), (AZURE, "service-bus", "sqs")):
            clouds.publish(site, range(EVENTS))
            clouds.admin("DELETE", "/requests")
            drain(clouds, site, queue)
            show(clouds, f"{site}, its own events")
            other = AZURE if site == AWS else AWS
            drain(clouds, other, peer)
            show(clouds, f"{other}, the same events forwarded")
    finally:
        clouds.close()
    return 0


def drain(clouds: Clouds, site: str, queue: str) -> None:
    worker = clouds.worker(site)
    wait(lambda: clouds.waiting(queue) == 0, site)
    worker.terminate()
    worker.wait()


def show(clouds: Clouds, what: str) -> None:
    calls: Counter[str] = Counter()
    for one in clouds.admin("DELETE", "/requests")["requests"]:
        calls[f"{one['service']}:{one['operation']}"] += one["count"]
    print(f"{what}: {', '.join(f'{name} {count}' for name, count in sorted(calls.items()))}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
