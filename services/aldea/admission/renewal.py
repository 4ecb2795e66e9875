"""Renewal: one ticker per process looks after all its running requests, in pipelined chunks.

Each renewal extends the lease (re-created if Redis lost it, never refused on count), writes a checkpoint, and asks
whether credential, project and quota still allow the request. While Redis is away requests go on, unasked.
"""

import asyncio
import random
from contextlib import suppress
from itertools import islice
from typing import Any, Final, Protocol

import structlog
from prometheus_client import Counter, Gauge
from redis.exceptions import RedisError

from aldea.admission.desk import Admission
from aldea.admission.grant import Grant, Verdict
from aldea.redis_link import MAX_FLUSH, RedisUnavailable
from aldea.redis_schema import USAGE_STREAM
from aldea.usage import UsageReading

log = structlog.get_logger("aldea.admission")

# A third of the lease's life: two renewals in a row may fail. It is also how long a revoked key's stream may go on.
RENEW_SECONDS: Final = 10.0
# Ticks vary by this share, so that the processes of a fleet do not renew in step.
JITTER: Final = 0.1
# Once Redis is back every process renews at once, spread over this long.
RECONNECT_SPREAD_SECONDS: Final = 1.0

RUNNING: Final = Gauge("aldea_running_requests", "Requests that this process renews")
VERDICTS: Final = Counter("aldea_renewals_refused_total", "Running requests that a renewal ended", ["verdict"])
STREAM_LENGTH: Final = Gauge(
    "aldea_usage_stream_length", "Readings in the usage stream, not yet taken by the publisher"
)


class Renewable(Protocol):
    """A running request, as renewal sees it."""

    @property
    def grant(self) -> Grant:
        """What admission gave it."""

    def checkpoint(self) -> UsageReading:
        """Its usage so far, as a reading of rank OPEN with the next seq."""

    def on_refused(self, verdict: Verdict) -> None:
        """It may not go on, for the reason that `verdict` gives: close 1008. Called once."""


class _Entry:
    __slots__ = ("refused", "stream")

    def __init__(self, stream: Renewable) -> None:
        self.stream = stream
        self.refused = False


class Renewals:
    """The running requests of this process, and the ticker that renews them."""

    def __init__(self, admission: Admission, *, every: float = RENEW_SECONDS) -> None:
        """`every`: seconds between renewals, well below the lease's life."""
        self._outbox = admission.outbox
        self._link = admission.link
        self._every = every
        self._spread = min(RECONNECT_SPREAD_SECONDS, every)
        self._entries: dict[str, _Entry] = {}
        self._wake = asyncio.Event()
        self._link.on_reconnect(self._wake.set)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, stream: Renewable) -> None:
        """Renew `stream` from now on."""
        self._entries[stream.grant.request_id] = _Entry(stream)
        RUNNING.set(len(self._entries))

    def discard(self, stream: Renewable) -> None:
        """Renew `stream` no longer: it is about to be finished. Unknown ones are fine."""
        self._entries.pop(stream.grant.request_id, None)
        RUNNING.set(len(self._entries))

    async def run(self) -> None:
        """Renew for ever: at each tick, and soon after Redis came back."""
        while True:
            try:
                async with asyncio.timeout(self._every * random.uniform(1 - JITTER, 1 + JITTER)):
                    await self._wake.wait()
                await asyncio.sleep(random.uniform(0, self._spread))
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.renew_all()
            except Exception:
                log.exception("renewal failed")  # the next tick is a new chance; the leases outlive two

    async def renew_all(self) -> None:
        """Renew every running request once, and send what else waits for Redis."""
        entries = iter(list(self._entries.values()))
        while chunk := list(islice(entries, MAX_FLUSH)):
            await self._renew(chunk)
        await self._outbox.flush()
        with suppress(RedisUnavailable):
            STREAM_LENGTH.set(await self._link.run(lambda client: client.xlen(USAGE_STREAM)))

    async def _renew(self, chunk: list[_Entry]) -> None:
        sent: list[tuple[_Entry, UsageReading, asyncio.Future[Any]]] = []
        for entry in chunk:
            # Chunks are awaited one after another; a request may have ended meanwhile.
            if self._entries.get(entry.stream.grant.request_id) is not entry:
                continue
            try:
                checkpoint = entry.stream.checkpoint()
            except Exception:  # one stream's trouble must not keep the others from being renewed
                log.exception("checkpoint failed", request_id=entry.stream.grant.request_id)
                continue
            try:
                sent.append((entry, checkpoint, self._outbox.renew(entry.stream.grant, checkpoint)))
            except RedisUnavailable:
                self._outbox.keep(entry.stream.grant, checkpoint)
        for entry, checkpoint, answer in sent:
            grant = entry.stream.grant
            try:
                verdict = self._outbox.renewed(grant, checkpoint, await answer)
            except RedisUnavailable:
                if grant.request_id in self._entries:
                    self._outbox.keep(grant, checkpoint)
            except RedisError:
                log.exception("renewal refused by redis", request_id=grant.request_id)
            else:
                self._judge(entry, verdict)

    def _judge(self, entry: _Entry, verdict: Verdict) -> None:
        if not verdict.refused or entry.refused or self._entries.get(entry.stream.grant.request_id) is not entry:
            return
        entry.refused = True
        VERDICTS.labels(verdict.value).inc()
        try:
            entry.stream.on_refused(verdict)
        except Exception:
            log.exception("a refused stream could not be told", request_id=entry.stream.grant.request_id)
