"""Renewal: one ticker per process looks after all its running requests, a few at a time as each falls due.

Each renewal extends the lease (re-created if Redis lost it, never refused on count), writes a checkpoint, and checks
whether credential, project and quota still allow the request. While Redis is unavailable requests go on unchecked.
"""

import asyncio
import heapq
import random
import time
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog
from prometheus_client import Counter, Gauge

from aldea.admission.desk import Admission
from aldea.admission.grant import Grant, Verdict
from aldea.redis.errors import RedisError, RedisUnavailable
from aldea.usage.reading import UsageReading

log = structlog.get_logger("aldea.admission")

# A third of the lease's life: two renewals in a row may fail. It is also how long a revoked key's stream may go on, and
# how much a stream may use beyond its account's balance.
RENEW_SECONDS: Final = 10.0
# Intervals are shorter by up to this share, so that neither the processes of a fleet nor streams that began together
# stay in step; never longer, since the interval is a promise.
JITTER: Final = 0.1
# What falls due within this time is renewed together. A renewal costs about 0.1 ms of the event loop: all of a thousand
# streams at once would hold every frame up by 100 ms, these slices of them do by less than one.
SLICE_SECONDS: Final = 0.025
# At most so many go out together: when the ticker is behind, or Redis is back and all are due.
SLICE_MAX: Final = 16
# Once Redis is back every process renews at once, spread over this long.
RECONNECT_SPREAD_SECONDS: Final = 1.0

RUNNING: Final = Gauge("aldea_running_requests", "Requests that this process renews")
VERDICTS: Final = Counter("aldea_renewals_refused_total", "Running requests that a renewal ended", ["verdict"])


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
    """A running request's place in the queue. `stream` is None once it is discarded: the queue finds out later."""

    __slots__ = ("refused", "stream")

    def __init__(self, stream: Renewable) -> None:
        self.stream: Renewable | None = stream
        self.refused = False


class Renewals:
    """The running requests of this process, and the ticker that renews them."""

    def __init__(self, admission: Admission, *, every: float = RENEW_SECONDS) -> None:
        """`every`: seconds between renewals, well below the lease's life."""
        self._outbox = admission.outbox
        self._link = admission.link
        self._every = every
        self._spread = min(RECONNECT_SPREAD_SECONDS, every)
        # Those that run for less than half an interval, and when they came, oldest first: most requests end among them,
        # and cost the queue nothing.
        self._young: dict[str, tuple[float, Renewable]] = {}
        self._entries: dict[str, _Entry] = {}
        # A heap by due time (the event loop's); the number distinguishes what is due at the same time.
        self._queue: list[tuple[float, int, _Entry]] = []
        self._number = 0
        self._wake = asyncio.Event()
        self._link.on_reconnect(self._wake.set)
        RUNNING.set_function(self.__len__)

    def __len__(self) -> int:
        return len(self._young) + len(self._entries)

    def add(self, stream: Renewable) -> None:
        """Renew `stream` from now on."""
        self.discard(stream)
        self._young[stream.grant.request_id] = (time.monotonic(), stream)

    def discard(self, stream: Renewable) -> None:
        """Renew `stream` no longer: it is about to be finished. Unknown ones are fine."""
        request_id = stream.grant.request_id
        if self._young.pop(request_id, None) is None and (entry := self._entries.pop(request_id, None)) is not None:
            entry.stream = None

    def _enqueue(self, until: float) -> None:
        """Put those that came before `until` into the queue."""
        while self._young:
            request_id = next(iter(self._young))
            came, stream = self._young[request_id]
            if came > until:
                return
            del self._young[request_id]
            # Clients come back in crowds after a change-over: their first renewals are spread over half an interval.
            due = came + self._every * (0.5 + random.random() / 2)
            entry = self._entries[request_id] = _Entry(stream)
            self._number += 1
            heapq.heappush(self._queue, (due, self._number, entry))

    async def run(self) -> None:
        """Renew for ever: each request at its time, and all soon after Redis came back."""
        loop = asyncio.get_running_loop()
        housekeeping = loop.time() + self._every
        while True:
            try:
                async with asyncio.timeout(min(SLICE_SECONDS, self._every)):
                    await self._wake.wait()
                await asyncio.sleep(random.uniform(0, self._spread))
            except TimeoutError:
                pass
            try:
                if self._wake.is_set():
                    self._wake.clear()
                    await self.renew_all()
                else:
                    await self._renew_due(loop.time())
                if loop.time() >= housekeeping:
                    housekeeping = loop.time() + self._every
                    await self._tidy()
            except Exception:
                log.exception("renewal failed")  # the next time is a new chance; the leases outlive two

    async def renew_all(self) -> None:
        """Renew every running request once, and send what else waits for Redis."""
        self._enqueue(time.monotonic())
        entries = list(self._entries.values())
        for start in range(0, len(entries), SLICE_MAX):
            await self._renew(entries[start : start + SLICE_MAX])
        await self._tidy()

    async def _renew_due(self, now: float) -> None:
        """Renew what is due, and set when it is due again."""
        while due := self._take_due(now):
            await self._renew(due)

    def _take_due(self, now: float) -> list[_Entry]:
        self._enqueue(now - self._every / 2)
        queue = self._queue
        found: list[_Entry] = []
        while queue and queue[0][0] <= now and len(found) < SLICE_MAX:
            _, number, entry = queue[0]
            if entry.stream is None:
                heapq.heappop(queue)
                continue
            heapq.heapreplace(queue, (now + self._every * random.uniform(1 - JITTER, 1), number, entry))
            found.append(entry)
        return found

    async def _tidy(self) -> None:
        await self._outbox.flush()
        with suppress(RedisUnavailable):
            # A write, which a primary that became a replica refuses: so an idle process, too, learns of a failover
            # while its finals are still kept for repetition.
            await self._link.ping()

    async def _renew(self, entries: list[_Entry]) -> None:
        sent: list[tuple[_Entry, Grant, UsageReading, asyncio.Future[Any]]] = []
        for entry in entries:
            stream = entry.stream
            if stream is None:  # slices are awaited one after another; it has ended meanwhile
                continue
            grant = stream.grant
            try:
                checkpoint = stream.checkpoint()
            except Exception:  # one stream's trouble must not keep the others from being renewed
                log.exception("checkpoint failed", request_id=grant.request_id)
                continue
            try:
                sent.append((entry, grant, checkpoint, self._outbox.renew(grant, checkpoint)))
            except RedisUnavailable:
                self._outbox.keep(grant, checkpoint)
        for entry, grant, checkpoint, response in sent:
            try:
                verdict = self._outbox.renewed(grant, checkpoint, await response)
            except RedisUnavailable:
                if entry.stream is not None:
                    self._outbox.keep(grant, checkpoint)
            except RedisError:
                log.exception("renewal refused by redis", request_id=grant.request_id)
            else:
                self._judge(entry, verdict)

    def _judge(self, entry: _Entry, verdict: Verdict) -> None:
        stream = entry.stream
        if not verdict.refused or entry.refused or stream is None:
            return
        entry.refused = True
        VERDICTS.labels(verdict.value).inc()
        try:
            stream.on_refused(verdict)
        except Exception:
            log.exception("refusal not delivered to its stream", request_id=stream.grant.request_id)
