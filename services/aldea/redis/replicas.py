"""Writes that must outlive their primary: a script whose effect a replica has confirmed, where one follows.

Replication is asynchronous, so a primary that dies takes its last writes along. Most of what is written here is written
again or repaired afterwards; what has no other copy waits for the replica.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis.asyncio as redis
from redis.exceptions import ReadOnlyError

from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink, Script

# A replica in the same region confirms within a millisecond or two.
CONFIRM_SECONDS: Final = 1.0
# A primary whose replica has just left may have been replaced: what is written to it now is lost once it learns of it.
# A failover is over within a minute; a replica that is missing for longer has only been removed.
LEFT_SECONDS: Final = 60.0


class ReplicatedWrites:
    """Writes over one link. It remembers when it last saw a replica: by a write, or by a look."""

    def __init__(
        self,
        link: RedisLink,
        *,
        confirm_seconds: float = CONFIRM_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`confirm_seconds` must be below the link's own deadline. `clock`: seconds that only ever rise."""
        self._link = link
        self._confirm_seconds = confirm_seconds
        self._clock = clock
        self._seen: float | None = None

    async def call(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run `script`, which may be run twice, and return its response once one replica has what it wrote.

        Where no replica has been in step for a minute, the response comes at once. RedisUnavailable: none confirmed, or
        the replica left lately; the script may have been carried out, and a failover might undo it.
        """
        return await self._link.run(lambda client: self._call(client, script, keys, args))

    async def look(self) -> None:
        """Note whether a replica follows now. Raises RedisUnavailable.

        To be called every second or so: who writes seldom would not know that a replica has left since.
        """
        await self._link.run(self._look)

    async def _look(self, client: redis.Redis) -> None:
        if in_step(await client.info("replication")):
            self._seen = self._clock()

    async def _call(self, client: redis.Redis, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        replication = await client.info("replication")
        if replication["role"] != "master":
            raise ReadOnlyError("the server is a replica")  # the link looks for the primary, and calls once more
        if in_step(replication):
            self._seen = self._clock()
        elif self._seen is not None and self._clock() - self._seen < LEFT_SECONDS:
            raise RedisUnavailable("Redis' replica has left; this may be a primary that was replaced", sent=False)
        else:
            return await client.eval(script.source, len(keys), *keys, *args)
        # WAIT counts who has what its own connection wrote last.
        async with client.pipeline(transaction=False) as pipe:
            pipe.eval(script.source, len(keys), *keys, *args)
            pipe.wait(1, round(self._confirm_seconds * 1000))
            response, confirmed = await pipe.execute()
        if not confirmed:
            raise RedisUnavailable(f"no replica confirmed a write within {self._confirm_seconds * 1000:.0f} ms")
        return response


def in_step(replication: dict[str, Any]) -> int:
    """How many replicas have all but the last moments of what the server has, by its `INFO replication`."""
    replicas = [value for name, value in replication.items() if name.startswith("slave") and isinstance(value, dict)]
    return sum(replica.get("state") == "online" for replica in replicas)
