import asyncio
import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from aldea.admission import Grant, Verdict, scripts
from aldea.admission.grant import Application
from aldea.admission.outbox import REPEAT_SECONDS, Outbox
from aldea.tasks import spawn
from aldea.usage.reading import Rank, UsageReading

MakeGrant = Callable[[], Grant]
REQUEST = Application(
    request_id="r", started_ms=0, credential_sha256="ab", service="streaming", lane="main", path="/", tags=()
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_outbox(link: Any, clock: Clock, **bounds: int) -> Outbox:
    return Outbox(link, lease_ttl_ms=30_000, clock=clock, **bounds)


def final(grant: Grant, audio_ms: int = 100) -> UsageReading:
    return replace(grant.reading(Rank.FINAL, 9), audio_ms=audio_ms)


async def settle(outbox: Outbox) -> None:
    async with asyncio.timeout(60):
        while outbox._flusher is None or not outbox._flusher.done():
            await asyncio.sleep(0)


async def test_an_end_is_written_at_once_and_nothing_waits(link: Any, clock: Clock, make_grant: MakeGrant) -> None:
    outbox = make_outbox(link, clock)
    await outbox.finish(grant := make_grant(), final(grant))
    assert link.scripts() == [scripts.FINISH]
    assert outbox.waiting == 0


async def test_while_redis_is_unavailable_an_end_waits_and_is_written_when_it_is_back(
    link: Any, clock: Clock, make_grant: MakeGrant
) -> None:
    outbox = make_outbox(link, clock)
    link.unavailable = True
    await outbox.finish(grant := make_grant(), final(grant))
    assert (outbox.waiting, link.sent) == (1, [])
    link.come_back()
    await settle(outbox)
    assert outbox.waiting == 0
    assert scripts.FINISH in link.scripts()


async def test_an_end_survives_the_cancellation_of_its_caller(link: Any, clock: Clock, make_grant: MakeGrant) -> None:
    outbox = make_outbox(link, clock)
    link.responses[scripts.FINISH] = None  # no response comes
    task = spawn(outbox.finish(grant := make_grant(), final(grant)), name="finish")
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outbox.waiting == 1
    link.responses.clear()
    await outbox.flush()
    assert outbox.waiting == 0


async def test_of_one_request_only_the_greatest_reading_waits(link: Any, clock: Clock, make_grant: MakeGrant) -> None:
    outbox = make_outbox(link, clock)
    grant = make_grant()
    link.unavailable = True
    for seq in (1, 3, 2):
        outbox.keep(grant, grant.reading(Rank.OPEN, seq))
    assert outbox.waiting == 1
    link.unavailable = False
    link.responses[scripts.RENEW] = ["ok", 0, ""]
    await outbox.flush()
    assert [args[3] for _, _, args in link.sent] == [3]


async def test_a_final_replaces_the_checkpoint_and_no_checkpoint_replaces_a_final(
    link: Any, clock: Clock, make_grant: MakeGrant
) -> None:
    outbox = make_outbox(link, clock)
    grant = make_grant()
    outbox.keep(grant, grant.reading(Rank.OPEN, 1))
    outbox.keep(grant, final(grant))
    outbox.keep(grant, grant.reading(Rank.OPEN, 2))
    await outbox.flush()
    assert link.scripts() == [scripts.FINISH]


async def test_at_the_bound_checkpoints_are_dropped_before_finals_and_a_dropped_final_is_in_the_log_whole(
    link: Any, clock: Clock, make_grant: MakeGrant
) -> None:
    outbox = make_outbox(link, clock, max_waiting=2)
    link.unavailable = True
    first, second, third = make_grant(), make_grant(), make_grant()
    with capture_logs() as logs:
        outbox.keep(first, final(first))
        outbox.keep(second, second.reading(Rank.OPEN, 1))
        outbox.keep(third, final(third))
        assert set(outbox._finals) == {first.request_id, third.request_id}
        fourth = make_grant()
        outbox.keep(fourth, fourth.reading(Rank.OPEN, 1))
        outbox.keep(fourth, final(fourth))
    assert set(outbox._finals) == {third.request_id, fourth.request_id}
    assert [line["kind"] for line in logs if "bound" in line["event"]] == ["checkpoint"]
    assert [line["reading"] for line in logs if line["event"] == "final reading lost"] == [final(first).to_json()]


async def test_a_final_that_is_given_up_takes_no_offline_place_any_more(
    link: Any, clock: Clock, make_grant: MakeGrant
) -> None:
    outbox = make_outbox(link, clock, max_waiting=1)
    link.unavailable = True
    for _ in range(3):
        grant = make_grant()
        outbox.offline.add(grant.request_id)
        outbox._acknowledged[grant.request_id] = 5
        with capture_logs():
            await outbox.finish(grant, final(grant))
    assert outbox.offline == outbox._finals.keys() == outbox._acknowledged.keys()
    assert len(outbox.offline) == 1


async def test_a_renewal_that_is_heard_of_after_the_end_leaves_nothing_behind(
    link: Any, clock: Clock, make_grant: MakeGrant
) -> None:
    outbox = make_outbox(link, clock)
    grant = make_grant()
    checkpoint = replace(grant.reading(Rank.OPEN, 1), audio_ms=70)
    link.responses[scripts.RENEW] = ["ok", 0, ""]
    response = await outbox.renew(grant, checkpoint)
    await outbox.finish(grant, final(grant))
    outbox.renewed(grant, checkpoint, response)
    assert outbox._acknowledged == {}


async def test_finals_of_the_last_minute_are_repeated_after_a_disturbance_and_book_nothing_of_their_own(
    link: Any, clock: Clock, make_grant: MakeGrant
) -> None:
    outbox = make_outbox(link, clock)
    old, recent = make_grant(), make_grant()
    await outbox.finish(old, final(old))
    clock.now += REPEAT_SECONDS
    await outbox.finish(recent, final(recent, audio_ms=250))
    link.sent.clear()
    link.come_back()
    await settle(outbox)
    ((script, _, args),) = link.sent
    assert (script, args[0]) == (scripts.FINISH, recent.request_id)
    assert (args[3], args[4]) == (250, 250)


async def test_a_repetition_that_failed_is_due_again(link: Any, clock: Clock, make_grant: MakeGrant) -> None:
    outbox = make_outbox(link, clock)
    await outbox.finish(grant := make_grant(), final(grant))
    link.come_back()
    link.unavailable = True
    await settle(outbox)
    link.sent.clear()
    link.unavailable = False
    await outbox.flush()
    assert link.scripts() == [scripts.FINISH]


async def test_the_last_confirmed_total_is_what_a_later_reading_counts_from(
    link: Any, clock: Clock, make_grant: MakeGrant
) -> None:
    outbox = make_outbox(link, clock)
    grant = make_grant()
    checkpoint = replace(grant.reading(Rank.OPEN, 1), audio_ms=70)
    link.responses[scripts.RENEW] = ["ok", 0, ""]
    assert outbox.renewed(grant, checkpoint, await outbox.renew(grant, checkpoint)) is Verdict.OK
    await outbox.finish(grant, final(grant))
    assert link.sent[-1][2][4] == 70
    assert outbox._acknowledged == {}


async def test_an_offline_request_is_one_until_redis_has_heard_of_it(
    link: Any, clock: Clock, make_grant: MakeGrant
) -> None:
    outbox = make_outbox(link, clock)
    grant = make_grant()
    outbox.offline.add(grant.request_id)
    outbox.keep(grant, grant.reading(Rank.OPEN, 0))
    link.responses[scripts.RENEW] = ["ok", 1, ""]
    await outbox.flush()
    assert outbox.offline == set()
    assert outbox.waiting == 0


async def test_a_reading_that_redis_refuses_as_such_ends_in_the_log(
    link: Any, clock: Clock, make_grant: MakeGrant
) -> None:
    outbox = make_outbox(link, clock)
    link.responses[scripts.FINISH] = ResponseError("WRONGTYPE")
    with capture_logs() as logs:
        await outbox.finish(grant := make_grant(), final(grant))
    assert outbox.waiting == 0
    assert grant.request_id in logs[0]["reading"]


async def test_an_admission_of_unknown_outcome_is_taken_back_once_redis_responds(link: Any, clock: Clock) -> None:
    outbox = make_outbox(link, clock)
    link.unavailable = True
    outbox.abandon(REQUEST, status=503)
    link.come_back()
    await settle(outbox)
    assert link.scripts() == [scripts.ABANDON]
    await outbox.flush()
    assert link.scripts() == [scripts.ABANDON]


async def test_an_end_that_still_waits_when_the_process_stops_is_logged_whole(
    link: Any, clock: Clock, make_grant: MakeGrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("aldea.admission.outbox"), "CLOSE_SECONDS", 0.01)
    outbox = make_outbox(link, clock)
    link.unavailable = True
    await outbox.finish(grant := make_grant(), final(grant))
    with capture_logs() as logs:
        await outbox.aclose()
    assert logs[0]["request_id"] == grant.request_id
    assert logs[0]["reading"] == final(grant).to_json()


async def test_a_process_that_stops_waits_a_while_for_redis_to_take_an_end(
    link: Any, clock: Clock, make_grant: MakeGrant
) -> None:
    outbox = make_outbox(link, clock)
    link.unavailable = True
    await outbox.finish(grant := make_grant(), final(grant))
    closing = spawn(outbox.aclose(), name="close")
    await asyncio.sleep(0)
    assert not closing.done()
    link.unavailable = False
    async with asyncio.timeout(60):
        await closing
    assert outbox.waiting == 0
    assert link.scripts() == [scripts.FINISH]


async def test_many_waiting_readings_go_out_in_bounded_chunks(
    link: Any, clock: Clock, make_grant: MakeGrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("aldea.admission.outbox"), "MAX_FLUSH", 2)
    outbox = make_outbox(link, clock)
    for grant in (make_grant(), make_grant(), make_grant()):
        outbox.keep(grant, final(grant))
    await outbox.flush()
    assert len(link.sent) == 3
    assert outbox.waiting == 0
