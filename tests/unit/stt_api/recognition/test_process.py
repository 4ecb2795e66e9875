import asyncio
import os
import signal

import pytest

from stt_api.options import ListenOptions
from stt_api.recognition.pool import WorkerPool
from stt_api.recognition.process import CRASHES, WINDOW_BYTES, WorkerLost
from tests.unit.stt_api.streams import finish

PCM = ListenOptions(encoding="linear16")


async def test_a_killed_process_is_noticed_by_its_streams_and_replaced(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:
        process = pool.workers[0].process
        assert process is not None
        crashes = CRASHES._value.get()
        # What a fault in a library of C or C++ does.
        os.kill(process.pid, signal.SIGSEGV)
        with pytest.raises(WorkerLost):
            await stream.next_event()
        with pytest.raises(WorkerLost):
            await stream.send(b"..")
    async with pool.stream(PCM) as again:
        assert (await finish(again)).duration == 0.0
    assert pool.used == 0
    assert CRASHES._value.get() == crashes + 1


async def test_a_caller_that_takes_no_events_can_send_no_more_than_the_window(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.send(bytes(2 * WINDOW_BYTES)), 0.5)
        assert stream._window == 0


async def test_a_stuck_process_is_recognised_by_its_silence(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:
        worker = pool.workers[0]
        assert not worker.stuck(worker.last_heard + 1000)
        stream._expect(1)
        assert worker.stuck(worker.last_heard + 1000)
        assert not worker.stuck(worker.last_heard + 1)


async def test_a_stream_is_settled_once_all_that_was_sent_is_recognized(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:

        def settled() -> bool:
            return stream.settled is not None

        assert settled()
        await stream.send(bytes(3200))
        assert not settled()
        async with asyncio.timeout(20):
            while not settled():
                await asyncio.sleep(0.01)
