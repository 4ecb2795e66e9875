"""Sweeps: what each backend looks for in PostgreSQL again and again, and puts right. Several may do so at once."""

import asyncio
import random
from abc import ABC, abstractmethod

import asyncpg
import structlog

from aldea.errors import ServiceUnavailable
from aldea.tasks import cancel, spawn


class Sweeping(ABC):
    """A sweep that is repeated in the background; one that failed is logged, and repeated too."""

    def __init__(
        self, *, name: str, every: float, again: float, failure: str, log: structlog.stdlib.BoundLogger
    ) -> None:
        """`every`, `again`: seconds until the next sweep, and until the next after one that failed.

        `name`: of the task; `failure`: what the log says of a sweep that failed.
        """
        self._name = name
        self._every = every
        self._again = again
        self._failure = failure
        self._log = log
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweep in the background until `stop`, the first time at once."""
        self._task = spawn(self.run(), name=self._name)

    async def stop(self) -> None:
        """End the sweeping. A sweep works in transactions, so an interrupted one leaves nothing half done."""
        await cancel(self._task)

    async def run(self) -> None:
        """Sweep until cancelled. Raises only when cancelled."""
        while True:
            pause = self._again
            try:
                await self.sweep_now()
                pause = self._every
            except (ServiceUnavailable, asyncpg.PostgresError) as error:
                self._log.warning(f"{self._failure}, will retry", error=f"{type(error).__name__}: {error}")
            except Exception:  # noqa: BLE001 - a defect of one sweep must not end the next ones
                self._log.exception(self._failure)
            # Jittered, so that the backends of a fleet spread out and mostly find nothing left to do.
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))

    @abstractmethod
    async def sweep_now(self) -> object:
        """Sweep once. Raises DatabaseUnavailable, asyncpg.PostgresError."""
