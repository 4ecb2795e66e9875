"""The one way to start a background task: named, referenced until it ends, its failure reported."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger("aldea.tasks")

T = TypeVar("T")

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

    The caller's own cancellation is not swallowed. The calling task itself, if among them, is left out.
    """
    caller = asyncio.current_task()
    live = [task for task in tasks if task is not None and not task.done() and task is not caller]
    for task in live:
        task.cancel()
    if live:
        await asyncio.wait(live)
