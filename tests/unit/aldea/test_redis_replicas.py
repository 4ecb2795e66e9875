"""Which replicas are waited for; the waiting itself is tested with real ones (tests/integration)."""

from typing import Any

import pytest

from aldea.redis_link import RedisLink, Script
from aldea.redis_replicas import _in_step, call_replicated


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
    assert _in_step(replication) == count


async def test_without_a_replica_the_answer_comes_at_once(redis_url: str) -> None:
    async with RedisLink(redis_url, command_seconds=5) as link:
        script = Script("redis.call('SET', KEYS[1], ARGV[1]) return 'kept'")
        assert await call_replicated(link, script, ["a"], ["1"], seconds=4) == "kept"
