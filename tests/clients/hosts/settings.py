"""What a deployment gives the two functions, taken from a ready file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hosts.lambda_runtime import Function


def lambda_function(
    folder: Path, ready: Mapping[str, Any], site: str, timeout_seconds: float, more: Iterable[str] = ()
) -> Function:
    """The function of the AWS site. `more` are variables as `NAME=VALUE`."""
    variables = {"BRIDGE_CONFIG": ready["config"], "BRIDGE_SITE": site, **_pairs(more)}
    return Function(folder.resolve(), variables, timeout_seconds, region=ready["sites"][site]["region"])


def function_settings(ready: Mapping[str, Any], more: Iterable[str] = ()) -> dict[str, str]:
    """The app settings of the function of the Azure site."""
    name, site = next((name, site) for name, site in ready["sites"].items() if site["cloud"] == "azure")
    return {
        "BRIDGE_CONFIG": ready["config"],
        "BRIDGE_SITE": name,
        "BRIDGE_QUEUE": site["queue"],
        "BRIDGE_SERVICE_BUS": site["service_bus_connection_string"],
        **_pairs(more),
    }


def _pairs(settings: Iterable[str]) -> dict[str, str]:
    return dict(setting.split("=", 1) for setting in settings)
