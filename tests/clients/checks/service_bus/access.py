"""Who is let in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import urllib.parse

from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import MessagingEntityNotFoundError, ServiceBusAuthenticationError

from harness import check

from .world import World, refused


@check
def a_wrong_key_is_refused(world: World) -> None:
    """A token that was signed with another key gives no link.

    [Guide] Service Bus access control with Shared Access Signatures.
    """
    queue = world.queue()
    stranger = world.connect(world.connection_string.replace("SharedAccessKey=", "SharedAccessKey=d3Jvbmc"))
    refused(ServiceBusAuthenticationError, _send, stranger, queue)


@check
def an_unknown_queue_is_said_to_be_unknown(world: World) -> None:
    """A link to what is not there is refused.

    [Guide] Service Bus messaging exceptions: MessagingEntityNotFound.
    """
    refused(MessagingEntityNotFoundError, _send, world.bus, "no-such-queue")


def _send(bus: ServiceBusClient, queue: str) -> None:
    with bus.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("x"))


def shared_access_signature(
    world: World, key: str | None = None, seconds: float = 600, place: str | None = None
) -> str:
    """A token as clients make it of the connection string ([Guide] Access control with Shared Access Signatures)."""
    parts = dict(part.split("=", 1) for part in world.connection_string.rstrip(";").split(";"))
    place = urllib.parse.quote_plus(place or world.site["service_bus_http_endpoint"] + "/")
    expires = int(time.time() + seconds)
    signed = hmac.new((key or parts["SharedAccessKey"]).encode(), f"{place}\n{expires}".encode(), hashlib.sha256)
    signature = urllib.parse.quote_plus(base64.b64encode(signed.digest()))
    return f"SharedAccessSignature sr={place}&sig={signature}&se={expires}&skn={parts['SharedAccessKeyName']}"


def bearer(seconds: float = 600) -> str:
    """A bearer token of the right shape; nobody here could check its signature."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"exp": int(time.time() + seconds), "aud": "https://servicebus.azure.net"}
    return f"Bearer {part({'alg': 'RS256', 'typ': 'JWT'})}.{part(claims)}.c2ln"
