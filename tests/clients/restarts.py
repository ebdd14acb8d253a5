#!/usr/bin/env python3
"""Clients of SQS and Service Bus that are killed in the middle of their work, time after time.

Each round starts a few processes for each service, which connect, send, receive and settle until they are killed with SIGKILL,
each after a random number of steps. Exits with 0 if nothing was lost or came back from the dead, what the killed ones held came back, the last
rounds were about as quick as the first, and the service in the end has no connection, no link and no message; else with 1, and says
what is wrong.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path

from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local import Local

sys.path.insert(0, str(Path(__file__).parent / "checks"))
from service_bus.world import World

ROUNDS = 10
CLIENTS = 3
"""Of each service in a round; all at once, as most of their time is the official clients' own waiting."""
LEASE_SECONDS = 2
SENT_AT_ONCE = 3
STEPS = range(SENT_AT_ONCE * 2 + 2, 40)
"""After how many steps a client is killed; by the least of them it has received something."""
SLOWER_MAX = 2
SLOWER_SECONDS = 0.3
"""The last rounds may take twice as long as the first, and a little more, as this machine has other work too."""
PATIENCE_SECONDS = 15

# A copy of this process: imports cost a second, which would be most of a round.
processes = multiprocessing.get_context("fork")


class Sqs:
    name = "sqs"

    def __init__(self, local: Local) -> None:
        self._local = local
        client = local.sqs()
        attributes = {"VisibilityTimeout": str(LEASE_SECONDS)}
        self._url = client.create_queue(QueueName="restarts", Attributes=attributes)["QueueUrl"]
        client.close()

    @contextmanager
    def work(self) -> Iterator[tuple[Callable, Callable]]:
        client = self._local.sqs()

        def receive() -> list[tuple[str, int, Callable]]:
            wanted = {"MaxNumberOfMessages": SENT_AT_ONCE, "MessageSystemAttributeNames": ["ApproximateReceiveCount"]}
            got = client.receive_message(QueueUrl=self._url, WaitTimeSeconds=1, **wanted).get("Messages", [])

            def settle(handle: str) -> Callable:
                return lambda: client.delete_message(QueueUrl=self._url, ReceiptHandle=handle)

            count = "ApproximateReceiveCount"
            return [(one["Body"], int(one["Attributes"][count]), settle(one["ReceiptHandle"])) for one in got]

        yield lambda body: client.send_message(QueueUrl=self._url, MessageBody=body), receive
        client.close()


class ServiceBus:
    name = "service-bus"

    def __init__(self, local: Local) -> None:
        self._connection_string = local.azure["service_bus_connection_string"]
        world = World(local.ready)
        self._queue = world.queue(lock_duration=timedelta(seconds=LEASE_SECONDS), max_delivery_count=1_000)
        world.management.close()

    @contextmanager
    def work(self) -> Iterator[tuple[Callable, Callable]]:
        with (
            ServiceBusClient.from_connection_string(self._connection_string) as bus,
            bus.get_queue_sender(self._queue) as sender,
            bus.get_queue_receiver(self._queue) as receiver,
        ):

            def receive() -> list[tuple[str, int, Callable]]:
                got = receiver.receive_messages(max_message_count=SENT_AT_ONCE, max_wait_time=1)
                # The service counts the deliveries before this one.
                return [(str(one), (one.delivery_count or 0) + 1, lambda m=one: receiver.complete_message(m)) for one in got]

            yield lambda body: sender.send_messages(ServiceBusMessage(body)), receive


@dataclass
class Story:
    """What all clients of a service said that they did. What one was about to do may or may not have happened."""

    said: dict[str, set[str]] = field(default_factory=lambda: {word: set() for word in WORDS})
    seconds: list[float] = field(default_factory=list)
    """How long each client took to its first message."""

    def first_and_last(self) -> tuple[float, float]:
        """What the first third of the clients took, and the last."""
        third = ROUNDS * CLIENTS // 3
        return statistics.median(self.seconds[:third]), statistics.median(self.seconds[-third:])


WORDS = ("sending", "sent", "held", "settling", "settled")


def _client(service: Sqs | ServiceBus, number: int, says: Connection) -> None:
    """Works until it is killed."""
    with service.work() as (send, receive):
        for turn in range(1_000_000):
            for n in range(SENT_AT_ONCE):
                body = f"{number}-{turn}-{n}"
                says.send(("sending", body))
                send(body)
                says.send(("sent", body))
            for place, (body, _, settle) in enumerate(receive()):
                says.send(("held", body))
                # Half of them stay in its hands.
                if place % 2:
                    says.send(("settling", body))
                    settle()
                    says.send(("settled", body))


