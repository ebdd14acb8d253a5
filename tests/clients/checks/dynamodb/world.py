"""The DynamoDB under test, and the write that the bridge makes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config
from botocore.exceptions import ClientError

from harness import Admin, equal, site

RUN = uuid.uuid4().hex[:8]
"""Keeps the keys of this run apart from those of any other."""


class World:
    """A client without retries, and the table of the ready file."""

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self.site = site(ready, "aws")
        self.admin = Admin(ready["admin"], "dynamodb")
        self.table = self.site["table"]
        self.client = self.connect()

    def connect(self, **changes: Any) -> Any:
        options: dict[str, Any] = {
            "endpoint_url": self.site["dynamodb_endpoint"],
            "region_name": self.site["region"],
            "aws_access_key_id": self.site["access_key_id"],
            "aws_secret_access_key": self.site["secret_access_key"],
            # No retries: a check must see the service's own answer.
            "config": Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=10),
        }
        return boto3.client("dynamodb", **{**options, **changes})

    def put(self, name: str, version: str, **more: Any) -> Any:
        """Writes an item if there is none or an older one: the write that the bridge itself makes."""
        item = {"pk": name, "version": version, **more}
        return self.client.put_item(
            TableName=self.table,
            Item={name: TypeSerializer().serialize(value) for name, value in item.items()},
            ConditionExpression="attribute_not_exists(pk) OR version < :v",
            ExpressionAttributeValues={":v": {"S": version}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    def get(self, name: str) -> dict[str, Any] | None:
        answer = self.client.get_item(TableName=self.table, Key={"pk": {"S": name}}, ConsistentRead=True)
        item = answer.get("Item")
        return item and {name: TypeDeserializer().deserialize(value) for name, value in item.items()}

    def version(self, name: str) -> str | None:
        """The version that an item has; none if there is no item."""
        return (self.get(name) or {}).get("version")

    def clean_up(self) -> None:
        self.admin.restore()


def key(name: str) -> str:
    """A key of this run's own."""
    return f"{RUN}/{name}"


def refused(
    code: str | None, call: Callable[..., Any], *arguments: Any, status: int = 400, **named: Any
) -> Mapping[str, Any]:
    """The call must fail with this code, or with any if none is given, and with this HTTP status."""
    try:
        call(*arguments, **named)
    except ClientError as error:
        got = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        equal(got, (code or got[0], status), error)
        return error.response
    raise AssertionError(f"expected {code}, but the call succeeded")
