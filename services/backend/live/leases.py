"""Which requests run now, by the leases that they hold in Redis."""

from collections.abc import Collection, Sequence
from typing import Final

from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink, Script
from aldea.redis.schema import leases_key

# A lease's score is its expiry in ms of Redis' clock.
_NOW: Final = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
# How many leases of each of these projects are good.
_COUNTS: Final = Script(
    _NOW
    + """
local counts = {}
for i, name in ipairs(KEYS) do
    counts[i] = redis.call('ZCOUNT', name, '(' .. string.format('%.0f', now), '+inf')
end
return counts
"""
)
# Which of these requests hold a good lease: their places in the list, from 1.
_HELD: Final = Script(
    _NOW
    + """
local held = {}
for i, id in ipairs(ARGV) do
    local score = redis.call('ZSCORE', KEYS[1], id)
    if score and tonumber(score) > now then held[#held + 1] = i end
end
return held
"""
)


class Leases:
    """Reads the leases that admission writes; every result is None while Redis is unavailable.

    By scripts, which share a connection: people's pages look here, and many at once must not wait for one another.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def counts(self, project_ids: Sequence[str]) -> dict[str, int] | None:
        """How many requests of each of these projects run."""
        try:
            counts = await self._link.call(_COUNTS, [leases_key(project_id) for project_id in project_ids], [])
        except RedisUnavailable:
            return None
        return dict(zip(project_ids, map(int, counts), strict=True))

    async def count(self, project_id: str) -> int | None:
        """How many requests of one project run."""
        counts = await self.counts([project_id])
        return None if counts is None else counts[project_id]

    async def held(self, project_id: str, request_ids: Sequence[str]) -> Collection[str] | None:
        """Those of a project's requests that run."""
        if not request_ids:
            return ()
        try:
            held = await self._link.call(_HELD, [leases_key(project_id)], list(request_ids))
        except RedisUnavailable:
            return None
        return {request_ids[int(place) - 1] for place in held}
