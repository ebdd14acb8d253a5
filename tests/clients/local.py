"""A `bridge local` of one's own, its clients, and what its process takes from the machine."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

START_SECONDS_MAX = 30


class Local:
    """Starts on entry; ended when left, whatever happened."""

    def __init__(self, bridge: Path, address: str, *words: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        file = self.ready_file = Path(self._folder.name) / "ready.json"
        start = time.monotonic()
        command = [bridge, "local", "--quiet", "--ready-file", file, "--service-bus-address", address, *words]
        self.process = subprocess.Popen(command)
        while not file.exists():
            if self.process.poll() is not None or time.monotonic() > start + START_SECONDS_MAX:
                self.stop()
                raise SystemExit(f"bridge local did not start on {address}")
            time.sleep(0.005)
        self.start_seconds = time.monotonic() - start
        self.ready = json.loads(file.read_text())
        sites = self.ready["sites"].values()
        self.aws, self.azure = (next(one for one in sites if one["cloud"] == cloud) for cloud in ("aws", "azure"))

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def sqs(self, pool: int = 10) -> Any:
        return self._aws("sqs", pool)

    def dynamodb(self) -> Any:
        return self._aws("dynamodb", 10)

    def _aws(self, service: str, pool: int) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            region_name=self.aws["region"],
            endpoint_url=self.aws[f"{service}_endpoint"],
            config=Config(max_pool_connections=pool, read_timeout=60),
            aws_access_key_id=self.aws["access_key_id"],
            aws_secret_access_key=self.aws["secret_access_key"],
        )

    def cosmos(self) -> Any:
        """The container of the site's records."""
        from azure.cosmos import CosmosClient

        client = CosmosClient(self.azure["cosmos_endpoint"], self.azure["cosmos_key"])
        database = client.get_database_client(self.azure["database"])
        return database.get_container_client(self.azure["container"])

    def usage(self) -> dict[str, dict[str, int]]:
        """What each service holds now, by its own account: without the count of all that ever came."""
        with urllib.request.urlopen(self.ready["admin"] + "/usage", timeout=5) as answer:
            services = json.load(answer)
        return {
            name.partition("@")[0]: {what: count for what, count in usage.items() if what != "sent"}
            for name, usage in services.items()
        }

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def cpu_seconds(self) -> float:
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._folder.cleanup()
