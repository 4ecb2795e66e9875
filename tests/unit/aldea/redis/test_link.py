import asyncio
import select
import socket
import time
from typing import Any

import pytest
import uvloop
from pydantic import ValidationError
from redis import exceptions
from structlog.testing import capture_logs

from aldea.redis import link as redis_link
from aldea.redis.circuit import FAILURES_TO_OPEN
from aldea.redis.connection import Wire
from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import COMMAND_SECONDS, EAGER_FLUSH, MAX_FLUSHES, RedisLink, RedisSettings, Script
from aldea.settings import read
from onebox.ports import free_port

SCRIPT = Script("return 1")
# Some tens of milliseconds.
SLOW = Script("for _ = 1, 5000000 do end return 1")


def nowhere() -> RedisLink:
    """A link to a port on which nobody listens."""
    return RedisLink(f"redis://127.0.0.1:{free_port()}/0", probe_seconds=60)


def test_a_script_is_called_by_the_digest_that_redis_gives_it() -> None:
    assert SCRIPT.sha == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"


def test_tls_is_used_with_a_verified_certificate_when_the_url_says_so() -> None:
    pool = RedisLink("rediss://user:pw@host:6380/0")._pool.client.connection_pool
    assert pool.connection_class.__name__ == "SSLConnection"
    assert pool.connection_kwargs.get("ssl_cert_reqs", "required") == "required"


def test_the_deadline_is_a_setting_within_what_callers_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://host:6379/0")
    assert RedisLink.of(read(RedisSettings, port=0))._command_seconds == COMMAND_SECONDS
    monkeypatch.setenv("REDIS_COMMAND_SECONDS", "1.5")
    assert RedisLink.of(read(RedisSettings, port=0))._command_seconds == 1.5
    monkeypatch.setenv("REDIS_COMMAND_SECONDS", "3")
    with pytest.raises(ValidationError):
        read(RedisSettings, port=0)


async def test_a_refused_connection_is_unavailable_and_three_open_the_circuit() -> None:
    async with nowhere() as link:
        with capture_logs():
            for _ in range(FAILURES_TO_OPEN):
                assert link.available
                with pytest.raises(RedisUnavailable) as refused:
                    await link.call(SCRIPT, [], [])
                assert refused.value.sent
        assert not link.available
        with pytest.raises(RedisUnavailable) as refused:
            await link.call(SCRIPT, [], [])
        assert not refused.value.sent


async def test_scripts_of_one_turn_fail_as_one() -> None:
    async with nowhere() as link:
        with capture_logs():
            responses = [link.submit(SCRIPT, [], []) for _ in range(50)]
            outcomes = await asyncio.gather(*responses, return_exceptions=True)
        assert all(isinstance(outcome, RedisUnavailable) for outcome in outcomes)
        assert link.available  # fifty calls shared one exchange: one failure


async def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "MAX_PENDING", 2)
    async with nowhere() as link:
        responses = [link.submit(SCRIPT, [], []) for _ in range(2)]
        with pytest.raises(RedisUnavailable, match="wait for Redis"):
            link.submit(SCRIPT, [], [])
    outcomes = await asyncio.gather(*responses, return_exceptions=True)
    assert all(isinstance(outcome, RedisUnavailable) for outcome in outcomes)


async def test_a_closed_link_says_so() -> None:
    link = nowhere()
    await link.aclose()
    with pytest.raises(RedisUnavailable, match="closed"):
        await link.ping()


async def test_enough_scripts_leave_before_the_turn_ends_and_the_rest_with_its_end(redis_url: str) -> None:
    async with RedisLink(redis_url, command_seconds=5) as link:
        assert await link.call(SCRIPT, [], []) == 1
        responses = [link.submit(SCRIPT, [], []) for _ in range(EAGER_FLUSH + 1)]
        assert len(link._pending) == 1
        assert await asyncio.gather(*responses) == [1] * len(responses)
        assert not link._flights


