"""The sites that a ready file names."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from aws_site import AwsSite
from azure_site import AzureSite
from site_port import Site

SiteOf = TypeVar("SiteOf", bound=Site)
KINDS = {"aws": AwsSite, "azure": AzureSite}
QUEUES = {"aws": "sqs", "azure": "service-bus"}
"""The service of each cloud that has its queues, as the admin endpoint names it."""


@dataclass(frozen=True)
class Clouds:
    """The sites of a ready file, those in AWS first."""

    sites: tuple[Site, ...]
    admin: str
    """Where the admin endpoint is."""

    @property
    def aws(self) -> AwsSite:
        """The one site in AWS."""
        return self._only(AwsSite)

    @property
    def azure(self) -> AzureSite:
        """The one site in Azure."""
        return self._only(AzureSite)

    def _only(self, kind: type[SiteOf]) -> SiteOf:
        found = [site for site in self.sites if isinstance(site, kind)]
        if len(found) != 1:
            raise SystemExit(f"this script is for one site in each cloud, not for {', '.join(s.name for s in self.sites)}")
        return found[0]

    def site(self, name: str) -> Site:
        """The site of that name."""
        return next(site for site in self.sites if site.name == name)

    def arrived(self) -> dict[str, int]:
        """How many messages senders brought to each site's queues so far, by its service's own count."""
        with urllib.request.urlopen(f"{self.admin}/usage", timeout=5) as answer:
            usage = json.load(answer)
        services = {site.name: site.name.partition(":") for site in self.sites}
        return {name: usage[f"{QUEUES[cloud]}@{region}"]["sent"] for name, (cloud, _, region) in services.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for site in self.sites:
            site.close()


def connect(ready_file: Path) -> Clouds:
    """Opens the sites of a ready file."""
    ready = json.loads(ready_file.read_text())
    sites = sorted(ready["sites"].items(), key=lambda named: (named[1]["cloud"], named[0]))
    return Clouds(tuple(KINDS[site["cloud"]](name, site) for name, site in sites), ready.get("admin", ""))
