"""Requests to localcloud with as little CPU as Python needs: one connection, headers made by hand.

localcloud reads access key, region and time of an AWS signature, and not the signature. A real service would refuse these requests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

SAS_SECONDS = 86_400


class Http:
    """A connection that stays open."""

    def __init__(self, endpoint: str) -> None:
        self.host = urlsplit(endpoint).netloc
        self._connection = http.client.HTTPConnection(self.host, timeout=30)

    def call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def aws_headers(site: dict[str, str], service: str, target: str) -> dict[str, str]:
    """For one operation; good for five minutes."""
    now = datetime.now(UTC)
    scope = f"{site['access_key_id']}/{now:%Y%m%d}/{site['region']}/{service}/aws4_request"
    words = f"Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    return {
        "Authorization": f"AWS4-HMAC-SHA256 {words}",
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Amz-Target": target,
        "Content-Type": "application/x-amz-json-1.0",
    }


class Dynamodb:
    """Answers versions of records."""

    AT_ONCE = 100

    def __init__(self, site: dict[str, str]) -> None:
        self._http, self._table = Http(site["dynamodb_endpoint"]), site["table"]
        self._headers = aws_headers(site, "dynamodb", "DynamoDB_20120810.BatchGetItem")

    def versions(self, keys: list[str]) -> dict[str, str]:
        wanted = {
            "Keys": [{"pk": {"S": key}} for key in keys],
            "ProjectionExpression": "pk, version",
            "ConsistentRead": True,
        }
        body = json.dumps({"RequestItems": {self._table: wanted}}).encode()
        status, answer = self._http.call("POST", "/", body, self._headers)
        if status != 200:
            raise RuntimeError(f"BatchGetItem: {status} {answer!r}")
        return {item["pk"]["S"]: item["version"]["S"] for item in json.loads(answer)["Responses"][self._table]}


class Cosmos:
    """The same of Cosmos DB, by a point read for each key."""

    AT_ONCE = 16

    def __init__(self, site: dict[str, str]) -> None:
        self._http = Http(site["cosmos_endpoint"])
        self._key = base64.b64decode(site["cosmos_key"])
        self._container = f"dbs/{site['database']}/colls/{site['container']}"

    def headers(self, method: str, link: str, key: str) -> dict[str, str]:
        date = formatdate(usegmt=True)
        text = f"{method.lower()}\ndocs\n{link}\n{date.lower()}\n\n"
        signature = base64.b64encode(hmac.new(self._key, text.encode(), hashlib.sha256).digest()).decode()
        return {
            "Authorization": quote_plus(f"type=master&ver=1.0&sig={signature}"),
            "x-ms-date": date,
            "x-ms-version": "2018-12-31",
            "x-ms-documentdb-partitionkey": json.dumps([key]),
        }

    def versions(self, keys: list[str]) -> dict[str, str]:
        found = {}
        for key in keys:
            link = f"{self._container}/docs/{key}"
            status, answer = self._http.call("GET", f"/{quote(link)}", None, self.headers("GET", link, key))
            if status == 200:
                found[key] = json.loads(answer)["version"]
            elif status != 404:
                raise RuntimeError(f"reading an item: {status} {answer!r}")
        return found


class SqsSender:
    """Sends one message a request."""

    def __init__(self, site: dict[str, str]) -> None:
        self._http, self._url = Http(site["sqs_endpoint"]), site["queue_url"]
        self._headers = aws_headers(site, "sqs", "AmazonSQS.SendMessage")

    def send(self, body: bytes) -> None:
        text = json.dumps({"QueueUrl": self._url, "MessageBody": body.decode()}).encode()
        status, answer = self._http.call("POST", "/", text, self._headers)
        if status != 200:
            raise RuntimeError(f"SendMessage: {status} {answer!r}")


class ServiceBusSender:
    """The same of Service Bus, over HTTP."""

    def __init__(self, site: dict[str, str]) -> None:
        self._http = Http(site["service_bus_http_endpoint"])
        self._path = f"/{site['queue']}/messages"
        parts = dict(part.split("=", 1) for part in site["service_bus_connection_string"].strip(";").split(";"))
        address = quote_plus(f"{site['service_bus_http_endpoint']}/{site['queue']}")
        expiry = int(time.time()) + SAS_SECONDS
        signed = hmac.new(parts["SharedAccessKey"].encode(), f"{address}\n{expiry}".encode(), hashlib.sha256).digest()
        signature = quote_plus(base64.b64encode(signed))
        token = f"SharedAccessSignature sr={address}&sig={signature}&se={expiry}&skn={parts['SharedAccessKeyName']}"
        self._headers = {"Authorization": token, "Content-Type": "application/json"}
        self._sent = 0

    def send(self, body: bytes) -> None:
        self._sent += 1
        headers = {**self._headers, "BrokerProperties": json.dumps({"MessageId": f"lag-{self._sent}"})}
        status, answer = self._http.call("POST", self._path, body, headers)
        if status != 201:
            raise RuntimeError(f"sending: {status} {answer!r}")


class Admin:
    """localcloud's own counts."""

    def __init__(self, address: str) -> None:
        self._http = Http(address)

    def requests(self) -> dict[tuple[str, str, str], int]:
        """How often each operation of each service ended how."""
        rows = self._get("/requests")["requests"]
        return {(row["service"], row["operation"], row["status"]): row["count"] for row in rows}

    def usage(self) -> dict[str, dict[str, int]]:
        return {name.partition("@")[0]: usage for name, usage in self._get("/usage").items()}

    def _get(self, path: str) -> Any:
        status, answer = self._http.call("GET", path, None, {})
        if status != 200:
            raise RuntimeError(f"{path}: {status} {answer!r}")
        return json.loads(answer)
