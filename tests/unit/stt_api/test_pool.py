import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from aldea.errors import ServiceUnavailable
from stt_api.events import Ended
from stt_api.options import ListenOptions
from stt_api.pool import WINDOW_BYTES, Stream, WorkerLost, WorkerPool

PCM = ListenOptions(encoding="linear16")


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    made = WorkerPool(1, 1, max_waiting=1, waiting_seconds=20)
    made.start()
    yield made
    await made.close()


async def finish(stream: Stream) -> Ended:
    await stream.end()
    while not isinstance(event := await stream.next_event(), Ended):
        pass
    return event


async def test_a_stream_waits_for_the_process_to_be_ready_and_is_recognised(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:
        await stream.send(bytes(32_000))
        assert (await finish(stream)).duration == 1.0
    assert pool.used == 0
    await pool.check()


async def test_of_two_requests_for_one_place_the_second_waits_and_a_third_is_refused(pool: WorkerPool) -> None:
    order: list[str] = []

    async def request(name: str) -> None:
        async with pool.stream(PCM) as stream:
            order.append(name)
            await finish(stream)

    async with pool.stream(PCM) as first:
        waiting = asyncio.get_running_loop().create_task(request("second"))
        async with asyncio.timeout(10):
            while not pool.waiting:
                await asyncio.sleep(0.01)
        with pytest.raises(ServiceUnavailable, match="too many wait") as refused:
            await pool.stream(PCM).__aenter__()
        assert refused.value.retry_after
        order.append("first")
        await finish(first)
    await waiting
    assert order == ["first", "second"]
    assert pool.used == 0


async def test_a_killed_process_is_noticed_by_its_streams_and_replaced(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:
        process = pool.workers[0].process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(WorkerLost):
            await stream.next_event()
        with pytest.raises(WorkerLost):
            await stream.send(b"..")
    async with pool.stream(PCM) as again:
        assert (await finish(again)).duration == 0.0
    assert pool.used == 0


async def test_a_caller_that_takes_no_events_can_send_no_more_than_the_window(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.send(bytes(2 * WINDOW_BYTES)), 0.5)
        assert stream._window == 0


async def test_more_channels_than_a_process_serves_are_refused_at_once(pool: WorkerPool) -> None:
    with pytest.raises(ServiceUnavailable, match="2 channels"):
        await pool.stream(ListenOptions(encoding="linear16", channels=2, multichannel=True)).__aenter__()


async def test_a_stuck_process_is_recognised_by_its_silence(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:
        worker = pool.workers[0]
        assert not worker.stuck(worker.last_heard + 1000)
        stream._expect(1)
        assert worker.stuck(worker.last_heard + 1000)
        assert not worker.stuck(worker.last_heard + 1)
