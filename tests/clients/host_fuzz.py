#!/usr/bin/env python3
"""Hands each function payloads that no host sends: any bytes, nulls, missing members, 10 MB.

No process may end or hang, and no message may be let go whose event is neither in the store nor in a dead letter.
Afterwards a message through the queue must be applied by the same processes. Exit code 0 if all is so, 1 if not.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from acceptance import say
from hosts.function_answer import Judged
from hosts.function_package import Trigger
from hosts.function_payload import Received, many, one
from hosts.fuzz import LARGE_BYTES, spoil
from hosts.lambda_runtime import Ended
from hosts.partial_batch import kept
from hosts import script
from hosts.players import Players
from site_port import Site, wait_for_letter

WORK_SECONDS = 60.0
SETTINGS = ("BRIDGE_WORKER_FUNCTION_HOLD_SECONDS=0", "BRIDGE_WORKER_FUNCTION_HALT_SECONDS=0", "BRIDGE_LOG=off")


@dataclass
class Fuzzed:
    """What came of one function's payloads."""

    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    let_go: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    """For each message that the host would remove: the payload, and the bodies that may have been read in it."""


def main() -> int:
    options = _options()
    wrong: list[str] = []
    with Players(options.ready_file, options.package, SETTINGS) as players:
        for site, fuzz in ((players.clouds.aws, _fuzz_lambda), (players.clouds.azure, _fuzz_function)):
            fuzzed = fuzz(players, options.payloads, random.Random(options.seed))
            found = fuzzed.wrong + list(_lost(site, fuzzed))
            found += _is_well(players, site)
            print(f"{site.name}: {dict(fuzzed.ended)}, {len(fuzzed.let_go)} messages let go, {len(found)} differences")
            wrong += [f"{site.name}: {line}" for line in found]
    return script.verdict(wrong)


