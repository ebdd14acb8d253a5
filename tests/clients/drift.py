"""Fills DynamoDB with records, and makes the two stores drift apart, through the official clients alone.

drift.py READY fill COUNT     writes COUNT records to DynamoDB; prints how many of them are tombstones
drift.py READY plant          plants 37 differences among them; prints what is to be found, {key: kind}
drift.py READY mend KEY...    deletes at each site what is no proper record of these keys, as docs/verify.md has it
drift.py READY compare        prints the keys, but for the bridge's own, of which the two stores do not hold the same
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3
from azure.cosmos import CosmosClient
from boto3.dynamodb.types import TypeSerializer

from contract import Event, canonical, cosmos_id
from stored import HEARTBEAT_PREFIX

ITEMS_AT_ONCE = 25
"""Items of a batch of writes ("Quotas in Amazon DynamoDB", read 2026-11)."""
TOMBSTONE_LIFE = timedelta(days=60)
NOW = datetime.now(UTC).replace(microsecond=0)
SITES = ("aws:us-east-1", "azure:westeurope")


class Stores:
    """Both stores, as anybody with a right to write would reach them."""

    def __init__(self, ready_file: Path) -> None:
        sites = json.loads(ready_file.read_text())["sites"]
        aws, azure = (sites[name] for name in SITES)
        self._dynamodb = boto3.client(
            "dynamodb",
            endpoint_url=aws["dynamodb_endpoint"],
            region_name=aws["region"],
            aws_access_key_id=aws["access_key_id"],
            aws_secret_access_key=aws["secret_access_key"],
        )
        self._table = aws["table"]
        cosmos = CosmosClient(azure["cosmos_endpoint"], credential=azure["cosmos_key"])
        self._container = cosmos.get_database_client(azure["database"]).get_container_client(azure["container"])

    def fill(self, records: Iterable[dict[str, Any]]) -> None:
        """Writes to DynamoDB, many at a time."""

        def write(batch: list[dict[str, Any]]) -> None:
            requests = [{"PutRequest": {"Item": _dynamodb_item(record)}} for record in batch]
            for _ in range(50):
                answer = self._dynamodb.batch_write_item(RequestItems={self._table: requests})
                requests = answer.get("UnprocessedItems", {}).get(self._table, [])
                if not requests:
                    return
            raise RuntimeError("DynamoDB still leaves items unwritten after 50 tries")

        records = iter(records)
        with ThreadPoolExecutor(4) as pool:
            while batches := [batch for _ in range(8) if (batch := _take(records, ITEMS_AT_ONCE))]:
                list(pool.map(write, batches))

    def put(self, site: str, record: Mapping[str, Any]) -> None:
        if site == SITES[0]:
            self._dynamodb.put_item(TableName=self._table, Item=_dynamodb_item(record))
        else:
            self._container.upsert_item(_cosmos_item(record))

    def put_raw(self, site: str, item: dict[str, Any]) -> None:
        if site == SITES[0]:
            serialize = TypeSerializer().serialize
            self._dynamodb.put_item(TableName=self._table, Item={name: serialize(item[name]) for name in item})
        else:
            self._container.upsert_item(item)

    def delete(self, site: str, key: str) -> None:
        if site == SITES[0]:
            self._dynamodb.delete_item(TableName=self._table, Key={"pk": {"S": key}})
            return
        for item in list(self._container.query_items("SELECT c.id, c.pk FROM c", partition_key=key)):
            self._container.delete_item(item["id"], partition_key=key)

    def held(self, site: str) -> dict[str, list[dict[str, Any]]]:
        """All items by key, in a form that both stores share; without what is not part of equality."""
        if site == SITES[0]:
            pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
            items: Iterable[dict[str, Any]] = (_plain({"M": item}) for page in pages for item in page["Items"])
        else:
            items = self._container.query_items("SELECT * FROM c", enable_cross_partition_query=True)
        names = ("version", "event_id", "source_region", "timestamp", "op_type", "deleted", "payload")
        held: dict[str, list[dict[str, Any]]] = {}
        for item in items:
            if not item["pk"].startswith(HEARTBEAT_PREFIX):
                mortal = not item.get("deleted") and not item.keys().isdisjoint(("expires_at", "ttl"))
                compared = {name: item.get(name) for name in names}
                held.setdefault(item["pk"], []).append({**compared, "mortal": mortal})
        return held


def _take(records: Iterable[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [record for _, record in zip(range(count), records)]


def record(key: str, number: int, at: datetime, op: str = "upsert") -> dict[str, Any]:
    """A record as a worker would write it; the same arguments make the same record."""
    timestamp = at.strftime("%Y-%m-%dT%H:%M:%S") + f".{number % 1000:03}Z"
    origin = SITES[number % 2]
    payload = {"id": key, "number": number, "of": {"site": origin, "tags": ["a", "b"]}, "open": True}
    deleted = op == "delete"
    event = Event(key, str(UUID(int=number + 1)), origin, op, timestamp, "" if deleted else canonical(payload))
    made = {
        "pk": key,
        "version": event.version_text,
        "event_id": event.event_id,
        "source_region": origin,
        "timestamp": timestamp,
        "op_type": op,
        "deleted": deleted,
        "applied_at": timestamp,
        "applied_by": origin,
    }
    if not deleted:
        made["payload"] = payload
    return made


def _dynamodb_item(record: Mapping[str, Any]) -> dict[str, Any]:
    serialize = TypeSerializer().serialize
    item = {name: serialize(record[name]) for name in record}
    if record["deleted"]:
        # Counted from the second after the writing, as the bridge does.
        applied = datetime.fromisoformat(record["applied_at"].replace("Z", "+00:00"))
        item["expires_at"] = {"N": str(int((applied + TOMBSTONE_LIFE).timestamp()) + 1)}
    return item


def _cosmos_item(record: Mapping[str, Any]) -> dict[str, Any]:
    item = dict(record, id=cosmos_id(record["pk"]))
    if record["deleted"]:
        item["ttl"] = int(TOMBSTONE_LIFE.total_seconds())
    return item


def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    match kind:
        case "N":
            return float(inner)
        case "NULL":
            return None
        case "M":
            return {name: _plain(member) for name, member in inner.items()}
        case "L":
            return [_plain(item) for item in inner]
    return inner


def fill(stores: Stores, count: int) -> None:
    def one(number: int) -> dict[str, Any]:
        op = "delete" if number % 50 == 0 else "upsert"
        return record(f"order-{number}", number, NOW - timedelta(seconds=600 + number % 86_400), op)

    stores.fill(map(one, range(count)))
    print(json.dumps({"tombstones": len(range(0, count, 50))}))


def plant(stores: Stores) -> dict[str, str]:
    """37 keys with something wrong, at either site by turns, and some with nothing wrong that may look so."""
    expected: dict[str, str] = {}
    minute = timedelta(minutes=1)
    then = NOW - 10 * minute

    def keys(kind: str, count: int, named: str) -> Iterable[tuple[str, str, str, int]]:
        for number in range(count):
            key = f"{named}/{number}"
            expected[key] = kind
            yield key, SITES[number % 2], SITES[(number + 1) % 2], number

    for key, here, _, number in keys("missing", 10, "missing"):
        stores.put(here, record(key, number, then))
    for key, here, _, number in keys("missing", 4, "missing tombstone"):
        stores.put(here, record(key, number, then, "delete"))
    for key, here, there, number in keys("older", 8, "older"):
        stores.put(here, record(key, number, then + minute))
        stores.put(there, record(key, number, then))
    for key, here, there, number in keys("older", 3, "undead"):
        stores.put(here, record(key, number, then + minute, "delete"))
        stores.put(there, record(key, number, then))
    for key, here, there, number in keys("misfit", 2, "changed"):
        good = record(key, number, then)
        stores.put(here, good)
        stores.put(there, {**good, "payload": {**good["payload"], "number": -1}})
    for key, here, there, number in keys("misfit", 2, "mortal"):
        # It lives, and its store will delete it.
        good = record(key, number, then)
        stores.put(here, good)
        expiry = {SITES[0]: {"expires_at": int(NOW.timestamp()) + 86_400}, SITES[1]: {"id": cosmos_id(key), "ttl": 86_400}}
        stores.put_raw(there, {**good, **expiry[there]})
    for key, here, there, number in keys("misfit", 3, "misfit"):
        good = record(key, number, then)
        stores.put(here, good)
        stores.put(there, {**good, "version": record(key, number, then + minute)["version"]})
    for key, here, there, number in keys("foreign", 4, "foreign"):
        stores.put(here, record(key, number, then))
        stores.put_raw(there, {"pk": key, "id": cosmos_id(key), "version": 7, "somebody": "else's"})
    for key, here, there, number in keys("foreign", 1, "beside"):
        # A second item in the partition of a key that is all right.
        stores.put(here, record(key, number, then))
        stores.put(there, record(key, number, then))
        stores.put_raw(SITES[1], {"pk": key, "id": "beside", "version": 7})

    for number in range(3):
        long_ago = NOW - TOMBSTONE_LIFE - timedelta(days=number, minutes=5)
        gone = record(f"gone/{number}", number, long_ago, "delete")
        # As if a worker had come to it late, so that it still lives at one site.
        stores.put(SITES[number % 2], {**gone, "applied_at": NOW.strftime("%Y-%m-%dT%H:%M:%S.000Z")})
    stores.put(SITES[0], record(f"{HEARTBEAT_PREFIX}heartbeat/elsewhere", 1, then))
    return expected


def mend(stores: Stores, keys: list[str]) -> None:
    for key in keys:
        number = int(key.rpartition("/")[2])
        # What was planted wrong lies at the other site than the good record.
        stores.delete(SITES[1] if key.startswith("beside") else SITES[(number + 1) % 2], key)


def compare(stores: Stores) -> list[str]:
    here, there = (stores.held(site) for site in SITES)
    expired = [key for key in here | there if key.startswith("gone/")]
    return sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key) and key not in expired)


def main() -> None:
    stores = Stores(Path(sys.argv[1]))
    match sys.argv[2:]:
        case ["fill", count]:
            fill(stores, int(count))
        case ["plant"]:
            print(json.dumps(plant(stores)))
        case ["mend", *keys]:
            mend(stores, keys)
        case ["compare"]:
            print(json.dumps(compare(stores)))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
