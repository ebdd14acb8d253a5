"""Proxies that lie: between a client and a service, one kind of lie at a time."""

from __future__ import annotations

import copy
import urllib.parse
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from harness import site

from . import amqp, web

HONEST = "honest"
IDLE_FAULTS = "faults do nothing"


def lies_about(service: str) -> list[str]:
    """The kinds of lies that are told about a service."""
    faults = [] if service == "sqs" else [IDLE_FAULTS]
    return [*web.LIES, *(amqp.LIES if service == "service_bus" else []), *faults]


class Proxies:
    """The proxies of one service; entering answers a ready file that leads through them."""

    def __init__(self, ready: Mapping[str, Any], service: str, lie: str) -> None:
        self._ready, self._service, self._lie = copy.deepcopy(dict(ready)), service, lie
        self._stack = ExitStack()

    def __enter__(self) -> dict[str, Any]:
        aws, azure = (site(self._ready, cloud) for cloud in ("aws", "azure"))
        if self._lie == IDLE_FAULTS:
            self._ready["admin"] = self._stack.enter_context(web.idle_admin())
        elif self._service == "service_bus":
            text = azure["service_bus_connection_string"]
            host = text.split("sb://")[1].split(";")[0]
            mine = self._stack.enter_context(amqp.proxy(host, amqp.LIES.get(self._lie)))
            azure["service_bus_connection_string"] = text.replace(host, mine)
            self._through(azure, "service_bus_http_endpoint")
        else:
            self._through(azure if self._service == "cosmos" else aws, f"{self._service}_endpoint")
        return self._ready

    def _through(self, one: dict[str, str], name: str) -> None:
        server = urllib.parse.urlsplit(one[name]).netloc
        mine = self._stack.enter_context(web.proxy(server, web.LIES.get(self._lie)))
        one[name] = one[name].replace(server, mine)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stack.close()
