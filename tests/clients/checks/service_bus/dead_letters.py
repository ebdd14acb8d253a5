"""The dead-letter queue that every queue has."""

from __future__ import annotations

from datetime import timedelta

from harness import check, equal

from .world import World, nothing, one, some, text_of


@check
def a_dead_lettered_message_keeps_its_reason_and_source(world: World) -> None:
    """Dead-lettering moves the message, with the reason and the description that the receiver gave.

    [Guide] Overview of Service Bus dead-letter queues, application-level dead-lettering.
    """
    queue = world.queue()
    world.send(queue, "poison", application_properties={"kept": "yes"})
    receiver = world.receiver(queue)
    receiver.dead_letter_message(one(receiver), reason="malformed", error_description="no id")
    nothing(receiver)
    equal(world.counts(queue), (0, 1, 0))
    letter = one(world.dead_letters(queue))
    told = letter.dead_letter_reason, letter.dead_letter_error_description, letter.dead_letter_source
    equal((str(letter), *told), ("poison", "malformed", "no id", queue))
    equal(text_of(letter.application_properties)["kept"], "yes")


@check
def too_many_deliveries_end_in_the_dead_letter_queue(world: World) -> None:
    """After MaxDeliveryCount deliveries without an end the service itself dead-letters the message.

    [Guide] Overview of Service Bus dead-letter queues, maximum delivery count: MaxDeliveryCountExceeded.
    """
    queue = world.queue(max_delivery_count=3)
    world.send(queue, "poison")
    receiver = world.receiver(queue)
    for _ in range(3):
        receiver.abandon_message(one(receiver))
    nothing(receiver)
    equal(one(world.dead_letters(queue)).dead_letter_reason, "MaxDeliveryCountExceeded")


@check
def an_expired_message_is_dead_lettered_where_the_queue_says_so(world: World) -> None:
    """With dead-lettering on expiration an expired message is a letter, otherwise it is gone.

    [Guide] Overview of Service Bus dead-letter queues, time to live: TTLExpiredException.
    """
    for keeps in (True, False):
        queue = world.queue(dead_lettering_on_message_expiration=keeps)
        world.send(queue, "late", time_to_live=timedelta(seconds=0.3))
        letters = world.dead_letters(queue)
        if keeps:
            equal(one(letters).dead_letter_reason, "TTLExpiredException")
        else:
            nothing(letters)
        nothing(world.receiver(queue))


@check
def a_letter_is_settled_like_any_message(world: World) -> None:
    """Letters stay until they are completed; they do not expire and are not dead-lettered again.

    [Guide] Overview of Service Bus dead-letter queues.
    """
    queue = world.queue(max_delivery_count=1)
    world.send(queue, "a", "b")
    receiver = world.receiver(queue)
    for message in some(receiver, 2):
        receiver.dead_letter_message(message)
    letters = world.dead_letters(queue)
    for _ in range(3):
        letters.abandon_message(one(letters))
    equal(world.counts(queue), (0, 2, 0))
    for letter in some(letters, 2):
        letters.complete_message(letter)
    equal(world.counts(queue), (0, 0, 0))
