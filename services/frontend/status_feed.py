"""The platform's status for the public page: requested from the Platform API once in some seconds, whoever looks."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiohttp import web

from frontend.api import ApiDown, ApiRefusal, PlatformApi, as_model
from frontend.status_models import Status

log = structlog.get_logger("frontend.status")

FRESH_SECONDS: Final = 15.0
# After an attempt that failed: a crowd must not wait for one deadline after the other.
AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The status as it was read last. `raw`: as the API sent it. `current`: False while the API does not respond."""

    status: Status
    raw: Any
    current: bool


class StatusFeed:
    """What was read last; one per process."""

    def __init__(self, api: PlatformApi, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds that only ever rise."""
        self._api = api
        self._clock = clock
        self._reading = asyncio.Lock()
        self._seen: Seen | None = None
        self._due = self._clock()

    async def seen(self) -> Seen | None:
        """The status, None if there was none to read yet. Never raises for what the API does."""
        async with self._reading:
            if self._clock() >= self._due:
                await self._read()
            return self._seen

    async def _read(self) -> None:
        try:
            raw = await self._api.call("GET", "/v1/status")
            self._seen = Seen(as_model(Status, raw), raw, current=True)
            self._due = self._clock() + FRESH_SECONDS
        except (ApiDown, ApiRefusal) as failure:
            log.warning("status not read", reason=str(failure))
            if self._seen is not None:
                self._seen = Seen(self._seen.status, self._seen.raw, current=False)
            self._due = self._clock() + AGAIN_SECONDS


STATUS_FEED: Final = web.AppKey("status-feed", StatusFeed)
