"""Sends events with a trace context beside the body, with the official clients: READY_FILE (SITE PROPERTY VALUE BODY)..."""

from __future__ import annotations

import json
import sys

import boto3
from azure.servicebus import ServiceBusClient, ServiceBusMessage


def main() -> None:
    ready, *rest = sys.argv[1:]
    with open(ready) as file:
        sites = json.load(file)["sites"]
    for site, name, value, body in zip(*[iter(rest)] * 4, strict=True):
        send = to_sqs if site.startswith("aws:") else to_service_bus
        send(sites[site], name, value, body)


def to_sqs(site: dict, name: str, value: str, body: str) -> None:
    client = boto3.client(
        "sqs",
        region_name=site["region"],
        endpoint_url=site["sqs_endpoint"],
        aws_access_key_id=site["access_key_id"],
        aws_secret_access_key=site["secret_access_key"],
    )
    attributes = {name: {"DataType": "String", "StringValue": value}}
    client.send_message(QueueUrl=site["queue_url"], MessageBody=body, MessageAttributes=attributes)


def to_service_bus(site: dict, name: str, value: str, body: str) -> None:
    with ServiceBusClient.from_connection_string(site["service_bus_connection_string"]) as client:
        with client.get_queue_sender(site["queue"]) as sender:
            sender.send_messages(ServiceBusMessage(body, application_properties={name: value}))


if __name__ == "__main__":
    main()
