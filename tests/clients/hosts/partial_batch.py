"""What an event source mapping makes of a function's answer: which messages it keeps, and which it deletes."""

from __future__ import annotations

import json
from collections.abc import Collection

from hosts.lambda_runtime import Ended, Outcome


def kept(outcome: Outcome, message_ids: Collection[str]) -> set[str]:
    """The messages that stay in the queue, for a mapping with `ReportBatchItemFailures`.

    "Handling errors for an SQS event source in Lambda" (AWS Lambda developer guide, read 2026-11): null, an empty
    object, and a null or empty list are a complete success; invalid JSON, and an identifier that is empty, null,
    unknown or under another name, are a complete failure, as errors and timeouts are. What the page does not name
    counts as a failure here, so that no handler gets away with it.
    """
    everything = set(message_ids)
    if outcome.how is not Ended.ANSWER:
        return everything
    try:
        answer = json.loads(outcome.body)
    except ValueError:
        return everything
    if answer is None:
        return set()
    if not isinstance(answer, dict):
        return everything
    failures = answer.get("batchItemFailures")
    if failures is None:
        return set()
    if not isinstance(failures, list):
        return everything
    failed: set[str] = set()
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(identifier, str) or identifier not in everything:
            return everything
        failed.add(identifier)
    return failed
