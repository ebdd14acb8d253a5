"""SQS through boto3."""

from . import access, dead_letters, fifo, queues, receiving, sending, settling
from .world import World

MODULES = (queues, sending, receiving, settling, dead_letters, fifo, access)

__all__ = ["MODULES", "World"]
