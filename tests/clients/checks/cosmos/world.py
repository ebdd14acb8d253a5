"""The Cosmos DB under test, and calls that the official client would not make."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from azure.core import MatchConditions
from azure.cosmos import ContainerProxy, CosmosClient, DatabaseProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

from harness import Admin, equal, site

RUN = uuid.uuid4().hex[:8]
"""Keeps the items of this run apart from those of any other."""
IF_UNCHANGED = MatchConditions.IfNotModified


class World:
    """A client without retries, and the container of the ready file."""

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self.site = site(ready, "azure")
        self.admin = Admin(ready["admin"], "cosmos")
        self.client = self.connect()
        database = self.client.get_database_client(self.site["database"])
        self.records = database.get_container_client(self.site["container"])

    def connect(self, credential: str | None = None) -> CosmosClient:
        # No retries: a check must see the service's own answer.
        return CosmosClient(
            self.site["cosmos_endpoint"],
            credential or self.site["cosmos_key"],
            retry_total=0,
            retry_throttle_total=0,
            retry_write=0,
            connection_timeout=3,
            read_timeout=10,
        )

    @cached_property
    def database(self) -> DatabaseProxy:
        """A database that goes with the check."""
        return self.client.create_database(f"check-{uuid.uuid4()}")

    def create(self, name: str, container: ContainerProxy | None = None, **more: Any) -> dict[str, Any]:
        key = f"{RUN}-{name}"
        return (container or self.records).create_item({"id": key, "pk": key, **more})

    def read(self, item: Mapping[str, Any], container: ContainerProxy | None = None) -> dict[str, Any]:
        return (container or self.records).read_item(item["id"], item["pk"])

    def header(self, name: str) -> Any:
        """A header of the last answer."""
        return self.records.client_connection.last_response_headers.get(name)

    def clean_up(self) -> None:
        self.admin.restore()
        if "database" in vars(self):
            self.client.delete_database(self.database)
            del self.database


def refused(
    status: int, call: Callable[..., Any], *arguments: Any, substatus: int | None = None, **named: Any
) -> CosmosHttpResponseError:
    """The call must fail with this HTTP status and, if given, this substatus."""
    try:
        call(*arguments, **named)
    except CosmosHttpResponseError as error:
        equal(error.status_code, status, error.message[:200])
        if substatus is not None:
            equal(error.sub_status, substatus, "substatus")
        return error
    raise AssertionError(f"expected {status}, but the call succeeded")


def user(item: Mapping[str, Any]) -> dict[str, Any]:
    """What of an item is the user's own."""
    return {name: value for name, value in item.items() if not name.startswith("_")}


def token(expires: float) -> str:
    """A bearer token of the right shape; nobody here could check its signature."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return (
        f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part({'exp': int(expires), 'aud': 'https://cosmos.azure.com'})}.c2ln"
    )


def raw(
    world: World,
    method: str,
    item_path: str | None,
    body: dict[str, Any] | None = None,
    key: str | None = None,
    bearer: str | None = None,
) -> tuple[int, Mapping[str, str], Any]:
    """A call without the client, which checks ids itself, retries by itself, and gives no token to a server without
    TLS.
    """
    bearer = token(time.time() + 600) if bearer is None else bearer
    site = world.site
    path = "dbs" if item_path is None else f"dbs/{site['database']}/colls/{site['container']}/docs{item_path}"
    headers = {
        "authorization": f"type%3Daad%26ver%3D1.0%26sig%3D{bearer}",
        "x-ms-version": "2020-07-15",
        "content-type": "application/json",
        "x-ms-documentdb-partitionkey": json.dumps([key or (body or {}).get("pk")]),
    }
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(site["cosmos_endpoint"] + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read() or b"null")
