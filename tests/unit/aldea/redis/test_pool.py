"""Turns at a link's connections: who waits for one learns nothing about Redis."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection
from structlog.testing import capture_logs

from aldea.redis import pool
from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink
from aldea.redis.pool import MAX_CONNECTIONS
from aldea.tasks import cancel, spawn


@asynccontextmanager
async def _connection(client: redis.Redis) -> AsyncIterator[AbstractConnection]:
    """One of the pool's for several commands. Not `client.client()`: a deadline in its exit loses its connection."""
    connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        yield connection
    finally:
        await client.connection_pool.release(connection)


async def _plain(client: redis.Redis) -> None:
    await client.get("a")


async def _pipeline(client: redis.Redis) -> None:
    async with client.pipeline(transaction=True) as pipe:
        pipe.get("a")
        pipe.get("b")
        await pipe.execute()


async def _several(client: redis.Redis) -> None:
    async with _connection(client) as one:
        for command in (("CLIENT", "ID"), ("GET", "a")):
            await one.send_command(*command)
            await one.read_response()


# So many turns of the event loop, in steps of one, are more than any of these commands takes.
TURNS = 80


@pytest.mark.parametrize("use", [_plain, _pipeline, _several])
async def test_a_deadline_at_any_moment_of_a_command_loses_no_connection(
    redis_url: str, use: Callable[[redis.Redis], Awaitable[None]]
) -> None:
    async with RedisLink(redis_url, command_seconds=20) as link:
        connections: Any = link._pool.client.connection_pool
        for turns in range(TURNS):
            command = spawn(link.run(use), name="command")
            for _ in range(turns):
                await asyncio.sleep(0)
            await cancel(command)  # which is how a deadline ends it
            del command
            gc.collect()  # a client that is lost says so now, which fails the test
            assert not connections._in_use_connections, f"lost after {turns} turns"


async def test_a_wait_for_a_connection_is_no_failure_of_redis(redis_url: str) -> None:
    async def quick(_client: redis.Redis) -> str:
        return "done"

    command_seconds = 0.1
    async with RedisLink(redis_url, command_seconds=command_seconds) as link:
        link._pool._turn_seconds = 600
        async with AsyncExitStack() as others:
            for _ in range(MAX_CONNECTIONS):
                await others.enter_async_context(link._pool.turn())
            waiting = [spawn(link.run(quick), name="command") for _ in range(10 * MAX_CONNECTIONS)]
            await asyncio.sleep(3 * command_seconds)  # far longer than an exchange may last
            assert not any(one.done() for one in waiting)
        assert await asyncio.gather(*waiting) == ["done"] * (10 * MAX_CONNECTIONS)
        assert link.available


async def test_a_process_that_is_too_busy_says_so_and_redis_stays_good(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "TURN_EXCHANGES", 0.001)
    held = asyncio.Event()

    async def hold(client: redis.Redis) -> object:
        await held.wait()
        return await client.ping()

    async with RedisLink(redis_url, command_seconds=20) as link:
        holding = [spawn(link.run(hold), name="hold") for _ in range(MAX_CONNECTIONS)]
        await asyncio.sleep(0)
        for _ in range(5):  # more than open a circuit
            with pytest.raises(RedisUnavailable, match="became free within 20 ms; this process is too busy") as busy:
                await link.run(lambda client: client.ping())
            assert not busy.value.sent
        assert link.available
        await link.ping()  # readiness and probes do not wait for the others
        monkeypatch.setattr(pool, "MAX_WAITING", 0)
        with pytest.raises(RedisUnavailable, match="0 commands wait"):
            await link.run(lambda client: client.ping())
        held.set()
        assert await asyncio.gather(*holding) == [True] * MAX_CONNECTIONS


async def test_a_caller_that_gives_up_while_it_waits_takes_no_turn_with_it(redis_url: str) -> None:
    held = asyncio.Event()

    async def hold(client: redis.Redis) -> object:
        await held.wait()
        return await client.ping()

    async with RedisLink(redis_url, command_seconds=20) as link:
        holding = [spawn(link.run(hold), name="hold") for _ in range(MAX_CONNECTIONS)]
        waiting = [spawn(link.run(lambda client: client.ping()), name="wait") for _ in range(3)]
        await asyncio.sleep(0)
        await cancel(*waiting)
        held.set()
        await asyncio.gather(*holding)
        async with asyncio.timeout(60):
            assert await asyncio.gather(*(link.run(lambda client: client.ping()) for _ in range(2 * MAX_CONNECTIONS)))


async def test_a_raw_link_returns_bytes_as_they_come(redis_url: str) -> None:
    async with RedisLink(redis_url, command_seconds=5, raw=True) as link:
        assert await link.run(lambda client: client.execute_command("HSET", "a", "f", "v")) == 1  # type: ignore[no-untyped-call]
        assert await link.run(lambda client: client.execute_command("HGETALL", "a")) == [b"f", b"v"]  # type: ignore[no-untyped-call]


async def test_connections_that_are_left_are_closed_when_their_command_has_ended(
    redis_url: str, redis_client: redis.Redis
) -> None:
    held = asyncio.Event()

    async def hold(client: redis.Redis) -> int:
        async with _connection(client) as one:
            await one.send_command("CLIENT", "ID")
            number = int(await one.read_response())
            await held.wait()
            await one.send_command("PING")
            await one.read_response()
            return number

    async with RedisLink(redis_url, command_seconds=20) as link:
        with capture_logs():
            holding = spawn(link.run(hold), name="hold")
            async with asyncio.timeout(60):
                while not [one for one in await redis_client.client_list() if one["name"] == "aldea"]:
                    await asyncio.sleep(0.01)
            await link._pool.leave()
            held.set()
            before = await holding
            assert await link.run(lambda client: client.client_id()) != before
