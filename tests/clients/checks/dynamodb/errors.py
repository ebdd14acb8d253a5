"""How the service says no."""

from __future__ import annotations

from harness import check

from .world import World, refused


@check
def a_missing_table_is_said_to_be_missing(world: World) -> None:
    """A missing table is ResourceNotFoundException.

    [API] Error handling with DynamoDB.
    """
    refused("ResourceNotFoundException", world.client.get_item, TableName="no-such-table", Key={"pk": {"S": "a"}})


@check
def strangers_are_not_let_in(world: World) -> None:
    """A wrong access key is UnrecognizedClientException, a wrong region InvalidSignatureException.

    [API] Error handling with DynamoDB.
    """
    stranger = world.connect(aws_access_key_id="AKIASTRANGER")
    refused("UnrecognizedClientException", stranger.list_tables)
    elsewhere = world.connect(region_name="eu-west-3")
    refused("InvalidSignatureException", elsewhere.list_tables)


@check
def an_expression_that_cannot_be_read_is_refused_with_the_reason(world: World) -> None:
    """An expression that cannot be read is ValidationException, with the reason.

    [API] Expressions.
    """
    answer = refused(
        "ValidationException",
        world.client.put_item,
        TableName=world.table,
        Item={"pk": {"S": "a"}},
        ConditionExpression="pk =",
    )
    assert "ConditionExpression" in answer["Error"]["Message"], answer
