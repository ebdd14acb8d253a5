"""Watches a drill from outside, through the official clients alone, and holds its report to what was seen.

drill.py READY REPORT [--steal COUNT] [--compute SECONDS] -- PROGRAM...

Runs PROGRAM (`bridge drill`, with --report REPORT) and looks at both stores and at the dead letters meanwhile. --steal: takes COUNT
of the drill's letters away, so that something is really lost. --compute: the site's services go on answering, as only its worker
fails; then nothing may be missing in the end that long after failing over. Prints the figures; ends with 1, and says why, if the report does not agree.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from azure.cosmos import CosmosClient
from azure.servicebus import ServiceBusClient
from botocore.config import Config

AWS, AZURE = "aws:us-east-1", "azure:westeurope"
KEYS = "_bridge/drill/"
SLACK = 1.5
"""Seconds that this and the drill may differ: both look every 0.1 s, on a machine that others use."""


class Clouds:
    def __init__(self, ready: dict[str, Any]) -> None:
        aws, azure = ready["sites"][AWS], ready["sites"][AZURE]
        quick = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
        own = {
            "region_name": aws["region"],
            "aws_access_key_id": aws["access_key_id"],
            "aws_secret_access_key": aws["secret_access_key"],
            "config": quick,
        }
        self._dynamodb = boto3.client("dynamodb", endpoint_url=aws["dynamodb_endpoint"], **own)
        self._sqs = boto3.client("sqs", endpoint_url=aws["sqs_endpoint"], **own)
        self._aws, self._azure = aws, azure

    def reader(self, site: str) -> Any:
        """What reads all of the drill's records of a site, as {key: version}."""
        if site == AWS:
            return self._read_dynamodb
        cosmos = CosmosClient(
            self._azure["cosmos_endpoint"], credential=self._azure["cosmos_key"], connection_timeout=1, retry_total=0
        )
        container = cosmos.get_database_client(self._azure["database"]).get_container_client(self._azure["container"])
        query = f"SELECT c.pk, c.version, c.deleted FROM c WHERE STARTSWITH(c.pk, '{KEYS}')"

        def read() -> dict[str, tuple[str, bool]]:
            items = container.query_items(query, enable_cross_partition_query=True)
            return {item["pk"]: (item["version"], item["deleted"]) for item in items}

        return read

    def _read_dynamodb(self) -> dict[str, tuple[str, bool]]:
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self._aws["table"],
            ConsistentRead=True,
            FilterExpression="begins_with(pk, :keys)",
            ExpressionAttributeValues={":keys": {"S": KEYS}},
        )
        items = [item for page in pages for item in page["Items"]]
        return {item["pk"]["S"]: (item["version"]["S"], item["deleted"]["BOOL"]) for item in items}

    def letters(self) -> set[str]:
        """The drill's events that dead letters of both sites hold; they are left there."""
        found = set()
        with self._service_bus() as bus, bus.get_queue_receiver(self._azure["dead_letter_queue"]) as receiver:
            after = 0
            while messages := receiver.peek_messages(250, sequence_number=after):
                found |= {event_id for message in messages if (event_id := drill_event(bytes_of(message)))}
                after = messages[-1].sequence_number + 1
        held = []
        while messages := self._receive_sqs():
            held += messages
        for message in held:
            self._sqs.change_message_visibility(
                QueueUrl=self._aws["dead_letter_queue_url"], ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return found | {event_id for message in held if (event_id := drill_event(message["Body"].encode()))}

    def steal(self, count: int, stop: threading.Event) -> set[str]:
        """Takes letters of AWS that nobody else has a copy of; their events."""
        stolen: set[str] = set()
        while len(stolen) < count and not stop.is_set():
            for message in self._receive_sqs():
                event_id = drill_event(message["Body"].encode(), only="create")
                handle = {"QueueUrl": self._aws["dead_letter_queue_url"], "ReceiptHandle": message["ReceiptHandle"]}
                if event_id and len(stolen) < count:
                    self._sqs.delete_message(**handle)
                    stolen.add(event_id)
                else:
                    self._sqs.change_message_visibility(**handle, VisibilityTimeout=0)
            time.sleep(0.1)
        return stolen

    def _receive_sqs(self) -> list[dict[str, Any]]:
        url = self._aws["dead_letter_queue_url"]
        answer = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60)
        return answer.get("Messages", [])

    def _service_bus(self) -> ServiceBusClient:
        return ServiceBusClient.from_connection_string(self._azure["service_bus_connection_string"])


