import asyncio
import os
import signal

import pytest
import structlog

from aldea.tasks import cancel, spawn
from stt_api.model import chosen
from stt_api.options import ListenOptions
from stt_api.recognition.events import FLUSH_BYTES, Transcript
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
        sending = spawn(stream.send(bytes(2 * WINDOW_BYTES)), name="send")
        async with asyncio.timeout(60):
            while stream._window:
                await asyncio.sleep(0.01)
        assert not sending.done()
        await cancel(sending)


async def test_a_process_that_dies_leaves_its_cause_and_its_stacks_in_the_log(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:
        process = pool.workers[0].process
        assert process is not None
        with structlog.testing.capture_logs() as logs:
            os.kill(process.pid, signal.SIGSEGV)
            with pytest.raises(WorkerLost):
                await stream.next_event()
    (ended,) = [line for line in logs if line["event"] == "recognition process ended"]
    assert (ended["pid"], ended["status"], ended["streams"]) == (process.pid, -signal.SIGSEGV, 1)
    assert ended["cause"] == "SIGSEGV"
    assert any("Segmentation fault" in line for line in ended["printed"])
    assert any("worker.py" in line for line in ended["printed"])


async def test_a_caller_that_takes_no_events_can_request_few_flushes(pool: WorkerPool) -> None:
    async with pool.stream(PCM) as stream:
        for _ in range(WINDOW_BYTES // FLUSH_BYTES):
            await stream.flush()
        further = spawn(stream.flush(), name="further")
        # All were obeyed, and none of it was taken: there is no room for another one.
        async with asyncio.timeout(60):
            while stream.unanswered:
                await asyncio.sleep(0.01)
        assert not further.done()
        while not further.done():
            await stream.next_event()


async def test_a_stuck_process_prints_where_it_is_and_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stt_api.recognition.pool.WATCH_SECONDS", 3600.0)
    pool = WorkerPool(1, 1, chosen(), max_waiting=1, waiting_seconds=20)
    (worker,) = pool.workers
    pool.start()
    try:
        async with pool.stream(PCM) as stream:
            process = worker.process
            assert process is not None
            monkeypatch.setattr(worker._watchdog, "stuck", lambda *_: "of a test")
            # Without work nothing is looked at.
            worker.kill_if_stuck()
            assert not worker._printed.kept
            stream._expect(1)
            worker.kill_if_stuck()
            async with asyncio.timeout(60):
                while not any("worker.py" in line for line in worker._printed.kept):
                    await asyncio.sleep(0.01)
            assert process.returncode is None
            with structlog.testing.capture_logs() as logs:
                worker.kill_if_stuck()
                with pytest.raises(WorkerLost):
                    await stream.next_event()
        assert [line["cause"] for line in logs if "cause" in line] == ["stuck and killed: of a test"]
    finally:
        await pool.close()


async def test_a_process_that_loads_is_looked_at_too(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    (worker,) = pool.workers
    async with asyncio.timeout(60):
        while worker.process is None:
            await asyncio.sleep(0.001)
    process = worker.process
    worker.ready = False
    monkeypatch.setattr(worker._watchdog, "stuck", lambda *_: "of a test")
    worker.kill_if_stuck()
    async with asyncio.timeout(60):
        assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_stream_is_settled_once_all_that_was_sent_is_recognized(pool: WorkerPool, *, flushed: bool) -> None:
    async with pool.stream(PCM) as stream:

        def settled() -> bool:
            return stream.settled is not None

        window = stream._window
        assert settled()
        # Who requests the words of what was sent waits for them as well.
        await (stream.flush() if flushed else stream.send(bytes(3200)))
        assert not settled()
        async with asyncio.timeout(60):
            while not settled():
                await asyncio.sleep(0.01)
        if flushed:
            assert isinstance(await stream.next_event(), Transcript)
        await stream.end()
        assert isinstance(await stream.next_event(), Transcript)
        assert stream._window == window
