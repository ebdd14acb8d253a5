"""Cosmos DB through azure-cosmos."""

from . import access, faults, items, queries, time_to_live, values
from .world import World

MODULES = (items, values, queries, time_to_live, access, faults)

__all__ = ["MODULES", "World"]
