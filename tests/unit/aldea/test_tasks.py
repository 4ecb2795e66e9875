import asyncio

import pytest
from structlog.testing import capture_logs

from aldea import tasks
from aldea.settings import read
from aldea.tasks import Deadline, being_cancelled, cancel, spawn, together, woken
from http_proxy.settings import HttpProxySettings


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_task_is_named_and_referenced_until_it_ends() -> None:
    gate = asyncio.Event()
    task = spawn(gate.wait(), name="waiting")
    assert task.get_name() == "waiting"
    assert task in tasks._running
    gate.set()
    await task
    await turns()
    assert task not in tasks._running


async def test_a_failure_is_logged_once_with_the_tasks_name() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with capture_logs() as logs:
        task = spawn(fail(), name="failing")
        with pytest.raises(ValueError, match="broken"):
            await task
        await turns()
    (line,) = logs
    assert (line["event"], line["task"]) == ("task failed", "failing")
    assert isinstance(line["exc_info"], ValueError)


async def test_a_cancelled_task_is_no_failure_and_cancel_waits_for_its_end() -> None:
    ended = []

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turns()
            ended.append(True)

    with capture_logs() as logs:
        task = spawn(tidy(), name="tidy")
        await turns()
        await cancel(task, None)
    assert ended == [True]
    assert task.cancelled()
    assert logs == []


async def test_cancel_does_not_swallow_its_callers_own_cancellation() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    inner = spawn(stubborn(), name="stubborn")
    await turns()
    outer = spawn(cancel(inner), name="outer")
    await turns()
    outer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outer
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await inner


async def test_a_task_may_be_among_those_it_cancels() -> None:
    async def last() -> str:
        await cancel(asyncio.current_task())
        return "still here"

    assert await spawn(last(), name="last") == "still here"


async def test_a_task_that_failed_before_does_not_disturb_cancel() -> None:
    async def fail() -> None:
        raise ValueError

    with capture_logs():
        task = spawn(fail(), name="failing")
        await turns()
        await cancel(task)
    assert task.done()


async def test_a_task_knows_whether_it_is_being_cancelled_and_a_deadline_that_has_passed_is_none() -> None:
    assert not being_cancelled()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(5)
    assert not being_cancelled()

    seen: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(being_cancelled())

    task = spawn(wait(), name="waiting")
    await turns()
    await cancel(task)
    assert seen == [True]


async def test_whoever_waits_for_something_to_do_is_woken_by_it_and_looks_by_itself_after_a_while() -> None:
    wake = asyncio.Event()
    await woken(wake, 0)
    waiting = spawn(woken(wake, 3600.0), name="waiting")
    await turns()
    assert not waiting.done()
    wake.set()
    await waiting


async def test_a_task_that_lost_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
    lost = 0

    async def loop() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost == 2:
                    raise
                lost += 1

    task = spawn(loop(), name="loop")
    await turns()
    async with asyncio.timeout(60):
        await cancel(task)
    assert (task.cancelled(), lost) == (True, 2)


async def test_what_a_cancelled_task_still_has_to_do_is_not_cut_short() -> None:
    """Our longest: a delivery under way has 30 s."""
    assert (
        2 * read(HttpProxySettings, stt_upstreams="http://x:1", redis_url="redis://x").callback_attempt_seconds
        <= tasks.AGAIN_SECONDS
    )
    begun, go_on, done = asyncio.Event(), asyncio.Event(), []

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            begun.set()
            await go_on.wait()
            done.append(True)

    task = spawn(tidy(), name="tidy")
    await turns()
    cancelling = spawn(cancel(task), name="cancelling")
    await begun.wait()
    assert task.cancelling() == 1
    go_on.set()
    await cancelling
    assert done == [True]


async def test_a_cancellation_in_the_moment_of_a_result_is_not_lost() -> None:
    """In asyncio.wait_for of Python 3.11 it was, and the task went on as if nobody had cancelled it."""
    result: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        await asyncio.wait_for(result, 60)

    task = spawn(wait(), name="wait")
    await turns()
    result.set_result(None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_ends_what_takes_longer_and_leaves_the_task_usable() -> None:
    with pytest.raises(TimeoutError), Deadline(0.01):
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_deadline_that_is_kept_does_nothing() -> None:
    with Deadline(0):
        pass
    with Deadline(60):
        await asyncio.sleep(0)
    await turns()


async def test_a_deadline_does_not_swallow_somebody_elses_cancellation() -> None:
    inside = asyncio.Event()

    async def bounded() -> None:
        with Deadline(60):
            inside.set()
            await asyncio.Event().wait()

    task = spawn(bounded(), name="bounded")
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_in_the_moment_of_the_deadline_wins() -> None:
    bounded: list[asyncio.Task[None]] = []

    async def both() -> None:
        deadline = Deadline(60)
        with deadline:
            deadline._expire()
            bounded[0].cancel()
            await asyncio.Event().wait()

    bounded.append(spawn(both(), name="both"))
    with pytest.raises(asyncio.CancelledError):
        await bounded[0]


async def test_of_two_deadlines_the_one_that_expired_raises() -> None:
    with Deadline(60), pytest.raises(TimeoutError), Deadline(0.01):
        await asyncio.Event().wait()
    with pytest.raises(TimeoutError), Deadline(0.01), Deadline(60):
        await asyncio.Event().wait()


async def test_what_a_body_makes_of_its_deadline_passes() -> None:
    with pytest.raises(ValueError, match="own"), Deadline(0.01):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("own") from None
    await turns()


def test_a_deadline_needs_a_task() -> None:
    loop = asyncio.new_event_loop()
    failures: list[BaseException] = []

    def call() -> None:
        try:
            with Deadline(1):
                pass
        except RuntimeError as error:
            failures.append(error)
        loop.stop()

    loop.call_soon(call)
    loop.run_forever()
    loop.close()
    assert [str(error) for error in failures] == ["a deadline needs a task to run in"]


async def test_a_wait_beside_a_task_ends_with_its_failure() -> None:
    ended = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waiter")

    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await together(wait_for_ever(), fail(), name="pair")
    assert ended == ["waiter"]


async def test_what_runs_beside_ends_with_it_and_may_end_before() -> None:
    ended = []

    async def main() -> int:
        await turns(5)
        return 7

    async def brief() -> None:
        ended.append("brief")

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("long")

    assert await together(main(), brief(), wait_for_ever(), name="three") == 7
    assert ended == ["brief", "long"]


async def test_a_cancellation_while_tasks_run_together_ends_them_all() -> None:
    ended = []

    async def wait_for_ever(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    task = spawn(together(wait_for_ever("main"), wait_for_ever("other"), name="pair"), name="caller")
    await turns()
    await cancel(task)
    assert sorted(ended) == ["main", "other"]