def bytes_of(message: Any) -> bytes:
    return b"".join(message.body)


def drill_event(body: bytes, only: str | None = None) -> str | None:
    event = json.loads(body)
    mine = str(event.get("key", "")).startswith(KEYS) and (only is None or event["op_type"] == only)
    return event["event_id"] if mine else None


class Span(NamedTuple):
    """It happened somewhere in here: between a look that did not show it and one that did. Long, where a site went dark between."""

    start: float
    end: float

    def holds(self, at: float) -> bool:
        return self.start - SLACK < at < self.end + SLACK


@dataclass
class Watch:
    """What one site showed, and when: for each key its versions, each with the look that showed it first and the one before."""

    site: str
    seen: dict[str, list[tuple[Span, str, bool]]] = field(default_factory=dict)
    answered: list[tuple[float, bool]] = field(default_factory=list)

    def run(self, read: Any, stop: threading.Event) -> None:
        before = time.time()
        while not stop.is_set():
            began = time.time()
            try:
                shown = read()
            except Exception:
                self.answered.append((time.time(), False))
                continue
            finally:
                time.sleep(0.1)
            self.answered.append((time.time(), True))
            for key, (version, deleted) in shown.items():
                versions = self.seen.setdefault(key, [])
                if not versions or versions[-1][1] != version:
                    versions.append((Span(before, time.time()), version, deleted))
            before = began

    def first(self, key: str, version: str, known: set[str]) -> Span | None:
        """When it first showed this version or a later one of the drill's writes."""
        return next((span for span, shown, _ in self.seen.get(key, []) if shown >= version and shown in known), None)

    def away(self) -> Span | None:
        """From its first look in vain to the first that was answered again."""
        failed = next((at for at, answered in self.answered if not answered), None)
        if failed is None:
            return None
        return Span(failed, next((at for at, answered in self.answered if answered and at > failed), float("inf")))

    def until(self, at: float) -> float:
        """When the drill can have seen at the latest what was there then: later, if the site went dark under its eyes."""
        away = self.away()
        return max(at, away.end) if away and away.holds(at) else at


def seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def judge(report: dict[str, Any], writes: list[dict[str, Any]], watches: dict[str, Watch], letters: set[str]) -> list[str]:
    wrong: list[str] = []

    def hold(is_so: bool, what: str) -> None:
        if not is_so:
            wrong.append(what)

    known = {write["version"] for write in writes}
    for site, watch in watches.items():
        for key, versions in watch.seen.items():
            strange = [version for _, version, deleted in versions if version not in known and not deleted]
            hold(not strange, f"{site} showed writes of {key} that the drill does not tell of: {strange}")
            order = [version for _, version, _ in versions]
            hold(order == sorted(order), f"{site} showed versions of {key} that go down")

    fates = Counter(in_time=0, late=0, owed=0, waiting=0, lost=0)
    late_after = report["settings"]["late_after_seconds"]
    for write in writes:
        name = f"{write['op_type']} {write['event_id']}"
        first = {site: watch.first(write["key"], write["version"], known) for site, watch in watches.items()}
        for site, at in first.items():
            told = write["seen_at"].get(site)
            hold((at is None) == (told is None), f"{name}: {site} showed it at {at}, the report says {told}")
            if at is not None and told is not None:
                hold(at.start - SLACK < seconds(told) < watches[site].until(at.end) + SLACK, f"{name}: {site} showed it {at.end - seconds(told):.1f} s after what the report says")
        if write["answer"] != "confirmed":
            hold(write["fate"] is None, f"{name}: {write['answer']} and yet {write['fate']}")
            hold(write["answer"] == "unknown" or not any(first.values()), f"{name}: refused, and a store shows it")
            continue
        times = [Span(at.start, watches[site].until(at.end)) for site, at in first.items() if at is not None]
        if len(times) == len(watches):
            bound = seconds(write["confirmed_at"]) + late_after
            may = {"in_time"} if max(at.start for at in times) - SLACK < bound else set()
            may |= {"late"} if max(at.end for at in times) + SLACK > bound else set()
            fate = write["fate"] if write["fate"] in may else " or ".join(may)
        else:
            fate = "owed" if write["event_id"] in letters else "lost"
        hold(write["fate"] == fate, f"{name}: {fate}, the report says {write['fate']}")
        fates[fate] += 1
    hold(report["figures"]["fates"] == fates, f"{fates}, the report says {report['figures']['fates']}")
    count = sum(write["answer"] == "confirmed" for write in writes)
    hold(report["figures"]["writes"]["confirmed"] == count == sum(fates.values()), "the books do not balance")
    return wrong


