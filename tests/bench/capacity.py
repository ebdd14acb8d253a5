"""What localcloud sustains: requests made in advance, of the kinds and numbers that a contender makes, by a client that only sends and receives.

If localcloud sustains three times what the fastest contender draws, the race measures the contenders and not localcloud.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from multiprocessing.synchronize import Barrier
from typing import Any
from urllib.parse import quote

import raw
from contract import read_event
from local import Local
from raw_amqp import FALSE, NULL, TRUE, RawSender, binary, compound, described, performative, string, uint
from sides import Side
from traffic import Traffic

CLIENTS = 2
TIMES_WANTED = 3
BATCH = 10
BATCH_FORMAT = 0x80013700
"""Of a Service Bus message whose sections are messages."""
EMPTY_SECONDS, MORE_SECONDS = 0.5, 0.01
"""A client that received nothing for so long has seen the end; one that has some waits less for more."""
_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_RECEIPT = re.compile(rb'"ReceiptHandle":"([^"]+)"')


class Pipe:
    """A connection to an HTTP service, with several requests on their way at once."""

    def __init__(self, endpoint: str) -> None:
        self.host = endpoint.split("://")[1].strip("/")
        name, port = self.host.split(":")
        self._socket = socket.create_connection((name, int(port)), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode() + body

    def call(self, requests: Sequence[bytes], good: tuple[bytes, ...]) -> list[bytes]:
        """The bodies of the answers, whose status must be a good one."""
        self._socket.sendall(b"".join(requests))
        return [self._answer(good) for _ in requests]

    def _answer(self, good: tuple[bytes, ...]) -> bytes:
        while (end := self._read.find(b"\r\n\r\n")) < 0:
            self._more()
        head = self._read[:end]
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        while len(self._read) < end + 4 + size:
            self._more()
        body = self._read[end + 4 : end + 4 + size]
        self._read = self._read[end + 4 + size :]
        if head[9:12] not in good:
            raise RuntimeError(f"{self.host}: {head!r} {body!r}")
        return body

    def _more(self) -> None:
        more = self._socket.recv(262_144)
        if not more:
            raise RuntimeError(f"{self.host} ended the connection")
        self._read += more


class RawReceiver(RawSender):
    """The other direction: a link from a queue, with locks."""

    def __init__(self, connection_string: str, queue: str) -> None:
        super().__init__(connection_string, queue)
        self._credit = self._seen = 0
        ends = performative(0x28, string(queue)), performative(0x29, string("by-hand"))
        # Handle 1; messages come unsettled.
        self._write(0, performative(0x12, string("receiver"), uint(1), TRUE, b"\x50\x00", b"\x50\x00", *ends))
        self._expect(0x12)

    def grant(self, credit: int) -> None:
        """How many messages may be on their way."""
        self._credit = credit
        self._flow()

    def _flow(self) -> None:
        windows = uint(self._seen), uint(2_048), uint(0), uint(2_048)
        self._write(0, performative(0x13, *windows, uint(1), uint(self._seen), uint(self._credit), NULL, FALSE, FALSE))

    def take(self, count: int) -> int:
        """Receives up to so many and settles them; answers how many. Fewer if no more come for a while."""
        first = last = None
        taken = 0
        while taken < count:
            self._socket.settimeout(MORE_SECONDS if taken else EMPTY_SECONDS)
            try:
                body = self._expect(0x14)
            except TimeoutError:
                break
            finally:
                self._socket.settimeout(30)
            last = _delivery_id(body)
            first = last if first is None else first
            taken += 1
        if first is not None and last is not None:
            accepted = described(0x24, compound(0xD0, 0, b""))
            self._write(0, performative(0x15, TRUE, uint(first), uint(last), TRUE, accepted))
            self._seen += taken
            self._flow()
        return taken


def _delivery_id(transfer: bytes) -> int:
    """The second field of the list behind a descriptor of three bytes."""
    at = 3 + (3 if transfer[3] == 0xC0 else 9)
    _, at = _uint(transfer, at)
    return _uint(transfer, at)[0]


def _uint(encoded: bytes, at: int) -> tuple[int, int]:
    match encoded[at]:
        case 0x43:
            return 0, at + 1
        case 0x52:
            return encoded[at + 1], at + 2
        case _:
            return struct.unpack_from(">I", encoded, at + 1)[0], at + 5


def measure(local: Local, sides: Sequence[Side], fastest: Mapping[str, float], options: Any) -> dict[str, Any]:
    """By side: events a second, and how many times the fastest contender's."""
    served = {}
    for side in sides:
        side.empty_queues()
        traffic = Traffic(side.site, f"capacity-{side.name}", options.events * 2, options.keys, options.bytes, options.seed)
        bodies = traffic.bodies()
        side.fill(bodies)
        prepared = multiprocessing.Barrier(CLIENTS + 1)
        clients = [
            multiprocessing.Process(target=CLIENTS_OF[side.name], args=(local.ready, bodies[at::CLIENTS], prepared), daemon=True)
            for at in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        prepared.wait(60)
        cpu, start = local.cpu_seconds(), time.monotonic()
        while not side.is_settled() and all(client.exitcode in (None, 0) for client in clients):
            time.sleep(0.005)
        seconds, cpu = time.monotonic() - start, local.cpu_seconds() - cpu
        for client in clients:
            client.join(60)
            if client.exitcode != 0:
                raise RuntimeError(f"a client of {side.name} ended with {client.exitcode}")
        side.empty_queues()
        rate = len(bodies) / seconds
        served[side.name] = {
            "events_per_s": rate,
            "fastest_events_per_s": fastest[side.name],
            "times": rate / fastest[side.name] if fastest[side.name] else None,
            "localcloud_cpu_s": 1000 * cpu / len(bodies),
        }
    return served


def table(served: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| localcloud sustains | events/s | times the fastest contender's best round | its CPU s per 1,000 events |", "|---|---|---|---|"]
    for side, figures in served.items():
        times = figures["times"]
        enough = "–" if times is None else f"{times:.1f}{'' if times >= TIMES_WANTED else f': less than {TIMES_WANTED}'}"
        lines.append(f"| {side} | {figures['events_per_s']:,.0f} | {enough} | {figures['localcloud_cpu_s']:.2f} |")
    return "\n".join(lines) + "\n" if served else ""


def _aws(ready: Mapping[str, Any], bodies: Sequence[bytes], prepared: Barrier) -> None:
    """For ten events: a receive, ten conditional writes, one send to Service Bus, a delete."""
    aws, azure = _sites(ready)
    sqs, dynamodb = Pipe(aws["sqs_endpoint"]), Pipe(aws["dynamodb_endpoint"])
    receive, delete = (raw.aws_headers(aws, "sqs", f"AmazonSQS.{one}") for one in ("ReceiveMessage", "DeleteMessageBatch"))
    receiving = sqs.request("POST", "/", receive, json.dumps({"QueueUrl": aws["queue_url"], "MaxNumberOfMessages": BATCH}).encode())
    put = raw.aws_headers(aws, "dynamodb", "DynamoDB_20120810.PutItem")
    writes = [dynamodb.request("POST", "/", put, _put(aws["table"], body)) for body in bodies]
    with RawSender(azure["service_bus_connection_string"], azure["queue"]) as sender:
        sections = [described(0x75, binary(described(0x75, binary(body)))) for body in bodies]
        prepared.wait(60)
        at = 0
        while receipts := _RECEIPT.findall(sqs.call([receiving], (b"200",))[0]):
            some = slice(at % len(bodies), at % len(bodies) + len(receipts))
            dynamodb.call(writes[some], (b"200", b"400"))
            sender.send(b"".join(sections[some]), BATCH_FORMAT)
            entries = [{"Id": str(number), "ReceiptHandle": receipt.decode()} for number, receipt in enumerate(receipts)]
            body = json.dumps({"QueueUrl": aws["queue_url"], "Entries": entries}).encode()
            sqs.call([sqs.request("POST", "/", delete, body)], (b"200",))
            at += len(receipts)


def _put(table: str, body: bytes) -> bytes:
    event = read_event(body)
    payload = _attribute(json.loads(body)["payload"])
    item = {"pk": {"S": event.key}, "version": {"S": event.version_text}, "payload": payload}
    condition = "attribute_not_exists(pk) OR version < :version"
    values = {":version": {"S": event.version_text}}
    written = {"TableName": table, "Item": item, "ConditionExpression": condition, "ExpressionAttributeValues": values}
    return json.dumps(written).encode()


def _attribute(value: Any) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": repr(value)}
        case None:
            return {"NULL": True}
        case dict():
            return {"M": {name: _attribute(member) for name, member in value.items()}}
        case _:
            return {"L": [_attribute(item) for item in value]}


def _azure(ready: Mapping[str, Any], bodies: Sequence[bytes], prepared: Barrier) -> None:
    """For ten events: ten deliveries, a read and a write of each, one send to SQS, ten settlements."""
    aws, azure = _sites(ready)
    sqs, cosmos = Pipe(aws["sqs_endpoint"]), Pipe(azure["cosmos_endpoint"])
    send = raw.aws_headers(aws, "sqs", "AmazonSQS.SendMessageBatch")
    credentials = raw.Cosmos(azure)
    container = f"dbs/{azure['database']}/colls/{azure['container']}"
    reads, writes, entries = [], [], []
    for number, body in enumerate(bodies):
        event = read_event(body)
        link = f"{container}/docs/{event.key}"
        reads.append(cosmos.request("GET", f"/{quote(link)}", credentials.headers("GET", link, event.key)))
        upsert = {**credentials.headers("POST", container, event.key), "x-ms-documentdb-is-upsert": "True"}
        item = {"id": event.key, "pk": event.key, "version": event.version_text, "payload": json.loads(body)["payload"]}
        written = {**upsert, "Content-Type": "application/json"}
        writes.append(cosmos.request("POST", f"/{container}/docs", written, json.dumps(item).encode()))
        entries.append({"Id": str(number), "MessageBody": body.decode()})
    receiver = RawReceiver(azure["service_bus_connection_string"], azure["queue"])
    prepared.wait(60)
    receiver.grant(10 * BATCH)
    at = 0
    while taken := receiver.take(BATCH):
        some = slice(at % len(bodies), at % len(bodies) + taken)
        cosmos.call(reads[some], (b"200", b"404"))
        cosmos.call(writes[some], (b"200", b"201"))
        body = json.dumps({"QueueUrl": aws["queue_url"], "Entries": entries[some]}).encode()
        sqs.call([sqs.request("POST", "/", send, body)], (b"200",))
        at += taken
    receiver.close()


CLIENTS_OF = {"aws": _aws, "azure": _azure}


def _sites(ready: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    by_cloud = {site["cloud"]: site for site in ready["sites"].values()}
    return by_cloud["aws"], by_cloud["azure"]
