"""Service Bus through azure-servicebus, and its HTTP side."""

from . import access, dead_letters, faults, management, over_http, receiving, sending, settling, time_and_order
from .world import World

MODULES = (sending, receiving, settling, dead_letters, time_and_order, management, over_http, access, faults)

__all__ = ["MODULES", "World"]