def _fuzz_lambda(players: Players, payloads: int, rng: random.Random) -> Fuzzed:
    fuzzed, site, environment = Fuzzed(), players.clouds.aws, players.environments[0]
    environment.invoke(b"{}")
    pid = environment.pid
    for number in range(payloads):
        messages = [
            {
                "MessageId": str(uuid4()),
                "ReceiptHandle": str(uuid4()),
                "Body": body.decode("utf-8", "replace"),
                "MD5OfBody": "",
                "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
                "MessageAttributes": {"k": {"StringValue": "v", "DataType": "String"}},
            }
            for body in _bodies(site, rng, rng.randrange(1, 4), large=number == payloads // 2)
        ]
        payload = players.mapping.event(messages)
        if number % 10:
            payload = spoil(payload, rng)
        outcome = environment.invoke(payload)
        fuzzed.ended[outcome.how.value] += 1
        if outcome.how not in (Ended.ANSWER, Ended.ERROR) or environment.pid != pid:
            fuzzed.wrong.append(f"{outcome.how.value} {outcome.body[-1000:]!r} after {payload[:500]!r}")
            pid = environment.pid
        everything = {str(message["MessageId"]) for message in messages}
        staying = kept(outcome, everything)
        for name, body in _records(payload) if staying != everything else ():
            # A record without a name of its own can only stay with all the others.
            if name not in staying:
                fuzzed.let_go.append((payload, [body]))
    return fuzzed


def _fuzz_function(players: Players, payloads: int, rng: random.Random) -> Fuzzed:
    fuzzed, site, host = Fuzzed(), players.clouds.azure, players.host
    trigger = players.package.trigger("serviceBusTrigger")
    pid, now = host.pid, datetime.now(UTC)
    for payload, bodies in _encodings(trigger, site):
        verdict = host.invoke(trigger.function, payload)
        if not verdict.completed:
            fuzzed.wrong.append(f"{verdict} after a good message in another encoding: {payload[:500]!r}")
        fuzzed.let_go += [(payload, [body]) for body in bodies]
    for number in range(payloads):
        (body,) = _bodies(site, rng, 1, large=number == payloads // 2)
        message = Received(body, str(uuid4()), 1, now, now, application_properties={"k": "v", "n": 5})
        data_type = "string" if number % 3 == 0 and _is_text(body) else "binary"
        payload = one(trigger.function, trigger.binding, data_type, message)
        if number % 10:
            payload = spoil(payload, rng)
        verdict = host.invoke(trigger.function, payload)
        fuzzed.ended[verdict.judged.value] += 1
        if verdict.judged is Judged.HANGS or host.pid != pid:
            fuzzed.wrong.append(f"{verdict.judged.value} {verdict.why} after {payload[:500]!r}")
            pid = host.pid
        if verdict.completed:
            fuzzed.let_go.append((payload, _data(payload)))
    return fuzzed


def _encodings(trigger: Trigger, site: Site) -> Iterator[tuple[bytes, list[bytes]]]:
    """Good messages as the host sends them under other settings of the trigger, and as the documentation page shows."""
    now = datetime.now(UTC)
    for data_type in ("binary", "string"):
        for cardinality in ("one", "many"):
            bodies = [_event(site) for _ in range(1 if cardinality == "one" else 3)]
            messages = [Received(body, str(uuid4()), 1, now, now) for body in bodies]
            if cardinality == "one":
                yield one(trigger.function, trigger.binding, data_type, messages[0]), bodies
            else:
                yield many(trigger.function, trigger.binding, data_type, messages), bodies
    body = _event(site)
    page = {"Data": {trigger.binding: body.decode()}, "Metadata": {"DequeueCount": 1, "MessageId": "m-1"}}
    yield json.dumps(page).encode(), [body]


def _bodies(site: Site, rng: random.Random, count: int, large: bool) -> Iterator[bytes]:
    for _ in range(count):
        if large:
            yield _event(site, "x" * LARGE_BYTES)
        elif rng.random() < 0.2:
            # None twice, so that the letter of one cannot stand for another that was lost.
            name = b"%032x" % rng.getrandbits(128)
            yield rng.choice((b"yesterday %s", b'{"%s":1}', b"\xff\x00%s", b'"%s"', b"%s")) % name
        else:
            yield _event(site)


def _records(payload: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and body of each record that the function was shown; empty where there is none."""
    document = _parsed(payload)
    records = document.get("Records") if isinstance(document, dict) else None
    for record in records if isinstance(records, list) else ():
        members = record if isinstance(record, dict) else {}
        name, body = (str(members.get(member) or "") for member in ("messageId", "body"))
        yield name, body.encode("utf-8", "surrogatepass")


def _data(payload: bytes) -> list[bytes]:
    """What may be the body of an invocation: its value as it is, out of JSON text, out of base64."""
    document = _parsed(payload)
    data = document.get("Data") if isinstance(document, dict) else None
    bodies: list[bytes] = []
    for value in data.values() if isinstance(data, dict) else ():
        values = [value]
        if isinstance(value, str):
            bodies.append(value.encode("utf-8", "surrogatepass"))
            values.append(_parsed(value.encode("utf-8", "surrogatepass")))
            with suppress(ValueError):
                bodies.append(base64.b64decode(value, validate=True))
        for one_of in values:
            if isinstance(one_of, str):
                bodies.append(one_of.encode("utf-8", "surrogatepass"))
            elif one_of is not None:
                # A batch of texts, or else one body that is no text.
                items = one_of if isinstance(one_of, list) else []
                bodies += [item.encode("utf-8", "surrogatepass") for item in items if isinstance(item, str)]
                bodies.append(json.dumps(one_of, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return bodies


def _lost(site: Site, fuzzed: Fuzzed) -> Iterator[str]:
    """What was let go, and is neither in the store nor in a letter."""
    stored = {record.event_id.lower() for record in site.records().values()}
    letters: set[bytes] = set()
    while taken := wait_for_letter(site, 1):
        for letter in taken:
            letters.add(letter.body)
            site.drop_letter(letter)
    in_letters = {_canonical(body) for body in letters}
    for payload, bodies in fuzzed.let_go:
        ids = {_event_id(body) for body in bodies}
        if not ids & stored and not letters & set(bodies) and not in_letters & {_canonical(body) for body in bodies}:
            yield f"let go and lost: {payload[:1500]!r}"


def _is_well(players: Players, site: Site) -> Iterable[str]:
    """After all that, the same process applies what comes through the queue."""
    pids = (players.environments[0].pid, players.host.pid)
    body = _event(site)
    site.send([body])
    late = players.work_off(site, within_seconds=WORK_SECONDS)
    if site.record(_key(body)) is None:
        late.append("a good message after all this was not applied")
    if pids != (players.environments[0].pid, players.host.pid):
        late.append("the process is another one")
    say(f"{site.name}: {players.counts[site.name].line()}")
    return late


def _event(site: Site, more: str = "") -> bytes:
    return script.event(site, f"fuzz-{uuid4()}", more=more)


def _key(body: bytes) -> str:
    return str(json.loads(body)["payload"]["id"])


def _event_id(body: bytes) -> str | None:
    event = _parsed(body)
    return str(event.get("event_id")).lower() if isinstance(event, dict) else None


def _canonical(body: bytes) -> str:
    """The same text for the same JSON value; the bytes themselves for what is no JSON."""
    value = _parsed(body)
    return repr(body) if value is None else json.dumps(value, sort_keys=True)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_text(body: bytes) -> bool:
    try:
        return bool(body.decode())
    except UnicodeDecodeError:
        return False


def _options() -> argparse.Namespace:
    parser = script.arguments(__doc__, "host_fuzz.py ready.json --package dist --seed 7")
    parser.add_argument("--payloads", type=int, default=300, help="for each function (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same nonsense (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