class _Doomed:
    """A client in a process of its own, until it has done its steps."""

    def __init__(self, service: Sqs | ServiceBus, number: int, steps: int, story: Story) -> None:
        self.hears, says = processes.Pipe(duplex=False)
        self._story, self._steps, self._start, self._received = story, steps, time.monotonic(), False
        self._process = processes.Process(target=_client, args=(service, number, says), daemon=True)
        self._process.start()
        says.close()

    def hear(self) -> bool:
        """Notes one step; false if that was the client's last."""
        word = self._note()
        if word == "held" and not self._received:
            self._received = True
            self._story.seconds.append(time.monotonic() - self._start)
        self._steps -= 1
        return self._steps > 0

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        # What it said between its last step and its end.
        with suppress(EOFError, OSError):
            while True:
                self._note()
        self.hears.close()

    def _note(self) -> str:
        word, body = self.hears.recv()
        self._story.said[word].add(body)
        return word


def _round(services: list[Sqs | ServiceBus], number: int, rng: random.Random, stories: dict[str, Story]) -> None:
    clients = [
        _Doomed(service, number * CLIENTS + n, rng.choice(STEPS), stories[service.name])
        for service in services
        for n in range(CLIENTS)
    ]
    alive = {client.hears: client for client in clients}
    try:
        while alive:
            heard = wait(list(alive), PATIENCE_SECONDS)
            if not heard:
                raise SystemExit(f"a client of round {number} did nothing for {PATIENCE_SECONDS} s")
            for hears in heard:
                if not alive[hears].hear():
                    alive.pop(hears).end()
    finally:
        for client in alive.values():
            client.end()


def _drained(service: Sqs | ServiceBus, local: Local) -> Counter[str]:
    """All that is left, with how often each message was delivered; some of it still is in the hands of the dead."""
    drained: Counter[str] = Counter()
    deadline = time.monotonic() + PATIENCE_SECONDS
    with service.work() as (_, receive):
        while local.usage()[service.name]["messages"] and time.monotonic() < deadline:
            for body, deliveries, settle in receive():
                settle()
                drained[body] = deliveries
    return drained


def _wrong(story: Story, drained: Counter[str]) -> Iterator[str]:
    """What is not as it must be."""
    left = set(drained)
    in_dead_hands = story.said["held"] - story.said["settling"]
    first, last = story.first_and_last()
    if lost := story.said["sent"] - story.said["settling"] - left:
        yield f"lost: {sorted(lost)}"
    if back := left & story.said["settled"]:
        yield f"settled, and came back: {sorted(back)}"
    if invented := left - story.said["sending"]:
        yield f"sent by nobody: {sorted(invented)}"
    if not in_dead_hands:
        yield "no client was killed with a message in its hands: this tests nothing"
    if once := [body for body in in_dead_hands & left if drained[body] < 2]:
        yield f"received by one who was killed, and yet delivered for the first time: {sorted(once)}"
    if last > first * SLOWER_MAX + SLOWER_SECONDS:
        yield f"until its first message a client took {first:.2f} s in the first rounds, and {last:.2f} s in the last"


def main() -> int:
    options = _options()
    rng = random.Random(options.seed)
    with Local(options.bridge, options.address, "--without-workers") as local:
        services = [Sqs(local), ServiceBus(local)]
        stories = {service.name: Story() for service in services}
        for number in range(ROUNDS):
            _round(services, number, rng, stories)
        problems = []
        for service in services:
            story, drained = stories[service.name], _drained(service, local)
            problems += [f"{service.name}: {problem}" for problem in _wrong(story, drained)]
            first, last = story.first_and_last()
            seconds = f"{first:.2f} s until a client's first message in the first rounds, {last:.2f} s in the last"
            print(f"{service.name}: {len(story.said['sent'])} sent, {len(drained)} left behind; {seconds}", flush=True)
        problems += _left_over(local)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def _left_over(local: Local) -> list[str]:
    """What the services still hold once all clients are gone; they notice that a little after it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(any(counts.values()) for counts in local.usage().values()):
        if time.monotonic() > deadline:
            return [f"still there after all clients have gone: {local.usage()}"]
        time.sleep(0.05)
    return []


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: restarts.py target/debug/bridge --seed 7")
    parser.add_argument("bridge", type=Path, help="the built binary")
    parser.add_argument("--address", default="127.4.0.1", help="a loopback address for Service Bus (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="when the clients are killed (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
