"""The one way to start a background task: named, referenced until it ends, its failure reported."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import structlog

log = structlog.get_logger("aldea.tasks")

T = TypeVar("T")

# asyncio itself keeps only weak references to tasks, so an unreferenced one may vanish mid-flight.
_running: set[asyncio.Task[Any]] = set()


def spawn(coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start `coro` as a task called `name`; an exception that nobody awaits is logged once, with its traceback."""
    task = asyncio.get_running_loop().create_task(coro, name=name)
    _running.add(task)
    task.add_done_callback(_report)
    return task


def _report(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task failed", task=task.get_name(), exc_info=error)


async def cancel(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel the tasks and wait until each has really ended; their own failures were reported already."""
    live = [task for task in tasks if task is not None and not task.done()]
    for task in live:
        task.cancel()
    for task in live:
        with suppress(asyncio.CancelledError, Exception):
            await task
