"""Passwords as argon2id, hashed and verified off the event loop, a bounded number at a time."""

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from aldea.errors import ServiceUnavailable

# OWASP's Password Storage Cheat Sheet: argon2id with 19 MiB, two passes, one lane. A small task can afford several.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
# Hashes at a time: more would only take the processor and memory of the requests beside them.
_AT_ONCE: Final = 2
# Whoever waits longer for their turn is told to come back: a flood of logins must not queue without end.
WAIT_SECONDS: Final = 5.0

# Verified in place of an absent account's hash, so that its answer takes as long as any other's.
NOBODY: Final = _HASHER.hash("nobody has this password")


class Passwords:
    """Hashes and verifies; one per process."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password, with its salt and parameters."""
        return await self._run(password, None)

    async def verify(self, stored: str, password: str) -> bool:
        """Whether the password is the one that was hashed."""
        return await self._run(password, stored) == stored

    async def _run(self, password: str, stored: str | None) -> str:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise ServiceUnavailable("Too many sign-ins at the moment. Try again in a few seconds.") from None
        try:
            return await asyncio.to_thread(_work, password, stored)
        finally:
            self._turn.release()


def outdated(stored: str) -> bool:
    """Whether a hash was made with parameters other than today's."""
    return _HASHER.check_needs_rehash(stored)


def _work(password: str, stored: str | None) -> str:
    """A fresh hash, or `stored` itself if the password fits it, else nothing."""
    if stored is None:
        return _HASHER.hash(password)
    try:
        _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return ""
    return stored
