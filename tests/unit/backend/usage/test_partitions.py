"""The sweep's rhythm; what it does to tables is tested on a real PostgreSQL."""

import asyncio
from datetime import date

import asyncpg
import pytest

from aldea.postgres import Database, DatabaseUnavailable
from backend.usage import partitions as subject
from backend.usage.partitions import Partitions


class Failing(Partitions):
    """A sweep that meets one error after another, then none."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(Database(None), retention_months=1)  # type: ignore[arg-type]
        self.errors = list(errors)
        self.enough = asyncio.Event()

    async def sweep(self, today: date) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.enough.set()


async def test_a_sweep_that_failed_is_repeated_whatever_it_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "RETRY_SECONDS", 0.0)
    sweeping = Failing(
        DatabaseUnavailable("unavailable"),
        asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
        asyncpg.UndefinedFunctionError("function drop_usage_before(date) does not exist"),
        RuntimeError("a defect"),
    )
    sweeping.start()
    async with asyncio.timeout(60):
        await sweeping.enough.wait()
    await sweeping.stop()
