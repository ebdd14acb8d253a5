"""What requests cost at list prices, in US dollars for us-east-1 and East US. Read 2026-11 and 2026-12; no free tier, no base charge, no egress.

SQS $0.40 and DynamoDB on demand $0.625 and $0.125 are as several pages of 2025 and 2026 quote them. The pages of Azure show no figure
without a script: those of Service Bus (Standard, 13 to 100 million a month) and Cosmos DB (serverless) are from memory, and unconfirmed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

SQS_REQUEST = 0.40e-6
"""Of at most 64 KB; a batch is one request."""
DYNAMODB_WRITE_UNIT = 0.625e-6
"""1 KB; a write whose condition fails costs the same."""
DYNAMODB_READ_UNIT = 0.125e-6
"""4 KB, read consistently."""
SERVICE_BUS_OPERATION = 0.80e-6
"""A message sent or delivered, of at most 64 KB. Whether settling counts is not known: it is left out for all."""
COSMOS_REQUEST_UNIT = 0.25e-6
COSMOS_READ_UNITS, COSMOS_WRITE_UNITS = 1, 5
"""For each KB of an item, by Microsoft's rule of thumb ("Request Units in Azure Cosmos DB"); indexing may double a write."""
RECORD_BYTES = 420
"""What a record has beside the event's payload and envelope: version, digest, attribute names."""
WRITES = ("PutItem", "UpdateItem", "BatchExecuteStatement", "ExecuteStatement")


def per_million_events(requests: Mapping[str, float], side: str, event_bytes: int, stores: bool) -> float:
    """From requests per 1,000 events, by `service operation status`."""
    counts: dict[tuple[str, str], float] = {}
    for what, count in requests.items():
        service, operation, _ = what.split(" ")
        counts[service, operation] = counts.get((service, operation), 0) + count
    kilobytes = math.ceil((event_bytes + RECORD_BYTES) / 1024)

    def of(service: str, *operations: str) -> float:
        return sum(count for (one, operation), count in counts.items() if one == service and operation in operations)

    cost = SQS_REQUEST * sum(count for (service, _), count in counts.items() if service == "sqs")
    # Each statement of a batch is a write of its own: at least one an event.
    writes = of("dynamodb", *WRITES)
    if stores and side == "aws":
        writes = max(1000.0, writes)
    cost += DYNAMODB_WRITE_UNIT * kilobytes * writes
    cost += DYNAMODB_READ_UNIT * of("dynamodb", "GetItem", "BatchGetItem")
    # localcloud counts the requests of a sender, which may hold many messages; the service charges the messages: one an event here.
    cost += SERVICE_BUS_OPERATION * (1000.0 if side == "aws" else of("service-bus", "receive"))
    reads = COSMOS_READ_UNITS * kilobytes * of("cosmos", "read-item")
    written = COSMOS_WRITE_UNITS * kilobytes * of("cosmos", "create-item", "replace-item", "upsert-item", "patch-item")
    return 1000 * (cost + COSMOS_REQUEST_UNIT * (reads + written))

