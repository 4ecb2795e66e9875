"""What is wrong with Redis: it is unavailable, or an error reply says that this server cannot serve a command."""

from typing import Final

from redis import exceptions

# By these names elsewhere, so that `aldea.redis` is what imports redis-py, whoever comes first.
RedisError = exceptions.RedisError
ResponseError = exceptions.ResponseError

# Replies that mean "not now" rather than "your command is wrong" (Redis: server.c, shared replies); as words where
# the library has no class for them, or where a script met them and Redis 6.2 wrapped them.
_NOT_NOW: Final = (
    exceptions.BusyLoadingError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.NoPermissionError,
)
_NOT_NOW_WORDS: Final = ("LOADING", "MASTERDOWN", "OOM", "MISCONF", "NOREPLICAS", "BUSY")
# The same of a user's rights, which change while releases do: a script's reply as Redis 7 and Redis 6.2 word it.
_NOT_ALLOWED_WORDS: Final = ("ACL failure in script", "The user executing the script can't ")
# How redis-py introduces the reply to a command of a pipeline, behind the command itself.
_OF_PIPELINE: Final = ("Command # ", " of pipeline caused error: ")


class RedisUnavailable(Exception):
    """Redis did not respond, or cannot serve now. `sent`: whether the command may have been carried out."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


def moved(error: Exception) -> bool:
    """Whether the server takes no writes: a replica, as after a failover."""
    if isinstance(error, exceptions.ReadOnlyError):
        return True
    # Redis 6.2 wraps the reply when a script met it: "ERR Error running script …: -READONLY You can't write …". Who
    # waited for an entry when the server became a replica gets "UNBLOCKED force unblock …" (Redis: blocked.c).
    text = _reply(error)
    return isinstance(error, exceptions.ResponseError) and ("-READONLY " in text or text.startswith("UNBLOCKED "))


def not_now(error: Exception) -> bool:
    """Whether the server cannot serve for the moment, whatever the command."""
    if isinstance(error, _NOT_NOW):
        return True
    text = _reply(error)
    return isinstance(error, exceptions.ResponseError) and (
        any(text.startswith(f"{word} ") or f"-{word} " in text for word in _NOT_NOW_WORDS)
        or any(words in text for words in _NOT_ALLOWED_WORDS)
    )


def _reply(error: Exception) -> str:
    """The reply as Redis wrote it: a command of a pipeline may quote anything, and says nothing about the server."""
    text = str(error)
    before, after = _OF_PIPELINE
    return text.rpartition(after)[2].lstrip("('\"") if text.startswith(before) else text
