"""Passwords as argon2id, hashed and verified off the event loop, a bounded number at a time."""

import asyncio
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from aldea.errors import ServiceUnavailable

MIN_CHARACTERS: Final = 12
# Longer ones cost time to hash and protect no better.
MAX_CHARACTERS: Final = 200

# OWASP's Password Storage Cheat Sheet: argon2id with 19 MiB, two passes, one lane. A small task can afford several.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
# Hashes at a time: more would only take the processor and memory of the requests beside them.
_AT_ONCE: Final = 2
# A request that waits longer is refused with Retry-After: a flood of logins must not queue without end.
WAIT_SECONDS: Final = 5.0
# Requests that may wait: about what is done within the time above; the next one is refused at once.
MAX_WAITING: Final = 200

# Verified in place of an absent account's hash, so that its response takes as long as any other's.
NOBODY: Final = _HASHER.hash("nobody has this password")


class Passwords:
    """Hashes and verifies; one per process."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)
        # Threads of its own: a caller that gave up leaves a hash running, and its thread stays occupied until it ends.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password, with its salt and parameters. Raises ServiceUnavailable."""
        return await self._run(password, None)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is the one that was hashed. Raises ServiceUnavailable.

        None, an absent account's hash, is never right and takes as long as any other.
        """
        fits = await self._run(password, NOBODY if stored is None else stored) != ""
        return fits and stored is not None

    async def _run(self, password: str, stored: str | None) -> str:
        if self._waiting >= MAX_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _work, password, stored)
        finally:
            self._turn.release()


def outdated(stored: str) -> bool:
    """Whether a hash was made with parameters other than today's."""
    return _HASHER.check_needs_rehash(stored)


def _work(password: str, stored: str | None) -> str:
    """A fresh hash, or `stored` itself if the password fits it, else nothing.

    Devices send one accented letter in different codes, so what is hashed is composed (NFC: RFC 8265 section 4.2.2).
    Hashes of before that are of the password as it was sent.
    """
    composed = unicodedata.normalize("NFC", password)
    if stored is None:
        return _HASHER.hash(composed)
    for spelling in dict.fromkeys((composed, password)):
        with suppress(VerificationError, InvalidHashError):
            _HASHER.verify(stored, spelling)
            return stored
    return ""


def _busy() -> ServiceUnavailable:
    return ServiceUnavailable("Too many sign-ins at the moment. Try again in a few seconds.")
