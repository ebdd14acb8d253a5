#!/usr/bin/env python3
"""Loads localcloud, and measures what it takes: time, memory before and after, and CPU when nobody asks for anything.

Prints a table with ratios; promises nothing, as it measures this machine as much as localcloud.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceiveMode,
    ServiceBusReceiver,
    ServiceBusSender,
)
from botocore.config import Config

BACKLOG = 100_000
CONNECTIONS = 200
IDLE_SECONDS = 30


class Local:
    """A `bridge local` of one's own."""

    def __init__(self, bridge: Path, address: str, *words: str) -> None:
        folder = Path(tempfile.mkdtemp())
        file = folder / "ready.json"
        start = time.monotonic()
        command = [bridge, "local", "--quiet", "--ready-file", file, "--service-bus-address", address, *words]
        self.process = subprocess.Popen(command)
        while not file.exists():
            time.sleep(0.005)
        self.start_seconds = time.monotonic() - start
        sites = json.loads(file.read_text())["sites"]
        self.aws, self.azure = (
            next(one for one in sites.values() if one["cloud"] == cloud) for cloud in ("aws", "azure")
        )

    def sqs(self, pool: int = 10) -> Any:
        names = {"aws_access_key_id": self.aws["access_key_id"], "aws_secret_access_key": self.aws["secret_access_key"]}
        config = Config(max_pool_connections=pool, read_timeout=60)
        return boto3.client(
            "sqs", region_name="us-east-1", endpoint_url=self.aws["sqs_endpoint"], config=config, **names
        )

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def cpu_seconds(self) -> float:
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


def main() -> int:
    options = _options()
    local = Local(options.bridge, "127.4.0.1")
    told("start until everything answers, workers too", f"{local.start_seconds:.2f} s")
    time.sleep(2)
    before = local.cpu_seconds()
    time.sleep(IDLE_SECONDS)
    idle = (local.cpu_seconds() - before) / IDLE_SECONDS
    told(f"CPU over {IDLE_SECONDS} s with both workers and no traffic", f"{idle:.2%} of a core")
    local.stop()
    local = Local(options.bridge, "127.4.0.1", "--without-workers")
    try:
        _sqs(local)
        _service_bus(local)
        _connections(local)
    finally:
        local.stop()
    return 0


def _sqs(local: Local) -> None:
    client = local.sqs()
    empty, full = (client.create_queue(QueueName=name)["QueueUrl"] for name in ("load-empty", "load-full"))
    entries = [{"Id": str(n), "MessageBody": "x" * 900} for n in range(10)]

    def one_round(url: str) -> None:
        client.send_message_batch(QueueUrl=url, Entries=entries)
        got = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        receipts = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
        client.delete_message_batch(QueueUrl=url, Entries=receipts)

    def fill() -> None:
        for _ in range(BACKLOG // 10):
            client.send_message_batch(QueueUrl=full, Entries=entries)

    _backlog(local, "SQS", fill, lambda: one_round(empty), lambda: one_round(full))
    client.purge_queue(QueueUrl=full)
    told("SQS: memory once it is drained", f"{local.memory_mb():.0f} MB")
    full = client.create_queue(QueueName="load-again")["QueueUrl"]
    fill()
    told("SQS: memory with as many messages again", f"{local.memory_mb():.0f} MB")
    client.purge_queue(QueueUrl=full)
    large, small = (
        _median(lambda body="x" * size: client.send_message(QueueUrl=empty, MessageBody=body), 20)
        for size in (2**20, 2**10)
    )
    told("SQS: sending 1 MB, against sending 1 KB", f"{large / small:.1f} x")


def _service_bus(local: Local) -> None:
    with (
        ServiceBusClient.from_connection_string(local.azure["service_bus_connection_string"]) as bus,
        ExitStack() as stack,
    ):
        batch = [ServiceBusMessage("x" * 900) for _ in range(100)]
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE

        def links(name: str) -> tuple[ServiceBusSender, ServiceBusReceiver]:
            receiver = bus.get_queue_receiver(name, receive_mode=mode)
            return stack.enter_context(bus.get_queue_sender(name)), stack.enter_context(receiver)

        empty, full = links(local.azure["dead_letter_queue"]), links(local.azure["queue"])

        def one_round(sender: ServiceBusSender, receiver: ServiceBusReceiver) -> None:
            sender.send_messages(batch)
            left = 100
            while left:
                left -= len(receiver.receive_messages(max_message_count=left, max_wait_time=5))

        def fill() -> None:
            for _ in range(BACKLOG // 100):
                full[0].send_messages(batch)

        _backlog(local, "Service Bus", fill, lambda: one_round(*empty), lambda: one_round(*full))
        with bus.get_queue_receiver(local.azure["queue"], receive_mode=mode, prefetch_count=2000) as receiver:
            while receiver.receive_messages(max_message_count=2000, max_wait_time=1):
                pass
    told("Service Bus: memory once it is drained", f"{local.memory_mb():.0f} MB")


def _backlog(
    local: Local, name: str, fill: Callable[[], None], empty: Callable[[], None], full: Callable[[], None]
) -> None:
    """How much slower messages go to and fro behind a backlog, and how much larger the process is."""
    empty()
    before = local.memory_mb()
    fill()
    held = local.memory_mb()
    # By turns, so that whatever else this machine does falls on both.
    pairs = [(_seconds(empty), _seconds(full)) for _ in range(100)]
    without, behind = (statistics.median(column) for column in zip(*pairs, strict=True))
    told(f"{name}: a batch to and fro behind {BACKLOG:,} messages, against an empty queue", f"{behind / without:.2f} x")
    told(f"{name}: memory before, and with {BACKLOG:,} messages of 900 B", f"{before:.0f} and {held:.0f} MB")


def _connections(local: Local) -> None:
    client = local.sqs(CONNECTIONS)
    url, idle = local.aws["queue_url"], local.aws["dead_letter_queue_url"]

    def send() -> None:
        client.send_message(QueueUrl=url, MessageBody="x")

    _median(send, 100)
    alone = _median(send, 100)
    with ThreadPoolExecutor(CONNECTIONS - 1) as pool:
        for _ in range(CONNECTIONS - 1):
            pool.submit(client.receive_message, QueueUrl=idle, WaitTimeSeconds=20)
        # Until all of them wait; opening so many takes this script a while.
        time.sleep(8)
        beside = _median(send, 100)
    told(f"SQS: a send beside {CONNECTIONS - 1} connections that wait, against alone", f"{beside / alone:.2f} x")
    told("memory after them", f"{local.memory_mb():.0f} MB")


def _median(work: Callable[[], Any], times: int) -> float:
    return statistics.median(_seconds(work) for _ in range(times))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def told(what: str, figure: str) -> None:
    print(f"| {what} | {figure} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: load.py target/debug/bridge")
    parser.add_argument("bridge", type=Path, help="the built binary")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
