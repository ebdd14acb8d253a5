#!/usr/bin/env python3
"""How much faster several workers empty one queue: the figures of docs/sizing.md.

    scale.py [EVENTS] [LATENCY_MS]        # BRIDGE_PROGRAM names the program

Every call to a service takes LATENCY_MS longer, as in a network: without it the services of localcloud are what limits, on the same
cores.
"""

from __future__ import annotations

import sys
import time

from clouds import AWS, AZURE, Clouds, wait

WORKERS = (1, 2, 4)
SITES = {AWS: "sqs", AZURE: "service-bus"}


def main() -> int:
    events, latency = (int(word) for word in [*sys.argv[1:], 2000, 200][:2])
    for site, queue in SITES.items():
        for count in WORKERS:
            clouds = Clouds()
            try:
                clouds.publish(site, range(events))
                clouds.admin("POST", "/faults", f"*:*:latency,fixed={latency}ms")
                start = time.monotonic()
                workers = [clouds.worker(site) for _ in range(count)]
                # Heartbeats come and go.
                wait(lambda: clouds.waiting(queue) <= count, f"{count} workers")
                seconds = time.monotonic() - start
                for worker in workers:
                    worker.kill()
                    worker.wait()
            finally:
                clouds.close()
            print(f"{site}, workers {count}: {events} events in {seconds:.1f} s, {events / seconds:.0f} a second", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
