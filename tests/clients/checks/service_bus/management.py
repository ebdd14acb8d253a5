"""Queues over HTTP, with the administration client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError

from harness import check, equal

from .world import World, one, refused, some


@check
def a_queue_is_made_read_and_removed(world: World) -> None:
    """What was set comes back; a second creation and what is not there are refused.

    [API] Azure Service Bus REST: Create Queue, Get Queue, Delete Queue.
    """
    settings = {
        "lock_duration": timedelta(seconds=7),
        "max_delivery_count": 3,
        "default_message_time_to_live": timedelta(days=1),
        "dead_lettering_on_message_expiration": True,
        "requires_duplicate_detection": True,
    }
    name = world.queue(**settings)
    found = world.management.get_queue(name)
    equal({key: getattr(found, key) for key in settings}, settings)
    equal(found.duplicate_detection_history_time_window, timedelta(minutes=10), "the documented default")
    refused(ResourceExistsError, world.management.create_queue, name)
    world.management.delete_queue(name)
    refused(ResourceNotFoundError, world.management.get_queue, name)
    refused(ResourceNotFoundError, world.management.delete_queue, name)


@check
def a_queue_can_be_changed(world: World) -> None:
    """Update changes what it names and keeps the rest.

    [API] Azure Service Bus REST: Update Queue.
    """
    name = world.queue(max_delivery_count=3, lock_duration=timedelta(seconds=7))
    properties = world.management.get_queue(name)
    properties.max_delivery_count = 4
    world.management.update_queue(properties)
    found = world.management.get_queue(name)
    equal((found.max_delivery_count, found.lock_duration), (4, timedelta(seconds=7)))


@check
def the_counts_tell_active_dead_and_scheduled(world: World) -> None:
    """CountDetails: active (locked ones too), dead-lettered, scheduled; and all together.

    [Guide] Message counters.
    """
    name = world.queue()
    world.send(name, *"abcde")
    world.sender(name).schedule_messages(ServiceBusMessage("s"), datetime.now(UTC) + timedelta(minutes=5))
    receiver = world.receiver(name)
    dead, done, _locked = some(receiver, 3)
    receiver.dead_letter_message(dead)
    receiver.complete_message(done)
    found = world.management.get_queue_runtime_properties(name)
    counts = found.active_message_count, found.dead_letter_message_count, found.scheduled_message_count
    equal((*counts, found.total_message_count), (3, 1, 1, 5))
    assert found.size_in_bytes > 0, "a queue with messages has a size"


@check
def queues_are_listed_page_by_page(world: World) -> None:
    """A listing is cut into pages of at most 100, and every queue is on one of them.

    [API] Azure Service Bus REST: List Queues, $skip and $top.
    """
    names = {world.queue() for _ in range(105)}
    listed = [queue.name for queue in world.management.list_queues()]
    equal((len(listed), names - set(listed)), (len(set(listed)), set()))


@check
def unfit_names_are_refused(world: World) -> None:
    """A name has at most 260 characters, begins with a letter or digit, and holds no blank.

    [Guide] Naming rules and restrictions for Azure resources, Microsoft.ServiceBus.
    """
    for name in ("$x", "-a", "a b", "x" * 300):
        error = refused(HttpResponseError, world.management.create_queue, name)
        equal(error.status_code, 400, name[:5])


@check
def a_deleted_queue_takes_its_receivers_along(world: World) -> None:
    """[Ours] A receiver of a deleted queue gets an error that says so, not silence."""
    name = world.queue()
    world.send(name, "x")
    receiver = world.receiver(name)
    receiver.complete_message(one(receiver))
    world.management.delete_queue(name)
    error = refused(ServiceBusError, receiver.receive_messages, max_message_count=1, max_wait_time=2)
    assert "entity has been deleted" in str(error), error
