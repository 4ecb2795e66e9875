"""Replies of Redis, as it words them."""

import pytest
from redis import exceptions

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
    ],
)
def test_errors_are_distinguished_by_what_they_say_about_the_server(
    error: Exception, elsewhere: bool, later: bool
) -> None:
    assert moved(error) is elsewhere
    assert not_now(error) is later
