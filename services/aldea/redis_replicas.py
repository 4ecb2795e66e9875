"""Writes that must outlive their primary: a script whose effect a replica has confirmed, where one follows.

Replication is asynchronous, so a primary that dies takes its last writes along. Most of what is written here is written
again or repaired afterwards; what has no other copy waits for the replica.
"""

from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio as redis

from aldea.redis_faults import RedisUnavailable
from aldea.redis_link import RedisLink, Script

# A replica in the same region confirms within a millisecond or two.
CONFIRM_SECONDS: Final = 1.0


async def call_replicated(
    link: RedisLink, script: Script, keys: Sequence[str], args: Sequence[Any], *, seconds: float = CONFIRM_SECONDS
) -> Any:
    """Run `script`, which may be run twice, and return its answer once one replica has what it wrote.

    Without a replica that is in step (there is none, or it is being filled) the answer comes at once. One that does
    not confirm within `seconds` raises RedisUnavailable: the script was carried out, and a failover might undo it.
    `seconds` must be below the link's own deadline.
    """

    async def run(client: redis.Redis) -> Any:
        following = _in_step(await client.info("replication"))
        # WAIT counts who has what its own connection wrote last.
        async with client.pipeline(transaction=False) as pipe:
            pipe.eval(script.source, len(keys), *keys, *args)
            if following:
                pipe.wait(1, round(seconds * 1000))
            answer, *confirmed = await pipe.execute()
        # One that went away meanwhile is no reason to refuse: then there is none.
        if confirmed == [0] and _in_step(await client.info("replication")):
            raise RedisUnavailable(f"no replica confirmed a write within {seconds * 1000:.0f} ms")
        return answer

    return await link.run(run)


def _in_step(replication: dict[str, Any]) -> int:
    """How many replicas have all but the last moments of what the server has."""
    replicas = [value for name, value in replication.items() if name.startswith("slave") and isinstance(value, dict)]
    return sum(replica.get("state") == "online" for replica in replicas)
