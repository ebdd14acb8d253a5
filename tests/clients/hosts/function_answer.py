"""What the Functions host makes of a handler's answer: docs/hosts.md, "Response"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum


class Judged(Enum):
    """What becomes of the invocation."""

    COMPLETED = "completed"
    FAILED = "failed"
    HANGS = "hangs"
    """No result is ever set: the host waits until the function's timeout, and then kills the worker."""


@dataclass(frozen=True)
class Answer:
    """The final answer of a handler, redirects followed."""

    status: int
    content_type: str
    body: bytes


def judge(answer: Answer) -> Judged:
    if not 200 <= answer.status < 300:
        return Judged.FAILED
    if not answer.body.strip():
        return Judged.HANGS
    if not _is_json(answer.content_type):
        return Judged.FAILED
    try:
        result = json.loads(answer.body)
    except ValueError:
        return Judged.FAILED
    if result is None:
        return Judged.HANGS
    return Judged.COMPLETED if isinstance(result, dict) else Judged.FAILED


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json")
