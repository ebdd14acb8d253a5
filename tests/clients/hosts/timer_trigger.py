"""The timer trigger of the Functions host, for schedules of the form `*/N * * * * *`: every N seconds of the minute."""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime

from hosts.counts import Counts
from hosts.function_package import BadPackage, Package
from hosts.function_payload import tick
from hosts.functions_host import FunctionsHost

_EVERY = re.compile(r"\*/(\d{1,2})( \*){5}")


def run(package: Package, host: FunctionsHost, counts: Counts, stop: threading.Event) -> None:
    """Invokes the function at each of its times until `stop`."""
    trigger = package.trigger("timerTrigger")
    match = _EVERY.fullmatch(trigger.members["schedule"])
    if not match:
        raise BadPackage(f"this player knows no schedule {trigger.members['schedule']!r}")
    every = int(match[1])
    while not stop.wait(every - time.time() % every):
        verdict = host.invoke(trigger.function, tick(trigger.function, trigger.binding, datetime.now(UTC)))
        counts.add("ticks" if verdict.completed else "ticks_failed")
