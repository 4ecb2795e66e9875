"""Tasks: the one way to start one (named, referenced until it ends, its failure reported), to end one, to bound one."""

import asyncio
import random
import sys
from collections.abc import Awaitable, Coroutine
from types import TracebackType
from typing import Any, Final, TypeVar

import structlog

from aldea.standstill import Later

log = structlog.get_logger("aldea.tasks")

T = TypeVar("T")

# Longer than anything that a cancelled task still has to do in its `finally`, which a second cancellation would cut
# short. It is for a task that swallowed its cancellation, which is a defect.
AGAIN_SECONDS: Final = 60.0

# asyncio itself keeps only weak references to tasks, so an unreferenced one may vanish mid-flight.
_running: set[asyncio.Task[Any]] = set()


def spawn(coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start `coro` as a task called `name`; if it fails, that is logged once, whether or not somebody awaits it."""
    task = asyncio.get_running_loop().create_task(coro, name=name)
    _running.add(task)
    task.add_done_callback(_report)
    return task


def _report(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task failed", task=task.get_name(), exc_info=error)


async def cancel(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel the tasks and wait until each has really ended; their own failures were reported already.

    However long their `finally` takes: its own deadlines bound that. A task that still runs after AGAIN_SECONDS has
    lost its cancellation and is cancelled again. The caller's own cancellation is not swallowed. The calling task
    itself, if among them, is left out.
    """
    caller = asyncio.current_task()
    live = {task for task in tasks if task is not None and not task.done() and task is not caller}
    while live:
        for task in live:
            task.cancel()
        _, live = await asyncio.wait(live, timeout=AGAIN_SECONDS)
        if live:
            log.warning("cancelled again", tasks=sorted(task.get_name() for task in live))


async def _wait_for(awaitable: Awaitable[T], timeout: float | None) -> T:
    async with asyncio.timeout(timeout):
        return await awaitable


if sys.version_info < (3, 12):
    # Its wait_for forgets a cancellation that comes in the moment in which what it waits for is done (gh-86296), and
    # redis-py writes through it: a task that loops for ever would go on. Python 3.12 has it like this.
    asyncio.wait_for = _wait_for  # type: ignore[assignment]


async def together(main: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, None], name: str) -> T:
    """Run `main` with the others beside it; returns or raises what `main` does.

    A failure of one of the others ends all of them and is raised here, so that `main` never waits for what a task
    would have done that has died. Another one that returns is merely done. All have ended when this returns.
    """
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Any]] = [
        loop.create_task(coro, name=f"{name}-{index}") for index, coro in enumerate((main, *others))
    ]
    running = set(tasks)
    try:
        while not tasks[0].done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=tasks.index):
                task.result()
        found: T = tasks[0].result()
        return found
    finally:
        await cancel(*tasks)
        for task in tasks:
            # One failure is raised; the others are looked at, or asyncio would report them as forgotten.
            if not task.cancelled():
                task.exception()


async def woken(wake: asyncio.Event, seconds: float) -> None:
    """Return once `wake` is set, or after half to one and a half of `seconds`: processes do not look all at once."""
    try:
        async with asyncio.timeout(seconds * random.uniform(0.5, 1.5)):
            await wake.wait()
    except TimeoutError:
        return


def being_cancelled() -> bool:
    """Whether the running task is being cancelled.

    For code that turns a library's errors into our own errors: some libraries raise one of their own where a
    cancellation cut them off. A loop that survives errors would survive that too, and its canceller would wait
    for ever, so CancelledError has to be raised instead.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Deadline:
    """`with Deadline(seconds):` raises TimeoutError if its body takes longer; for what is done with every request.

    As `asyncio.timeout`, at a fraction of its cost: the running task is cancelled, and its cancellation becomes
    TimeoutError unless somebody else has cancelled it too. It cannot be rescheduled. The time that the process stood
    still does not count (see aldea/standstill.py).
    """

    __slots__ = ("_cancelling", "_expired", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task to run in")
        self._task = task
        self._cancelling = task.cancelling()
        self._expired = False
        self._timer = Later(task.get_loop(), self._seconds, self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
