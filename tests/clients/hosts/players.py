"""Both players together, for a script that drives them step by step or lets them run."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from clouds import connect
from hosts import function_package
from hosts.counts import Counts
from hosts.event_source_mapping import RECEIVE_MAX, EventSourceMapping
from hosts.faults import Faults
from hosts.functions_host import FunctionsHost
from hosts.lambda_runtime import Environment
from hosts.service_bus_trigger import ServiceBusTrigger
from hosts.settings import function_settings, lambda_function
from site_port import Site

ENVIRONMENTS = 2
LOOK_SECONDS = 0.1


class Players:
    """The two functions of a package on their hosts. `settings` are further variables, as `NAME=VALUE`."""

    def __init__(
        self, ready_file: Path, package: Path, settings: Sequence[str] = (), timeout_seconds: float = 10.0
    ) -> None:
        ready = json.loads(ready_file.read_text())
        self._open = ExitStack()
        self.clouds = self._open.enter_context(connect(ready_file))
        self.faults = Faults(ready["admin"])
        self.counts = {site.name: Counts() for site in self.clouds.sites}

        aws = self.clouds.aws.name
        function = lambda_function(package / "lambda", ready, aws, timeout_seconds, settings)
        self.environments = [Environment(function, self.counts[aws]) for _ in range(ENVIRONMENTS)]
        for environment in self.environments:
            self._open.callback(environment.close)
        self.mapping = EventSourceMapping(ready["sites"][aws], timeout_seconds, self.counts[aws])

        counts = self.counts[self.clouds.azure.name]
        self.app = function_settings(ready, settings)
        self.package = function_package.read(package / "function", self.app, os.cpu_count() or 1)
        self.host = FunctionsHost(self.package, self.app, counts)
        self.trigger = ServiceBusTrigger(self.package, self.app, self.host, counts)

    def __enter__(self) -> Self:
        self._open.enter_context(self.host)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._open.close()

    @contextmanager
    def running(self, *sites: Site) -> Iterator[None]:
        """Lets the hosts of these sites work while the block lasts."""
        stop = threading.Event()
        works: list[Callable[[], None]] = []
        if self.clouds.aws in sites:
            works += [
                lambda environment=environment: self.mapping.poll(environment, RECEIVE_MAX, stop)  # type: ignore[misc]
                for environment in self.environments
            ]
        if self.clouds.azure in sites:
            works.append(lambda: self.trigger.run(stop))
        threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def work_off(self, *sites: Site, within_seconds: float) -> list[str]:
        """Lets them work until the queues of these sites are empty; what was not in time."""
        end = time.monotonic() + within_seconds
        with self.running(*sites):
            while busy := [site.name for site in sites if not site.queue_is_empty()]:
                if time.monotonic() > end:
                    break
                time.sleep(LOOK_SECONDS)
        return [f"the queue of {name} is not empty after {within_seconds:g} s" for name in busy]
