"""Which requests run now, by the leases that they hold in Redis."""

from collections.abc import Collection, Sequence

import redis.asyncio as redis

from aldea.redis_faults import RedisUnavailable
from aldea.redis_link import RedisLink
from aldea.redis_schema import leases_key


class Leases:
    """Reads the leases that admission writes; every answer is None while Redis is away."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def counts(self, project_ids: Sequence[str]) -> dict[str, int] | None:
        """How many requests of each of these projects run."""

        async def count(client: redis.Redis) -> list[int]:
            now_ms = await _now_ms(client)
            async with client.pipeline(transaction=False) as pipeline:
                for project_id in project_ids:
                    # A lease's score is its expiry in ms of Redis' clock.
                    pipeline.zcount(leases_key(project_id), f"({now_ms}", "+inf")
                return [int(found) for found in await pipeline.execute()]

        try:
            return dict(zip(project_ids, await self._link.run(count), strict=True))
        except RedisUnavailable:
            return None

    async def count(self, project_id: str) -> int | None:
        """How many requests of one project run."""
        counts = await self.counts([project_id])
        return None if counts is None else counts[project_id]

    async def held(self, project_id: str, request_ids: Sequence[str]) -> Collection[str] | None:
        """Those of a project's requests that run."""
        if not request_ids:
            return ()

        async def held(client: redis.Redis) -> set[str]:
            now_ms = await _now_ms(client)
            scores = await client.zmscore(leases_key(project_id), list(request_ids))
            found = zip(request_ids, scores, strict=True)
            return {request_id for request_id, score in found if score is not None and float(score) > now_ms}

        try:
            return await self._link.run(held)
        except RedisUnavailable:
            return None


async def _now_ms(client: redis.Redis) -> int:
    seconds, microseconds = await client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000
