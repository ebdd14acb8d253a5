"""Credentials."""

from __future__ import annotations

from harness import check

from .world import World, refused


@check
def strangers_are_not_let_in(world: World) -> None:
    """[API] Common errors: InvalidClientTokenId, 403. A credential for another region is refused too."""
    stranger = world.client(aws_access_key_id="stranger")
    refused("InvalidClientTokenId", stranger.list_queues, status=403)
    refused("SignatureDoesNotMatch", world.client(region_name="eu-north-1").list_queues, status=403)
