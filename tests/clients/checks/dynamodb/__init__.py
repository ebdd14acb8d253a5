"""DynamoDB through boto3."""

from . import errors, expiry, faults, reads, values, writes
from .world import World

MODULES = (writes, values, reads, expiry, errors, faults)

__all__ = ["MODULES", "World"]
