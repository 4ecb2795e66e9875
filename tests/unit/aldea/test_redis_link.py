import asyncio

import pytest
from redis import exceptions
from structlog.testing import capture_logs

from aldea import redis_link
from aldea.redis_link import FAILURES_TO_OPEN, RedisLink, RedisUnavailable, Script
from onebox.process import free_port

SCRIPT = Script("return 1")


def nowhere() -> RedisLink:
    """A link to a port on which nobody listens."""
    return RedisLink(f"redis://127.0.0.1:{free_port()}/0", probe_seconds=60)


def test_a_script_is_called_by_the_digest_that_redis_gives_it() -> None:
    assert SCRIPT.sha == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"


def test_tls_is_used_with_a_verified_certificate_when_the_url_says_so() -> None:
    pool = RedisLink("rediss://user:pw@host:6380/0").client.connection_pool
    assert pool.connection_class.__name__ == "SSLConnection"
    assert pool.connection_kwargs.get("ssl_cert_reqs", "required") == "required"


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
            answers = [link.submit(SCRIPT, [], []) for _ in range(50)]
            outcomes = await asyncio.gather(*answers, return_exceptions=True)
        assert all(isinstance(outcome, RedisUnavailable) for outcome in outcomes)
        assert link.available  # fifty calls shared one exchange: one failure


async def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "MAX_PENDING", 2)
    async with nowhere() as link:
        answers = [link.submit(SCRIPT, [], []) for _ in range(2)]
        with pytest.raises(RedisUnavailable, match="wait for Redis"):
            link.submit(SCRIPT, [], [])
    outcomes = await asyncio.gather(*answers, return_exceptions=True)
    assert all(isinstance(outcome, RedisUnavailable) for outcome in outcomes)


async def test_a_closed_link_says_so() -> None:
    link = nowhere()
    await link.aclose()
    with pytest.raises(RedisUnavailable, match="closed"):
        await link.ping()


@pytest.mark.parametrize(
    ("error", "moved", "not_now"),
    [
        (exceptions.ReadOnlyError("You can't write against a read only replica."), True, False),
        (exceptions.ResponseError("ERR Error running script: @user_script:9: -READONLY You can't write"), True, False),
        (exceptions.BusyLoadingError("Redis is loading"), False, True),
        (exceptions.OutOfMemoryError("command not allowed"), False, True),
        (exceptions.ResponseError("ERR Error running script: -OOM command not allowed"), False, True),
        (exceptions.ResponseError("MISCONF Redis is configured to save"), False, True),
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), False, False),
    ],
)
def test_replies_are_told_apart_by_what_they_say_about_the_server(error: Exception, moved: bool, not_now: bool) -> None:
    assert redis_link._moved(error) is moved
    assert redis_link._not_now(error) is not_now
