"""Messages over HTTP: what is sent there is received over AMQP, and the other way round."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.parse
from datetime import timedelta
from email.utils import formatdate

from harness import check, equal

from .access import bearer, shared_access_signature
from .world import World, nothing, one, some, text_of

BATCH = {"Content-Type": "application/vnd.microsoft.servicebus.json"}


@check
def a_message_sent_over_http_is_whole(world: World) -> None:
    """BrokerProperties and custom headers become the message's properties.

    [API] Azure Service Bus REST: Send Message; Message headers and properties.
    """
    queue = world.queue()
    broker = {"MessageId": "id-1", "Label": "label", "CorrelationId": "correlation", "TimeToLive": 60, "To": "to"}
    headers = {"BrokerProperties": json.dumps(broker), "Content-Type": "application/octet-stream"}
    headers |= {"Count": "3", "Text": '"quoted"', "Flag": "true", "Ratio": "1.5"}
    equal(call(world, "POST", f"/{queue}/messages", bytes(range(256)), headers)[0], 201)
    message = one(world.receiver(queue))
    equal(b"".join(message.body), bytes(range(256)))
    told = message.message_id, message.subject, message.correlation_id, message.to, message.content_type
    equal(told, ("id-1", "label", "correlation", "to", "application/octet-stream"))
    equal(message.time_to_live, timedelta(seconds=60))
    properties = {name.lower(): value for name, value in text_of(message.application_properties).items()}
    equal(properties, {"count": 3, "text": "quoted", "flag": True, "ratio": 1.5})


@check
def a_batch_over_http_is_all_or_nothing(world: World) -> None:
    """A JSON array of bodies with their properties; one that cannot be read refuses all.

    [API] Azure Service Bus REST: Send Message Batch.
    """
    queue = world.queue()
    bad = [b"[{", b"[]", b"[{}]", b'[{"Body": "good"}, {}]', b"[" * 100_000, b'[{"Body": "\xff"}]']
    for body in bad:
        equal(call(world, "POST", f"/{queue}/messages", body, BATCH)[0], 400, body[:20])
    first = {"Body": "one"}
    second = {"Body": "zwei ü", "BrokerProperties": {"MessageId": "b2"}, "UserProperties": {"region": "aws", "n": 5}}
    equal(call(world, "POST", f"/{queue}/messages", json.dumps([first, second]).encode(), BATCH)[0], 201)
    one_, two = some(world.receiver(queue), 2)
    equal((str(one_), str(two), two.message_id), ("one", "zwei ü", "b2"))
    equal(text_of(two.application_properties), {"region": "aws", "n": 5})


@check
def a_message_can_wait_and_die_over_http(world: World) -> None:
    """ScheduledEnqueueTimeUtc has whole seconds; TimeToLive is in seconds.

    [API] Azure Service Bus REST: Message headers and properties.
    """
    queue = world.queue()
    start = time.time()
    later = {"BrokerProperties": json.dumps({"ScheduledEnqueueTimeUtc": formatdate(start + 4, usegmt=True)})}
    equal(call(world, "POST", f"/{queue}/messages", b"later", later)[0], 201)
    equal(call(world, "POST", f"/{queue}/messages", b"dies", {"BrokerProperties": '{"TimeToLive": 0.2}'})[0], 201)
    time.sleep(0.4)
    receiver = world.receiver(queue)
    nothing(receiver)
    equal(str(one(receiver)), "later")
    assert time.time() - start > 2.9, "it came at once"


@check
def what_cannot_be_sent_over_http_is_refused(world: World) -> None:
    """400 for what cannot be read, 404 for an unknown queue, 413 for what is too large.

    [API] Azure Service Bus REST: Send Message, response codes.
    """
    queue = world.queue()
    post = f"/{queue}/messages"
    equal(call(world, "POST", "/no-such-queue/messages", b"x")[0], 404)
    equal(call(world, "POST", post, b"x", {"BrokerProperties": "{"})[0], 400)
    equal(call(world, "POST", post, b"x" * 262_145)[0], 413)
    equal(call(world, "POST", f"/{queue}/$deadletterqueue/messages", b"x")[0], 400)
    equal(world.counts(queue), (0, 0, 0))


@check
def a_message_can_be_locked_renewed_unlocked_and_completed_over_http(world: World) -> None:
    """Peek-lock answers the message with its place, which renews (POST), unlocks (PUT) and completes (DELETE).

    [API] Azure Service Bus REST: Peek-Lock Message, Renew-Lock, Unlock Message, Delete Message.
    """
    queue = world.queue()
    world.send(queue, "x", message_id="id-1")
    head = f"/{queue}/messages/head?timeout=2"
    status, body, headers = call(world, "POST", head)
    properties = json.loads(headers["BrokerProperties"])
    equal((status, body, properties["MessageId"], properties["DeliveryCount"]), (201, b"x", "id-1", 1))
    place = urllib.parse.urlsplit(headers["Location"]).path
    equal([call(world, method, place)[0] for method in ("POST", "PUT", "DELETE")], [200, 200, 404])
    _, _, headers = call(world, "POST", head)
    equal(json.loads(headers["BrokerProperties"])["DeliveryCount"], 2)
    equal(call(world, "DELETE", urllib.parse.urlsplit(headers["Location"]).path)[0], 200)
    equal(call(world, "POST", f"/{queue}/messages/head?timeout=0")[0], 204)


@check
def a_receive_over_http_waits_and_wakes(world: World) -> None:
    """DELETE on the head receives and deletes; it waits for its timeout, and no longer once a message comes.

    [API] Azure Service Bus REST: Receive and Delete Message (Destructive Read).
    """
    queue = world.queue()
    threading.Timer(0.4, lambda: call(world, "POST", f"/{queue}/messages", b"woken", auth=bearer())).start()
    start = time.monotonic()
    status, body, _ = call(world, "DELETE", f"/{queue}/messages/head?timeout=10")
    equal((status, body), (200, b"woken"))
    assert 0.3 < time.monotonic() - start < 5, time.monotonic() - start
    equal(world.counts(queue), (0, 0, 0))


@check
def a_stranger_is_told_so_over_http(world: World) -> None:
    """401 without a token, with a wrong or expired one, and with one for another place.

    [API] Azure Service Bus REST: Send Message, response codes; [Guide] Access control with Shared Access Signatures.
    """
    queue = world.queue()
    tokens = {
        "none": "",
        "of another kind": "Basic abc",
        "wrong key": shared_access_signature(world, key="no"),
        "expired": shared_access_signature(world, seconds=-5),
        "for another place": shared_access_signature(world, place="http://x/other"),
        "expired bearer": bearer(seconds=-5),
    }
    statuses = {name: call(world, "POST", f"/{queue}/messages", b"x", auth=token)[0] for name, token in tokens.items()}
    equal(statuses, dict.fromkeys(tokens, 401))
    equal(world.counts(queue), (0, 0, 0))


def call(
    world: World,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    auth: str | None = None,
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """One request over a connection of its own, with a good token unless one is given."""
    address = urllib.parse.urlsplit(world.site["service_bus_http_endpoint"])
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=15)
    token = shared_access_signature(world) if auth is None else auth
    try:
        connection.request(method, path, body, {**(headers or {}), **({"Authorization": token} if token else {})})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()
