"""Running requests by their leases, in a real Redis; and that there is no result while it is unavailable."""

import redis.asyncio as redis

from aldea.redis.link import RedisLink
from aldea.redis.schema import leases_key
from backend.live.leases import Leases
from onebox.ports import free_port


async def test_a_lease_that_ran_out_does_not_count(redis_url: str, redis_client: redis.Redis) -> None:
    now, _ = await redis_client.time()
    later, before = (int(now) + 60) * 1000, (int(now) - 1) * 1000
    await redis_client.zadd(leases_key("p"), {"runs": later, "ended": before})
    async with RedisLink(redis_url, command_seconds=5) as link:
        leases = Leases(link)
        assert await leases.counts(["p", "q"]) == {"p": 1, "q": 0}
        assert await leases.count("p") == 1
        assert await leases.held("p", ["ended", "runs", "unknown"]) == {"runs"}
        assert not await leases.held("p", [])


async def test_while_redis_is_unavailable_nothing_is_known() -> None:
    async with RedisLink(f"redis://127.0.0.1:{free_port()}/0") as link:
        leases = Leases(link)
        assert await leases.counts(["p"]) is None
        assert await leases.count("p") is None
        assert await leases.held("p", ["r"]) is None
