from typing import Any

import pytest
import redis.asyncio as redis

from onebox.given import cache
from onebox.given.errors import Unusable


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"redis_version": "6.2.14", "redis_mode": "standalone"}, "Redis 6.2.14 on cache:6379"),
        ({"redis_version": "7.1.0"}, "Redis 7.1.0 on cache:6379"),
        (
            {"redis_version": "7.2.4", "valkey_version": "9.0.0", "redis_mode": "standalone"},
            "Valkey 9.0.0 on cache:6379",
        ),
    ],
)
def test_a_redis_that_will_do_is_named(found: dict[str, Any], said: str) -> None:
    assert cache.verdict(found, "cache:6379") == said


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"redis_version": "5.0.7", "redis_mode": "standalone"}, "Redis 5.0.7 on cache:6379 is too old; needed: 6.2"),
        ({"redis_version": "6.0.16", "redis_mode": "standalone"}, "is too old"),
        ({}, "of an unknown version"),
        ({"redis_version": "7.2.4", "redis_mode": "cluster"}, "runs as cluster; needed: one primary"),
        ({"redis_version": "7.2.4", "redis_mode": "sentinel"}, "runs as sentinel; needed: one primary"),
    ],
)
def test_one_that_will_not_do_is_one_line(found: dict[str, Any], words: str) -> None:
    with pytest.raises(Unusable) as refused:
        cache.verdict(found, "cache:6379")
    assert words in str(refused.value)


async def test_a_wrong_password_and_a_missing_one_are_said_without_showing_it(
    redis_url: str, redis_client: "redis.Redis"
) -> None:
    where = redis_url.removeprefix("redis://")
    with pytest.raises(Unusable) as refused:
        await cache.check(f"redis://nobody:wr0ng@{where}")
    assert "does not let this user in with this password" in str(refused.value)
    assert "wr0ng" not in str(refused.value)
    await redis_client.config_set("requirepass", "secret")
    try:
        with pytest.raises(Unusable, match="does not let this user in with this password"):
            await cache.check(redis_url)
        assert await cache.check(f"redis://:secret@{where}")
    finally:
        await redis_client.config_set("requirepass", "")


async def test_a_replica_is_refused(redis_url: str, redis_client: "redis.Redis") -> None:
    await redis_client.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(Unusable, match="is a replica, which takes no writes"):
            await cache.check(redis_url)
    finally:
        await redis_client.replicaof("NO", "ONE")


async def test_a_user_who_may_not_write_is_refused(redis_url: str, redis_client: "redis.Redis") -> None:
    await redis_client.execute_command("ACL", "SETUSER", "reader", "on", ">look", "+@read", "+info", "~*")  # type: ignore[no-untyped-call]
    try:
        with pytest.raises(Unusable, match="refuses: "):
            await cache.check(redis_url.replace("redis://", "redis://reader:look@"))
    finally:
        await redis_client.execute_command("ACL", "DELUSER", "reader")  # type: ignore[no-untyped-call]
