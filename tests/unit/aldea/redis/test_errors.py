"""Replies of Redis, as it words them."""

import pytest
from redis import exceptions
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import ConnectionPool

from aldea.redis.errors import moved, not_now


@pytest.mark.parametrize(
    ("error", "elsewhere", "later"),
    [
        (exceptions.ReadOnlyError("You can't write against a read only replica."), True, False),
        (exceptions.ResponseError("ERR Error running script: @user_script:9: -READONLY You can't write"), True, False),
        (
            exceptions.ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed"),
            True,
            False,
        ),
        (exceptions.BusyLoadingError("Redis is loading"), False, True),
        (exceptions.OutOfMemoryError("command not allowed"), False, True),
        (exceptions.ResponseError("ERR Error running script: -OOM command not allowed"), False, True),
        (exceptions.ResponseError("MISCONF Redis is configured to save"), False, True),
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), False, False),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), False, True),
        (exceptions.NoPermissionError("this user has no permissions to run the 'xadd' command"), False, True),
        (exceptions.ResponseError("ERR ACL failure in script: No permissions to access a key script: f"), False, True),
        (
            exceptions.ResponseError(
                "ERR Error running script (call to f_1): @user_script:9: The user executing the script can't run this "
                "command or subcommand"
            ),
            False,
            True,
        ),
    ],
)
def test_errors_are_distinguished_by_what_they_say_about_the_server(
    error: Exception, elsewhere: bool, later: bool
) -> None:
    assert moved(error) is elsewhere
    assert not_now(error) is later


@pytest.mark.parametrize(
    ("reply", "elsewhere", "later"),
    [
        (
            exceptions.ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed"),
            True,
            False,
        ),
        (exceptions.ResponseError("MISCONF Errors writing to the AOF file: can't write"), False, True),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), False, True),
        (exceptions.ResponseError("BUSY Redis is busy running a script."), False, True),
        (exceptions.OutOfMemoryError("command not allowed"), False, True),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), True, False),
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), False, False),
    ],
)
def test_a_reply_inside_a_pipeline_says_the_same_and_the_command_before_it_nothing(
    reply: exceptions.ResponseError, elsewhere: bool, later: bool
) -> None:
    command = ("XADD", "s", "*", "r", "a customer's -OOM -READONLY text of pipeline caused error: ('MISCONF x',)")
    Pipeline(ConnectionPool(), {}, False, None).annotate_exception(reply, 1, command)
    assert "of pipeline" in str(reply)
    assert moved(reply) is elsewhere
    assert not_now(reply) is later
