#!/usr/bin/env python3
"""mq-bridge, natively or with Redpanda Connect's connectors: forwards between SQS and Service Bus, the part of the job that they can do.

They have no conditional write, so nothing is stored: compare with nobody's row of CPU or speed without saying so.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from typing import Any

import mq_bridge
import mq_bridge_connect

BATCH = 10


def route(side: str, ready: dict[str, Any], engine: str) -> dict[str, Any]:
    sites = {site["cloud"]: site for site in ready["sites"].values()}
    sqs = native_sqs(sites["aws"]) if engine == "mq-bridge" else connect_sqs(sites["aws"], side)
    bus = connect_amqp(sites["azure"], side)
    ends = {"input": sqs, "output": bus} if side == "aws" else {"input": bus, "output": sqs}
    return {**ends, "batch_size": BATCH, "concurrency": 4}


def native_sqs(site: dict[str, str]) -> dict[str, Any]:
    names = {"queue_url": "queue_url", "region": "region", "endpoint_url": "sqs_endpoint"}
    names |= {"access_key": "access_key_id", "secret_key": "secret_access_key"}
    return {"aws": {name: site[ours] for name, ours in names.items()} | {"max_messages": 10, "wait_time_seconds": 20}}


def connect_sqs(site: dict[str, str], side: str) -> dict[str, Any]:
    config = {
        "connector": "aws_sqs",
        "url": site["queue_url"],
        "region": site["region"],
        "endpoint": site["sqs_endpoint"],
        "credentials": {"id": site["access_key_id"], "secret": site["secret_access_key"]},
    }
    if side == "aws":
        config |= {"max_number_of_messages": 10, "wait_time_seconds": 20}
    return {"custom": {"name": "connect", "config": config}}


def connect_amqp(site: dict[str, str], side: str) -> dict[str, Any]:
    parts = dict(part.split("=", 1) for part in site["service_bus_connection_string"].strip(";").split(";"))
    config: dict[str, Any] = {
        "connector": "amqp_1",
        "urls": [parts["Endpoint"].replace("sb://", "amqp://") + ":5672/"],
        "sasl": {"mechanism": "plain", "user": parts["SharedAccessKeyName"], "password": parts["SharedAccessKey"]},
    }
    if side == "aws":
        config["target_address"] = site["queue"]
    else:
        config |= {"source_address": site["queue"], "credit": 100}
    return {"custom": {"name": "connect", "config": config}}


if __name__ == "__main__":
    engine, side, file = sys.argv[1:4]
    with open(file, encoding="utf-8") as text:
        wanted = route(side, json.load(text), engine)
    mq_bridge_connect.register()
    running = mq_bridge.Route.from_config(wanted)
    running.start()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    stopping.wait()
    running.stop()
    running.join()
