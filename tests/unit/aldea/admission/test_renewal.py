import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from aldea.admission import Admission, Grant, Renewals, Verdict, scripts
from aldea.admission.renewal import SLICE_MAX
from aldea.tasks import cancel, spawn
from aldea.usage.reading import Rank, UsageReading

MakeGrant = Callable[[], Grant]


class Stream:
    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.seq = 0
        self.verdicts: list[Verdict] = []
        self.broken = False

    def checkpoint(self) -> UsageReading:
        if self.broken:
            raise RuntimeError("no figures")
        self.seq += 1
        return self.grant.reading(Rank.OPEN, self.seq)

    def on_refused(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)


def renewals(link: Any, every: float = 10.0) -> Renewals:
    return Renewals(Admission(link, lane="main"), every=every)


async def test_every_running_request_is_renewed_with_a_checkpoint(link: Any, make_grant: MakeGrant) -> None:
    link.responses[scripts.RENEW] = ["ok", 0, ""]
    found = renewals(link)
    streams = [Stream(make_grant()) for _ in range(300)]
    for stream in streams:
        found.add(stream)
    found.discard(streams[0])
    found.discard(streams[0])
    await found.renew_all()
    assert len(found) == 299
    assert [stream.seq for stream in streams] == [0] + [1] * 299
    assert {stream.verdicts == [] for stream in streams} == {True}


async def test_a_refused_request_is_notified_once(link: Any, make_grant: MakeGrant) -> None:
    link.responses[scripts.RENEW] = ["revoked", 0, ""]
    found, stream = renewals(link), Stream(make_grant())
    found.add(stream)
    await found.renew_all()
    await found.renew_all()
    assert stream.verdicts == [Verdict.REVOKED]


async def test_a_request_that_is_finished_already_is_left_alone(link: Any, make_grant: MakeGrant) -> None:
    link.responses[scripts.RENEW] = ["ended", 0, ""]
    found, stream = renewals(link), Stream(make_grant())
    found.add(stream)
    await found.renew_all()
    assert stream.verdicts == []


async def test_while_redis_is_unavailable_requests_go_on_and_their_checkpoints_wait(
    link: Any, make_grant: MakeGrant
) -> None:
    link.responses[scripts.RENEW] = ["ok", 0, ""]
    admission = Admission(link, lane="main")
    found, stream = Renewals(admission), Stream(make_grant())
    found.add(stream)
    link.unavailable = True
    await found.renew_all()
    await found.renew_all()
    assert (stream.verdicts, admission.outbox.waiting) == ([], 1)
    link.unavailable = False
    await found.renew_all()
    assert admission.outbox.waiting == 0


async def test_one_streams_trouble_does_not_keep_others_from_being_renewed(link: Any, make_grant: MakeGrant) -> None:
    link.responses[scripts.RENEW] = ["ok", 0, ""]
    found, broken, sound = renewals(link), Stream(make_grant()), Stream(make_grant())
    broken.broken = True
    found.add(broken)
    found.add(sound)
    with capture_logs() as logs:
        await found.renew_all()
    assert len([script for script in link.scripts() if script is scripts.RENEW]) == 1
    assert [line["event"] for line in logs] == ["checkpoint failed"]


async def test_an_error_of_the_script_is_logged_and_ends_nothing(link: Any, make_grant: MakeGrant) -> None:
    link.responses[scripts.RENEW] = ResponseError("WRONGTYPE")
    found, stream = renewals(link), Stream(make_grant())
    found.add(stream)
    with capture_logs() as logs:
        await found.renew_all()
    assert stream.verdicts == []
    assert [line["event"] for line in logs] == ["renewal refused by redis"]


async def test_the_ticker_renews_again_and_again_and_at_once_when_redis_is_back(
    link: Any, make_grant: MakeGrant
) -> None:
    link.responses[scripts.RENEW] = ["ok", 0, ""]
    quick, stream = renewals(link, every=0.001), Stream(make_grant())
    quick.add(stream)
    task = spawn(quick.run(), name="renewals")
    async with asyncio.timeout(60):
        while stream.seq < 3:
            await asyncio.sleep(0)
    await cancel(task)

    slow, other = renewals(link, every=600.0), Stream(make_grant())
    slow._spread = 0.0
    slow.add(other)
    task = spawn(slow.run(), name="renewals")
    await asyncio.sleep(0)
    link.come_back()
    async with asyncio.timeout(60):
        while other.seq < 1:
            await asyncio.sleep(0)
    await cancel(task)


async def test_streams_that_began_together_are_renewed_in_small_slices_and_each_in_time(
    link: Any, make_grant: MakeGrant
) -> None:
    link.responses[scripts.RENEW] = ["ok", 0, ""]
    found, streams = renewals(link, every=10.0), [Stream(make_grant()) for _ in range(1000)]
    for stream in streams:
        found.add(stream)
    now = began = asyncio.get_running_loop().time()
    largest = 0
    renewed_at = {id(stream): began for stream in streams}
    for _ in range(1000):  # 25 s in steps of 25 ms
        now += 0.025
        before = [stream.seq for stream in streams]
        await found._renew_due(now)
        gained = [stream for stream, seq in zip(streams, before, strict=True) if stream.seq > seq]
        largest = max(largest, len(gained))
        for stream in gained:
            assert now - renewed_at[id(stream)] <= 10.0 + 0.1
            renewed_at[id(stream)] = now
    assert min(stream.seq for stream in streams) >= 2
    assert largest <= SLICE_MAX * 2  # 4 on average


async def test_a_request_that_ends_soon_never_gets_into_the_queue(link: Any, make_grant: MakeGrant) -> None:
    found, brief, long = renewals(link), Stream(make_grant()), Stream(make_grant())
    found.add(brief)
    found.add(long)
    assert len(found) == 2
    now = asyncio.get_running_loop().time()
    assert found._take_due(now) == []
    assert found._queue == []
    found.discard(brief)
    assert len(found) == 1
    assert found._take_due(now + 6) in ([], [found._entries[long.grant.request_id]])
    assert len(found._queue) == len(found) == 1
    found.discard(long)
    assert len(found) == 0


async def test_an_ended_stream_is_not_held_until_its_renewal_would_be_due(link: Any, make_grant: MakeGrant) -> None:
    found, stream = renewals(link), Stream(make_grant())
    found.add(stream)
    freed = weakref.ref(stream)
    found.discard(stream)
    del stream
    assert freed() is None
    await found._renew_due(asyncio.get_running_loop().time() + 60)
    assert found._queue == []


async def test_after_a_long_standstill_what_is_due_goes_out_slice_by_slice(link: Any, make_grant: MakeGrant) -> None:
    link.responses[scripts.RENEW] = ["ok", 0, ""]
    found, streams = renewals(link), [Stream(make_grant()) for _ in range(100)]
    for stream in streams:
        found.add(stream)
    later = asyncio.get_running_loop().time() + 600
    assert len(found._take_due(later)) == SLICE_MAX
    await found._renew_due(later)
    assert [stream.seq for stream in streams].count(1) == 100 - SLICE_MAX
