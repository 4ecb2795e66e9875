"""Long loops beside others: code that works through many rows lets the event loop go on between them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

# How long a loop may keep the event loop to itself: others' requests wait no longer than this for each such loop.
TURN_SECONDS: Final = 0.005


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """`items`, one after the other; the event loop has its turn whenever TURN_SECONDS have passed."""
    due = time.perf_counter() + TURN_SECONDS
    for item in items:
        yield item
        if time.perf_counter() >= due:
            await asyncio.sleep(0)
            due = time.perf_counter() + TURN_SECONDS
