import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis import exceptions
from structlog.testing import capture_logs

from aldea.redis.circuit import FAILURES_TO_OPEN, Circuit
from aldea.redis.errors import RedisUnavailable


class Redis:
    """Returns the staged outcomes, in that order, and then "ok"; counts what the circuit calls."""

    def __init__(self) -> None:
        self.outcomes: list[Exception] = []
        self.calls = 0
        self.reconnected = 0
        self.refusals: list[RedisUnavailable] = []
        self.circuit = Circuit(
            probe=self.respond,
            reconnect=self.reconnect,
            opened=self.refusals.append,
            exchange_seconds=0.05,
            probe_seconds=0.01,
        )

    async def respond(self) -> str:
        self.calls += 1
        if self.outcomes:
            raise self.outcomes.pop(0)
        return "ok"

    async def reconnect(self) -> None:
        self.reconnected += 1

    async def query(self) -> str:
        return await self.circuit.with_retry(lambda: self.circuit.deadline(self.respond()))


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    made = Redis()
    with capture_logs():
        yield made
        await made.circuit.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "reset", [exceptions.ConnectionError("gone"), OSError("unreachable"), exceptions.ReadOnlyError("a replica")]
)
async def test_a_connection_that_is_of_no_use_is_left_and_the_exchange_made_once_more(
    redis: Redis, reset: Exception
) -> None:
    redis.outcomes = [reset]
    assert await redis.query() == "ok"
    assert (redis.calls, redis.reconnected) == (2, 1)


async def test_a_second_reset_is_the_last(redis: Redis) -> None:
    redis.outcomes = [OSError("unreachable")] * 2
    with pytest.raises(RedisUnavailable, match="unreachable") as refused:
        await redis.query()
    assert refused.value.sent
    assert redis.calls == 2


async def test_a_call_that_waited_for_the_deadline_does_not_wait_again(redis: Redis) -> None:
    never: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def attempt() -> Awaitable[str]:
        redis.calls += 1
        return redis.circuit.deadline(never)

    with pytest.raises(RedisUnavailable, match="no response within 50 ms"):
        await redis.circuit.with_retry(attempt)
    assert redis.calls == 1
    assert never.cancelled()


async def test_a_process_that_stood_still_looks_again_before_it_gives_up(redis: Redis) -> None:
    """Many callbacks in one turn of the loop are enough: the timer of the deadline runs before what came in time."""
    loop = asyncio.get_running_loop()
    response: asyncio.Future[str] = loop.create_future()

    def stand_still() -> None:
        time.sleep(0.06)  # longer than the deadline
        loop.call_soon(loop.call_soon, response.set_result, "in time")

    loop.call_soon(stand_still)
    assert await redis.circuit.with_retry(lambda: redis.circuit.deadline(response)) == "in time"


async def test_a_server_that_cannot_serve_now_gets_no_second_try(redis: Redis) -> None:
    redis.outcomes = [exceptions.BusyLoadingError("LOADING")]
    with pytest.raises(RedisUnavailable, match="LOADING"):
        await redis.query()
    assert (redis.calls, redis.reconnected) == (1, 0)


@pytest.mark.parametrize("fault", [exceptions.DataError("no text"), exceptions.ResponseError("WRONGTYPE")])
async def test_a_wrong_command_says_nothing_about_redis(redis: Redis, fault: Exception) -> None:
    redis.outcomes = [fault] * FAILURES_TO_OPEN
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(type(fault)):
            await redis.query()
    assert not redis.circuit.open
    assert redis.calls == FAILURES_TO_OPEN


async def test_failures_in_a_row_open_it_waiting_calls_fail_and_a_probe_closes_it(redis: Redis) -> None:
    usable: list[bool] = []
    redis.circuit.on_reconnect(lambda: usable.append(redis.circuit.open))
    redis.outcomes = [exceptions.BusyLoadingError("LOADING")] * FAILURES_TO_OPEN
    for _ in range(FAILURES_TO_OPEN):
        redis.circuit.refuse_if_open()
        with pytest.raises(RedisUnavailable):
            await redis.query()
    assert [error.sent for error in redis.refusals] == [False]
    with pytest.raises(RedisUnavailable, match="being probed") as refused:
        redis.circuit.refuse_if_open()
    assert not refused.value.sent
    await until(lambda: not redis.circuit.open)
    redis.circuit.refuse_if_open()
    assert usable == [False]


async def test_a_success_between_failures_keeps_it_closed(redis: Redis) -> None:
    for _ in range(FAILURES_TO_OPEN):
        redis.outcomes = [exceptions.BusyLoadingError("LOADING")]
        with pytest.raises(RedisUnavailable):
            await redis.query()
        assert await redis.query() == "ok"
    assert not redis.refusals


async def test_a_lost_connection_that_nobody_noticed_counts_as_a_reconnection_with_the_next_response(
    redis: Redis,
) -> None:
    seen: list[str] = []
    redis.circuit.on_reconnect(lambda: seen.append("again"))
    assert await redis.query() == "ok"
    assert seen == []
    redis.circuit.disturbed()
    assert await redis.query() == "ok"
    assert await redis.query() == "ok"
    assert seen == ["again"]


async def test_a_closed_circuit_refuses_and_probes_no_more(redis: Redis) -> None:
    redis.outcomes = [exceptions.BusyLoadingError("LOADING")] * 1000
    with pytest.raises(RedisUnavailable):
        await redis.query()
    await until(lambda: redis.calls > 1)
    await redis.circuit.close()
    calls = redis.calls
    with pytest.raises(RedisUnavailable, match="closed"):
        redis.circuit.refuse_if_open()
    with pytest.raises(RedisUnavailable):
        await redis.query()
    assert redis.calls == calls + 1
