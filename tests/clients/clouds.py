"""The two sites that a ready file names."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aws_site import AwsSite
from azure_site import AzureSite
from site_port import Site


@dataclass(frozen=True)
class Clouds:
    """The two sites of a ready file."""

    aws: AwsSite
    azure: AzureSite

    @property
    def sites(self) -> tuple[Site, Site]:
        return self.aws, self.azure

    def site(self, name: str) -> Site:
        """The site of that name."""
        return next(site for site in self.sites if site.name == name)

    def both(self, what: str) -> tuple[Any, Any]:
        """Asks both sites at the same time for what a method of that name answers."""
        with ThreadPoolExecutor(2) as pool:
            aws, azure = (pool.submit(getattr(site, what)) for site in self.sites)
            return aws.result(), azure.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for site in self.sites:
            site.close()


def connect(ready_file: Path) -> Clouds:
    """Opens the sites of a ready file; there must be one in each cloud."""
    sites = json.loads(ready_file.read_text())["sites"]
    by_cloud = {site["cloud"]: (name, site) for name, site in sites.items()}
    if len(sites) != 2 or set(by_cloud) != {"aws", "azure"}:
        raise SystemExit(f"{ready_file} must name one AWS and one Azure site, it names {', '.join(sites)}")
    return Clouds(AwsSite(*by_cloud["aws"]), AzureSite(*by_cloud["azure"]))
