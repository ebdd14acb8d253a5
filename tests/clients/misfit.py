"""Makes one thing in the local clouds other than it should be, for the doctor to find.

    misfit.py READY_FILE cosmos-ttl off|SECONDS
    misfit.py READY_FILE cosmos-key PATH VERSION
    misfit.py READY_FILE queue-delete QUEUE
    misfit.py READY_FILE queue-create QUEUE NAME=VALUE...
    misfit.py READY_FILE queue-change QUEUE NAME=VALUE...

Queues are those of Service Bus, over its management interface; NAME is an element of a QueueDescription.
"""

import base64
import hashlib
import hmac
import json
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from azure.cosmos import CosmosClient, PartitionKey

AZURE = "azure:westeurope"


def main(ready_file: str, what: str, *words: str) -> None:
    site = json.loads(Path(ready_file).read_text())["sites"][AZURE]
    match what, words:
        case "cosmos-ttl", [seconds]:
            set_default_ttl(site, None if seconds == "off" else int(seconds))
        case "cosmos-key", [path, version]:
            make_container(site, PartitionKey(path, version=int(version)))
        case "queue-delete", [queue]:
            manage(site, "DELETE", queue)
        case "queue-create", [queue, *settings]:
            manage(site, "PUT", queue, description(settings))
        case "queue-change", [queue, *settings]:
            manage(site, "PUT", queue, description(settings), {"If-Match": "*"})
        case _:
            sys.exit(__doc__)


def set_default_ttl(site: dict[str, Any], seconds: int | None) -> None:
    database = CosmosClient(site["cosmos_endpoint"], site["cosmos_key"]).get_database_client(site["database"])
    database.replace_container(site["container"], PartitionKey("/pk"), default_ttl=seconds)


def make_container(site: dict[str, Any], key: PartitionKey) -> None:
    """A new one in the place of the old one: a partition key is for ever."""
    database = CosmosClient(site["cosmos_endpoint"], site["cosmos_key"]).get_database_client(site["database"])
    database.delete_container(site["container"])
    database.create_container(site["container"], key, default_ttl=-1)


def description(settings: list[str]) -> str:
    pairs = (setting.split("=", 1) for setting in settings)
    elements = "".join(f"<{name}>{value}</{name}>" for name, value in pairs)
    return f"<entry><content><QueueDescription>{elements}</QueueDescription></content></entry>"


def manage(site: dict[str, Any], method: str, queue: str, body: str = "", headers: dict[str, str] | None = None) -> None:
    url = f"{site['service_bus_http_endpoint']}/{queue}?api-version=2021-05"
    signed = {"Authorization": signature(site["service_bus_connection_string"], url), **(headers or {})}
    request = urllib.request.Request(url, body.encode() or None, signed, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        print(method, queue, answer.status)


def signature(connection_string: str, url: str) -> str:
    """As in "Shared Access Signature authorization" of Service Bus."""
    fields = dict(field.split("=", 1) for field in connection_string.split(";") if field)
    resource, expires = urllib.parse.quote_plus(url.split("?")[0]), int(time.time()) + 600
    digest = hmac.new(fields["SharedAccessKey"].encode(), f"{resource}\n{expires}".encode(), hashlib.sha256).digest()
    signed = urllib.parse.quote_plus(base64.b64encode(digest))
    return f"SharedAccessSignature sr={resource}&sig={signed}&se={expires}&skn={fields['SharedAccessKeyName']}"


main(*sys.argv[1:])
