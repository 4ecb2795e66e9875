"""Which replicas are waited for; the waiting itself is tested with real ones (tests/integration)."""

from typing import Any

import pytest

from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink, Script
from aldea.redis.replicas import LEFT_SECONDS, ReplicatedWrites, in_step


@pytest.mark.parametrize(
    ("replication", "count"),
    [
        ({"role": "master", "connected_slaves": 0}, 0),
        ({"connected_slaves": 1, "slave0": {"ip": "h", "state": "wait_bgsave"}}, 0),
        ({"connected_slaves": 2, "slave0": {"state": "online"}, "slave1": {"state": "send_bulk"}}, 1),
        ({"role": "slave", "slave_repl_offset": 7, "slave_read_only": 1}, 0),
    ],
)
def test_a_replica_that_is_being_filled_is_not_waited_for(replication: dict[str, Any], count: int) -> None:
    assert in_step(replication) == count


async def test_without_a_replica_the_response_comes_at_once_but_not_soon_after_one_has_left(redis_url: str) -> None:
    now = [1000.0]
    script = Script("redis.call('SET', KEYS[1], ARGV[1]) return 'kept'")
    async with RedisLink(redis_url, command_seconds=5) as link:
        writes = ReplicatedWrites(link, confirm_seconds=4, clock=lambda: now[0])
        assert await writes.call(script, ["a"], ["1"]) == "kept"
        writes._seen = now[0]
        now[0] += LEFT_SECONDS - 1
        with pytest.raises(RedisUnavailable, match="replica has left") as left:
            await writes.call(script, ["a"], ["1"])
        assert not left.value.sent
        now[0] += 1
        assert await writes.call(script, ["a"], ["1"]) == "kept"
        assert link.available