def judge_times(report: dict[str, Any], writes: list[dict[str, Any]], watches: dict[str, Watch], compute: bool) -> list[str]:
    """Recovery time and recovery point, by when this saw the site go and come."""
    failed_site = report["failed_site"]
    (survivor,) = (site for site in watches if site != failed_site)
    known = {write["version"] for write in writes}
    figures = report["figures"]
    wrong = []

    def seen(write: dict[str, Any]) -> float:
        span = watches[survivor].first(write["key"], write["version"], known)
        return span.end if span else float("inf")

    failed = next(seconds(line["at"]) for line in report["timeline"] if "FAILS" in line["what"])
    if not compute:
        gone, back = watches[failed_site].away() or Span(0, 0)
        if abs(gone - failed) > SLACK:
            wrong.append(f"the site was gone {gone - failed:.1f} s after what the report says")
        returned = next(seconds(line["at"]) for line in report["timeline"] if line["what"].endswith("is back"))
        if abs(back - returned) > SLACK:
            wrong.append(f"the site was back {back - returned:.1f} s after what the report says")
        failed = gone
    moved = [write for write in writes if write["user_of"] == failed_site and write["sent_to"] == survivor]
    rto = min(seen(write) for write in moved) - failed
    if abs(rto - figures["rto"]["readable_seconds"]) > SLACK:
        wrong.append(f"recovery time {rto:.1f} s, the report says {figures['rto']}")
    # What was there when the site went was there soon after; what was not came much later, or never.
    own = [write for write in writes if write["sent_to"] == failed_site and write["answer"] == "confirmed"]
    over = failed + figures["rto"]["failed_over_seconds"]
    stuck = [write for write in own if seconds(write["confirmed_at"]) < over and seen(write) > over + SLACK]
    told = figures["missing_at_failover" if compute else "rpo"]["events"]
    slack = 2 * report["settings"]["writes_per_second_and_site"] * SLACK if compute else 0
    if abs(len(stuck) - told) > slack:
        wrong.append(f"{len(stuck)} writes were stuck at the failed site, the report says {told}")
    if compute and figures["rpo"]["events"] != 0:
        wrong.append(f"the replay of failing over left {figures['rpo']}")
    print(json.dumps({"recovery_time_seconds": round(rto, 1), "stuck": len(stuck), "told": told}))
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ready", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--steal", type=int, default=0)
    parser.add_argument("--compute", action="store_true")
    parser.add_argument("program", nargs="+")
    args = parser.parse_args()

    clouds = Clouds(json.loads(args.ready.read_text()))
    stop = threading.Event()
    watches = {site: Watch(site) for site in (AWS, AZURE)}
    threads = [threading.Thread(target=watch.run, args=(clouds.reader(site), stop)) for site, watch in watches.items()]
    stolen: set[str] = set()
    if args.steal:
        threads.append(threading.Thread(target=lambda: stolen.update(clouds.steal(args.steal, stop))))
    for thread in threads:
        thread.start()
    ended = subprocess.run(args.program, stdout=subprocess.PIPE, timeout=300)
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()

    report = json.loads(Path(f"{args.report}.json").read_text())
    text = Path(f"{args.report}.jsonl").read_bytes()
    writes = [json.loads(line) for line in text.splitlines()]
    letters = clouds.letters()
    wrong = judge(report, writes, watches, letters) + judge_times(report, writes, watches, args.compute)
    if hashlib.sha256(text).hexdigest() != report["writes"]["sha256"]:
        wrong.append("the file of writes is not the one that the report was made of")
    fates = report["figures"]["fates"]
    # Deleted by a later write of its key, one of those counts as having come.
    if args.steal and not 0 < fates["lost"] <= len(stolen):
        wrong.append(f"{len(stolen)} letters were taken away, {fates['lost']} are reported as lost")
    lost = {write["event_id"] for write in writes if write["fate"] == "lost"}
    if not lost <= stolen:
        wrong.append(f"reported as lost, and nobody took them: {lost - stolen}")
    print(json.dumps({"exit_code": ended.returncode, "stolen": len(stolen), **report["figures"]}))
    for line in wrong[:20]:
        print(line, file=sys.stderr)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
