"""The page is read once in some seconds, however many look; everything else is tested on a real backend."""

import asyncio
from typing import Any

from backend.status import summary
from backend.status.models import Status
from backend.status.service import FRESH_SECONDS, StatusService
from tests.unit.backend.status.test_summary import NOW


class Counting(StatusService):
    def __init__(self) -> None:
        self.now = 0.0
        self.reads = 0
        nothing: Any = None
        super().__init__(nothing, nothing, nothing, clock=lambda: self.now)

    async def _look(self) -> Status:
        self.reads += 1
        await asyncio.sleep(0)
        return summary.status(NOW, [], [])


async def test_a_crowd_costs_one_reading_until_that_is_old() -> None:
    service = Counting()
    await asyncio.gather(*(service.status() for _ in range(500)))
    assert service.reads == 1
    service.now = FRESH_SECONDS - 1
    await service.status()
    assert service.reads == 1
    service.now = FRESH_SECONDS
    await service.status()
    assert service.reads == 2
