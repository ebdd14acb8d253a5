"""The files of a function app, read as the host reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SETTING = re.compile(r"%([^%]+)%")
_SPAN = re.compile(r"(?:(\d+)\.)?(\d\d):(\d\d):(\d\d)(?:\.(\d{1,7}))?")


class BadPackage(Exception):
    """The host would not start this function app."""


@dataclass(frozen=True)
class Trigger:
    """The trigger of one function."""

    function: str
    """Its folder's name, which is the path that it is posted to."""
    binding: str
    kind: str
    members: Mapping[str, Any]


@dataclass(frozen=True)
class Package:
    """A function app."""

    folder: Path
    executable: Path
    arguments: tuple[str, ...]
    triggers: tuple[Trigger, ...]
    concurrent_calls_max: int
    renewal_seconds_max: float
    timeout_seconds: float

    def trigger(self, kind: str) -> Trigger:
        """The only trigger of that kind."""
        found = [trigger for trigger in self.triggers if trigger.kind == kind]
        if len(found) != 1:
            raise BadPackage(f"{self.folder} has {len(found)} functions with a {kind}, one is wanted")
        return found[0]


def read(folder: Path, settings: Mapping[str, str], cores: int) -> Package:
    """Reads a function app. `settings` are its app settings, that fill `%NAME%`.

    Defaults are those of the host and of its Service Bus extension: docs/hosts.md, "Files".
    """
    host = json.loads((folder / "host.json").read_text())
    if host.get("version") != "2.0":
        raise BadPackage("host.json: the version must be 2.0")
    custom = host["customHandler"]
    if custom.get("enableForwardingHttpRequest") or custom.get("enableProxyingHttpRequest"):
        raise BadPackage("host.json: forwarding concerns functions with an HTTP trigger only; it should not be set")
    description = custom["description"]
    executable = folder / description.get("workingDirectory", "") / description["defaultExecutablePath"]
    bus = host.get("extensions", {}).get("serviceBus", {})
    if not bus.get("autoCompleteMessages", True):
        raise BadPackage("host.json: without autoCompleteMessages nobody ever settles a custom handler's messages")
    return Package(
        folder=folder,
        executable=executable,
        arguments=tuple(description.get("arguments", [])),
        triggers=tuple(_triggers(folder, settings)),
        concurrent_calls_max=bus.get("maxConcurrentCalls", 16 * cores),
        renewal_seconds_max=_seconds(bus.get("maxAutoLockRenewalDuration", "00:05:00")),
        timeout_seconds=_seconds(host.get("functionTimeout", "00:30:00")),
    )


def _triggers(folder: Path, settings: Mapping[str, str]) -> list[Trigger]:
    triggers = []
    for file in sorted(folder.glob("*/function.json")):
        bindings = json.loads(file.read_text())["bindings"]
        found = [binding for binding in bindings if binding["type"].lower().endswith("trigger")]
        if len(found) != 1:
            raise BadPackage(f"{file}: {len(found)} triggers, a function has one")
        members = {name: _resolve(value, settings) for name, value in found[0].items()}
        if members["type"] == "serviceBusTrigger" and members["connection"] not in settings:
            raise BadPackage(f"{file}: there is no app setting {members['connection']}")
        triggers.append(Trigger(file.parent.name, members["name"], members["type"], members))
    return triggers


def _resolve(value: Any, settings: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return _SETTING.sub(lambda match: settings[match[1]], value)
    except KeyError as error:
        raise BadPackage(f"{value} names an app setting that is not there") from error


def _seconds(span: str) -> float:
    """.NET's `[d.]hh:mm:ss[.fffffff]`."""
    match = _SPAN.fullmatch(span)
    if not match:
        raise BadPackage(f"{span!r} is no time span")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds + float(f"0.{match[5] or 0}")