async def test_flushes_on_the_way_are_bounded_and_what_waits_shares_the_next(redis_url: str) -> None:
    async with RedisLink(redis_url, command_seconds=5) as link:
        for _ in range(2):  # the first one connects
            await link.call(SCRIPT, [], [])
        responses = [link.submit(SCRIPT, [], []) for _ in range(EAGER_FLUSH * MAX_FLUSHES + 50)]
        assert len(link._flights) == MAX_FLUSHES
        assert len(link._pending) == 50
        assert await asyncio.gather(*responses) == [1] * len(responses)


async def test_a_script_that_fails_fails_alone(redis_url: str) -> None:
    async with RedisLink(redis_url, command_seconds=5) as link:
        await link.call(SCRIPT, [], [])
        calls = [link.submit(Script(source), [], []) for source in ("return 1", "return redis.call('GET')", "return 2")]
        good, bad, better = await asyncio.gather(*calls, return_exceptions=True)
        assert (good, better) == (1, 2)
        assert isinstance(bad, exceptions.ResponseError)
        assert link.available


async def test_a_cancelled_call_keeps_no_response_from_the_others(redis_url: str) -> None:
    async with RedisLink(redis_url, command_seconds=5) as link:
        await link.call(SCRIPT, [], [])
        gone, stays = link.submit(SCRIPT, [], []), link.submit(SCRIPT, [], [])
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 1


async def test_without_a_response_redis_is_unavailable_and_the_connection_is_left(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    never: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
    async with RedisLink(redis_url, command_seconds=0.05, probe_seconds=60) as link:
        async with asyncio.timeout(60):
            while link._wire is None or not link._wire.usable:  # so short a deadline may pass while it connects
                await asyncio.gather(link.submit(SCRIPT, [], []), return_exceptions=True)
        with monkeypatch.context() as patch, capture_logs():
            patch.setattr(Wire, "exchange", lambda *_: never)
            with pytest.raises(RedisUnavailable, match="no response within 50 ms") as late:
                await link.call(SCRIPT, [], [])
        assert late.value.sent
        assert not link._flights
        assert not link._wire.usable


class Standstill(asyncio.Protocol):
    """Stops the whole process until Redis' deadline has passed and there is something to read from `redis`."""

    redis: Any = None

    def data_received(self, data: bytes) -> None:
        time.sleep(COMMAND_SECONDS * 1.5)
        select.select([self.redis.fileno()], [], [], 10)


def test_a_process_that_stood_still_reads_what_came_in_time_before_it_gives_up(redis_url: str) -> None:
    async def stand_still() -> list[Any]:
        near, far = socket.socketpair()
        with far:
            near.setblocking(False)
            transport, standstill = await asyncio.get_running_loop().create_connection(Standstill, sock=near)
            async with RedisLink(redis_url, probe_seconds=60) as link:  # with the deadline that is stood still for
                async with asyncio.timeout(60):
                    while link._wire is None or not link._wire.usable:
                        known = [link.submit(script, [], []) for script in (SLOW, SCRIPT)]
                        await asyncio.gather(*known, return_exceptions=True)
                standstill.redis = link._wire._transport.get_extra_info("socket")
                far.send(b"x")
                responses = [link.submit(script, [], []) for script in [SLOW] + [SCRIPT] * 11]
                outcomes = await asyncio.gather(*responses, return_exceptions=True)
                assert link.available
            transport.abort()
        return outcomes

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the services run
        assert runner.run(stand_still()) == [1] * 12


async def test_calls_on_the_way_when_the_link_closes_fail(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    never: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
    async with RedisLink(redis_url, command_seconds=60) as link:
        await link.call(SCRIPT, [], [])
        monkeypatch.setattr(Wire, "exchange", lambda *_: never)
        response = link.submit(SCRIPT, [], [])
        await asyncio.sleep(0)
    with pytest.raises(RedisUnavailable, match="closed"):
        await response
