"""One run: so many requests of a seed against every service, a few at a time, and what was wrong with the responses."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aldea.tasks import cancel, spawn
from tests.fuzz.estate import Estate
from tests.fuzz.inputs import Drawing
from tests.fuzz.responses import send

# More at once would find the engine's few places taken, which is a 503 of its own right.
AT_ONCE: Final = 6
# Nobody reads more than a few at a time.
MOST_FAULTS: Final = 20
PROGRESS_REQUESTS: Final = 1000


@dataclass(slots=True)
class Outcome:
    """What a run has shown. `statuses`: responses by service and status, 0 for none."""

    faults: list[str] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)


async def run(found: Estate, *, seed: int, requests: int, report: Callable[[str], None]) -> Outcome:
    """Send them all. The same seed draws the same requests; the rest does not depend on it."""
    outcome = Outcome()
    drawing = Drawing(seed, found.targets)
    numbers = iter(range(requests))

    async def client() -> None:
        for number in numbers:
            request = drawing.request()
            response = await send(request)
            outcome.statuses[request.target.name, response.status] += 1
            outcome.faults += [
                f"request {number} to {request.target.name} ({request.end.value}): {response.status}: {fault}\n"
                f"    {b''.join(request.pieces)[:1500]!r}\n    {response.body[:300]!r}"
                for fault in response.faults
            ]
            if len(outcome.faults) >= MOST_FAULTS:
                return
            if number % PROGRESS_REQUESTS == PROGRESS_REQUESTS - 1:
                report(f"{number + 1} requests")

    with _unheard() as unheard:
        clients = [spawn(client(), name=f"stranger {number}") for number in range(AT_ONCE)]
        try:
            await asyncio.gather(*clients)
        finally:
            await cancel(*clients)
        outcome.faults += [f"left behind: {thing}" for thing in await found.comes_to_rest()]
    outcome.faults += [f"nobody caught: {text}" for text in unheard[:MOST_FAULTS]]
    return outcome


@contextmanager
def _unheard() -> Iterator[list[str]]:
    """What the event loop and aiohttp report because nobody caught it."""
    found: list[str] = []
    loop = asyncio.get_running_loop()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(logging.Formatter("%(message)s").format(record)[-1500:])

    def note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        found.append(f"{context.get('message')}: {context.get('exception')!r}")

    handler = Handler(logging.ERROR)
    logging.getLogger("aiohttp").addHandler(handler)
    loop.set_exception_handler(note)
    try:
        yield found
    finally:
        loop.set_exception_handler(None)
        logging.getLogger("aiohttp").removeHandler(handler)
