"""Readings for Redis: kept while it is unavailable, coalesced per request, finals repeated after a failover.

A reading is a snapshot, so of each request only the greatest has to be kept. Memory is bounded; when a bound is
reached the readings that matter least go first, each counted and logged: checkpoints, which the next one or the final
replaces anyway, before finals, of which no other copy exists.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import structlog
from prometheus_client import Counter, Gauge

from aldea.admission import scripts
from aldea.admission.grant import Application, Grant, Verdict
from aldea.metrics import from_zero
from aldea.redis.errors import RedisError, RedisUnavailable
from aldea.redis.link import MAX_FLUSH, RedisLink
from aldea.tasks import cancel, spawn
from aldea.tracing.spans import Kind, redis_call, traced, until
from aldea.usage.reading import Rank, UsageReading

log = structlog.get_logger("aldea.admission")

T = TypeVar("T")

# Readings waiting in one process, about 1.5 KB each: an hour of Redis' absence at five ended requests a second.
MAX_WAITING: Final = 20_000
# Replication is asynchronous: what was written in the last moments before a failover may be lost. Finals are kept for
# this long after they were written, and written again whenever the connection was disturbed.
REPEAT_SECONDS: Final = 60.0
# Finals kept for repetition: 60 s at 300 ended requests a second, more than one process serves.
MAX_REPEATABLE: Final = 20_000
# Admissions of unknown outcome to be taken back. Their leases lapse by themselves; only the opening reading stays.
MAX_ABANDONED: Final = 5_000
# A process that stops gives Redis this long to come back and take the finals that still wait: longer than a restart of
# Redis, and within the ten seconds that are left to a task between the end of its drain and its SIGKILL.
CLOSE_SECONDS: Final = 8.0
CLOSE_RETRY_SECONDS: Final = 0.1
# Losses are counted each, and logged at most this often.
LOG_SECONDS: Final = 10.0

READINGS_WAITING: Final = Gauge("aldea_readings_waiting", "Usage readings that wait in memory for Redis")
READINGS_DROPPED: Final = from_zero(
    Counter("aldea_readings_dropped_total", "Usage readings given up, by what they were", ["kind"]),
    "checkpoint",
    "final",
    "abandoned",
    "repeatable",
    "refused",
)
LEASE_LOSSES: Final = Counter("aldea_lease_losses_total", "Leases that Redis had lost and a renewal re-created")

_FINISH_CALL: Final = redis_call("finish")
_RENEW_CALL: Final = redis_call("renew")


class _Waiting(NamedTuple):
    grant: Grant
    reading: UsageReading


class _Written(NamedTuple):
    until: float
    grant: Grant
    reading: UsageReading


class Outbox:
    """The readings of this process that Redis has not confirmed, and the finals that it confirmed lately."""

    def __init__(
        self,
        link: RedisLink,
        *,
        lease_ttl_ms: int,
        max_waiting: int = MAX_WAITING,
        max_repeatable: int = MAX_REPEATABLE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._lease_ttl_ms = lease_ttl_ms
        self._max_waiting = max_waiting
        self._max_repeatable = max_repeatable
        self._clock = clock
        self._finals: OrderedDict[str, _Waiting] = OrderedDict()
        self._checkpoints: OrderedDict[str, _Waiting] = OrderedDict()
        self._abandoned: OrderedDict[str, tuple[Application, int]] = OrderedDict()
        self._repeatable: OrderedDict[str, _Written] = OrderedDict()
        self._repeat_due = False
        # The audio total of each running request that Redis confirmed last; see meter.lua for what it is good for.
        self._acknowledged: dict[str, int] = {}
        # Requests admitted from memory that Redis does not know yet.
        self.offline: set[str] = set()
        self._flusher: asyncio.Task[None] | None = None
        self._flush_again = False
        self._unlogged: dict[str, int] = {}
        self._logged_at: dict[str, float] = {}
        self._on_verdict: Callable[[Grant, Verdict], None] = _not_noted
        link.on_reconnect(self._reconnected)
        # Counted when somebody looks, since it changes twice with each request.
        finals, checkpoints = self._finals, self._checkpoints
        READINGS_WAITING.set_function(lambda: len(finals) + len(checkpoints))

    @property
    def waiting(self) -> int:
        """How many readings wait for Redis."""
        return len(self._finals) + len(self._checkpoints)

    def on_verdict(self, callback: Callable[[Grant, Verdict], None]) -> None:
        """Call `callback` with what each renewal finds, those of the requests whose checkpoints had waited included."""
        self._on_verdict = callback

    async def aclose(self) -> None:
        """Write what waits, and wait for Redis if finals do. What is left then goes into the log, whole."""
        await cancel(self._flusher)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.flush()
                while self._finals:
                    await asyncio.sleep(CLOSE_RETRY_SECONDS)
                    await self.flush()
        except TimeoutError:
            pass
        for _, reading in self._finals.values():
            self._lost(reading)

    # What comes in.

    async def finish(self, grant: Grant, final: UsageReading) -> None:
        """Release the lease and write the final reading, now or when Redis is back. Never raises for Redis' sake."""
        self.keep(grant, final)  # before the first await: a caller that is cancelled loses nothing
        try:
            with traced(grant.trace, "finish", Kind.CLIENT, _FINISH_CALL):
                await self._link.submit(*scripts.finish(grant, final, self._acknowledged.get(grant.request_id, 0)))
        except RedisUnavailable:
            return
        except RedisError as error:
            self._refused(grant, final, error)
        else:
            self._finished(grant, final)

    def renew(self, grant: Grant, checkpoint: UsageReading) -> "asyncio.Future[Any]":
        """Send a renewal with its checkpoint; give its response to `renewed`. Raises RedisUnavailable at once."""
        acknowledged = self._acknowledged.get(grant.request_id, 0)
        response = self._link.submit(*scripts.renew(grant, checkpoint, acknowledged, self._lease_ttl_ms))
        if grant.trace is not None:
            until(grant.trace, response, "checkpoint", Kind.CLIENT, _RENEW_CALL)
        return response

    def renewed(self, grant: Grant, checkpoint: UsageReading, response: Sequence[object]) -> Verdict:
        """Note Redis' response to a renewal."""
        verdict = Verdict(response[0])
        self._on_verdict(grant, verdict)
        if verdict is Verdict.ENDED:
            return verdict
        grant.counted = str(response[2])
        if response[1] and grant.request_id not in self.offline:
            LEASE_LOSSES.inc()
        self.offline.discard(grant.request_id)
        # Of a request that has ended meanwhile nothing is counted any more.
        if checkpoint.audio_ms and grant.request_id not in self._repeatable:
            self._acknowledged[grant.request_id] = checkpoint.audio_ms
        waiting = self._checkpoints.get(grant.request_id)
        if waiting is not None and waiting.reading.order <= checkpoint.order:
            del self._checkpoints[grant.request_id]
        return verdict

    def keep(self, grant: Grant, reading: UsageReading) -> None:
        """Keep a reading until Redis has it. Of each request only the greatest is kept."""
        request_id = grant.request_id
        if reading.rank is Rank.FINAL:
            self._checkpoints.pop(request_id, None)
            self._finals[request_id] = _Waiting(grant, reading)
        elif request_id not in self._finals:
            before = self._checkpoints.get(request_id)
            if before is None or before.reading.order < reading.order:
                self._checkpoints[request_id] = _Waiting(grant, reading)
        while self.waiting > self._max_waiting:
            if self._checkpoints:
                self._checkpoints.popitem(last=False)
                self._dropped("checkpoint")
            else:
                _, oldest = self._finals.popitem(last=False)
                self._lost(oldest.reading)

    def abandon(self, request: Application, status: int) -> None:
        """Take back an admission of unknown outcome; the client got `status` instead."""
        self._abandoned[request.request_id] = (request, status)
        if len(self._abandoned) > MAX_ABANDONED:
            self._abandoned.popitem(last=False)
            self._dropped("abandoned")
        if self._link.available:
            self._start_flush()

    # What goes out.

    async def flush(self) -> None:
        """Send everything that waits, until done or until Redis is unavailable. Finals first."""
        try:
            await self._send_finals()
            await self._send_checkpoints()
            await self._send_abandoned()
            if self._repeat_due:
                await self._repeat_finals()
        except RedisUnavailable:
            return
        finally:
            self._forget_old()

    async def _send_finals(self) -> None:
        for chunk in _chunks(list(self._finals.values())):
            responses = []
            for grant, reading in chunk:
                acknowledged = self._acknowledged.get(grant.request_id, 0)
                responses.append(self._link.submit(*scripts.finish(grant, reading, acknowledged)))
            for (grant, reading), outcome in zip(chunk, await _outcomes(responses), strict=True):
                if isinstance(outcome, RedisError):
                    self._refused(grant, reading, outcome)
                else:
                    self._finished(grant, reading)

    async def _send_checkpoints(self) -> None:
        for chunk in _chunks(list(self._checkpoints.values())):
            responses = [self.renew(grant, reading) for grant, reading in chunk]
            for (grant, reading), outcome in zip(chunk, await _outcomes(responses), strict=True):
                if isinstance(outcome, RedisError):
                    self._refused(grant, reading, outcome)
                else:
                    self.renewed(grant, reading, outcome)

    async def _send_abandoned(self) -> None:
        for chunk in _chunks(list(self._abandoned.values())):
            responses = [self._link.submit(*scripts.abandon(request, status)) for request, status in chunk]
            await _outcomes(responses)
            for request, _ in chunk:
                self._abandoned.pop(request.request_id, None)

    async def _repeat_finals(self) -> None:
        self._repeat_due = False
        self._forget_old()
        repeated = list(self._repeatable.values())
        try:
            for chunk in _chunks(repeated):
                # Acknowledged as a whole: where Redis remembers nothing of it, the audio is in PostgreSQL's figure, or
                # will be as soon as this reading arrives there, and key_sync raises the count to that.
                calls = [scripts.finish(grant, reading, reading.audio_ms) for _, grant, reading in chunk]
                await _outcomes([self._link.submit(*call) for call in calls])
        except RedisUnavailable:
            self._repeat_due = True
            raise
        if repeated:
            log.info("final readings repeated", count=len(repeated))

    def _reconnected(self) -> None:
        self._repeat_due = True
        self._start_flush()

    def _start_flush(self) -> None:
        if self._flusher is not None and not self._flusher.done():
            self._flush_again = True
            return
        self._flusher = spawn(self._flush_in_background(), name="outbox-flush")

    async def _flush_in_background(self) -> None:
        self._flush_again = True
        while self._flush_again:
            self._flush_again = False
            await self.flush()

    # Bookkeeping.

    def _finished(self, grant: Grant, final: UsageReading) -> None:
        request_id = grant.request_id
        waiting = self._finals.get(request_id)
        if waiting is not None and (waiting.reading is final or waiting.reading.order <= final.order):
            del self._finals[request_id]
        self.offline.discard(request_id)
        self._acknowledged.pop(request_id, None)
        self._repeatable[request_id] = _Written(self._clock() + REPEAT_SECONDS, grant, final)
        self._repeatable.move_to_end(request_id)
        self._forget_old()

    def _refused(self, grant: Grant, reading: UsageReading, error: RedisError) -> None:
        # Redis says that the command itself is wrong, so it would be wrong again: the log is the reading's last place.
        log.error("reading refused by redis", error=str(error), reading=reading.to_json())
        waiting = self._finals if reading.rank is Rank.FINAL else self._checkpoints
        waiting.pop(grant.request_id, None)
        if reading.rank is Rank.FINAL:
            self.offline.discard(grant.request_id)
            self._acknowledged.pop(grant.request_id, None)
        READINGS_DROPPED.labels("refused").inc()

    def _forget_old(self) -> None:
        now = self._clock()
        while self._repeatable:
            request_id = next(iter(self._repeatable))
            if self._repeatable[request_id].until > now:
                if len(self._repeatable) <= self._max_repeatable:
                    return
                self._dropped("repeatable")
            del self._repeatable[request_id]

    def _lost(self, final: UsageReading) -> None:
        """Give a final reading up. The log is its last place; docs/reliability.md says how it gets to the bill."""
        self.offline.discard(final.request_id)
        self._acknowledged.pop(final.request_id, None)
        READINGS_DROPPED.labels("final").inc()
        log.error("final reading lost", request_id=final.request_id, reading=final.to_json())

    def _dropped(self, kind: str) -> None:
        READINGS_DROPPED.labels(kind).inc()
        self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
        now = self._clock()
        if now - self._logged_at.get(kind, float("-inf")) >= LOG_SECONDS:
            self._logged_at[kind] = now
            log.error("bound reached, readings dropped", kind=kind, count=self._unlogged.pop(kind))


def _chunks(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), MAX_FLUSH):
        yield items[start : start + MAX_FLUSH]


def _not_noted(_grant: Grant, _verdict: Verdict) -> None:
    pass


async def _outcomes(responses: "list[asyncio.Future[Any]]") -> list[Any]:
    """Each response or the RedisError in its place. Raises RedisUnavailable if any came to nothing."""
    outcomes: list[Any] = await asyncio.gather(*responses, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, RedisError):
            raise outcome
    return outcomes
