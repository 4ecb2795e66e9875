"""Whether Redis can be called now: the deadline of an exchange, its one retry, and the circuit that failures open.

The library's own defaults would wait ten times 5 s for a Redis that is unavailable. Here an exchange has 250 ms; it is
made again once if the connection was reset or the server turned out to be a replica (a failover), after reconnecting;
three failures in a row open the circuit, and from then on calls fail at once until a probe finds Redis usable again.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from prometheus_client import Counter, Gauge, Histogram
from redis import exceptions

from aldea.redis.errors import RedisUnavailable, moved, not_now
from aldea.tasks import Deadline, cancel, spawn

log = structlog.get_logger("aldea.redis")

T = TypeVar("T")

# Consecutive failures that open the circuit.
FAILURES_TO_OPEN: Final = 3

REDIS_SECONDS: Final = Histogram(
    "aldea_redis_seconds",
    "Time of one exchange with Redis",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
)
REDIS_FAILURES: Final = Counter("aldea_redis_failures_total", "Calls to Redis that failed", ["kind"])
REDIS_AVAILABLE: Final = Gauge("aldea_redis_available", "1 while the circuit to Redis is closed")


class Circuit:
    """One process's circuit to its Redis."""

    def __init__(
        self,
        *,
        probe: Callable[[], Awaitable[object]],
        reconnect: Callable[[], Awaitable[None]],
        opened: Callable[[RedisUnavailable], None],
        exchange_seconds: float,
        probe_seconds: float,
    ) -> None:
        """`exchange_seconds`: an exchange's deadline, connecting included. `probe_seconds`: between two probes.

        `probe` calls what only a Redis server that takes writes can do. `reconnect` leaves the connections that
        nobody uses. `opened` gets the error for the calls that still wait to be sent when the circuit opens.
        """
        self._probe_once = probe
        self._reconnect = reconnect
        self._opened = opened
        self._exchange_seconds = exchange_seconds
        self._probe_seconds = probe_seconds
        self._failures = 0
        self._disturbed = False
        self._callbacks: list[Callable[[], None]] = []
        self._prober: asyncio.Task[None] | None = None
        self.closed = False
        self.open = False
        REDIS_AVAILABLE.set(1)

    async def close(self) -> None:
        """Refuse from now on; probe no more."""
        self.closed = True
        await cancel(self._prober)

    def refuse_if_open(self) -> None:
        """Raise RedisUnavailable if there is no point in calling Redis."""
        if self.closed:
            raise RedisUnavailable("the link to Redis is closed", sent=False)
        if self.open:
            raise self._refusal()

    def _refusal(self) -> RedisUnavailable:
        return RedisUnavailable("Redis did not respond lately; it is being probed", sent=False)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time that Redis is usable again after any disturbance."""
        self._callbacks.append(callback)

    def disturbed(self) -> None:
        """A connection was lost, or led to another server: what was written just before it may be lost."""
        self._disturbed = True

    async def deadline(self, exchange: Awaitable[T]) -> T:
        """Await `exchange` for as long as one may take. Raises TimeoutError."""
        started = time.perf_counter()
        try:
            with Deadline(self._exchange_seconds):
                return await exchange
        finally:
            REDIS_SECONDS.observe(time.perf_counter() - started)

    async def with_retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Await `attempt()`, once more if its connection was of no use. Raises RedisUnavailable.

        Errors that are about the command itself pass through.
        """
        try:
            response = await self._attempt(attempt)
        except _Reset as reset:
            # The old primary may still hold connections after a failover: only fresh ones follow the name.
            self._disturbed = True
            log.warning("redis connection reset, trying once more", error=str(reset))
            await self._reconnect()
            try:
                response = await self._attempt(attempt)
            except _Reset as error:
                self._failed("reset", error)
                raise RedisUnavailable(str(error)) from error
        self.succeeded()
        return response

    async def _attempt(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempt()
        except (TimeoutError, exceptions.TimeoutError) as error:
            # It may have been carried out and waited long enough: no second try.
            self._failed("timeout", error)
            raise RedisUnavailable(f"no response within {self._exchange_seconds * 1000:.0f} ms") from error
        except exceptions.DataError:
            raise
        except (exceptions.RedisError, OSError) as error:
            if not_now(error):
                self._failed("not now", error)
                raise RedisUnavailable(str(error)) from error
            if moved(error) or not isinstance(error, exceptions.ResponseError):
                raise _Reset(f"{type(error).__name__}: {error}") from error
            self.succeeded()
            raise

    def succeeded(self) -> None:
        """Redis has responded and can serve."""
        self._failures = 0
        if self.open:
            self.open = False
            REDIS_AVAILABLE.set(1)
            log.info("redis is available again")
        if self._disturbed:
            self._disturbed = False
            for callback in self._callbacks:
                callback()

    def _failed(self, kind: str, error: BaseException) -> None:
        self._failures += 1
        self._disturbed = True
        REDIS_FAILURES.labels(kind).inc()
        if self._failures >= FAILURES_TO_OPEN and not self.open:
            self.open = True
            REDIS_AVAILABLE.set(0)
            log.error("redis is unavailable", kind=kind, error=f"{type(error).__name__}: {error}")
            self._opened(self._refusal())
        if not self.closed and (self._prober is None or self._prober.done()):
            self._prober = spawn(self._probe(), name="redis-probe")

    async def _probe(self) -> None:
        """The half-open state: one probe at a time until one succeeds; no customer's request is used as a probe."""
        while self._disturbed:
            await asyncio.sleep(self._probe_seconds * random.uniform(0.5, 1.5))
            # A primary that fell silent still holds the connections that nobody has used since.
            await self._reconnect()
            try:
                await self.with_retry(lambda: self.deadline(self._probe_once()))
            except RedisUnavailable:
                continue


class _Reset(Exception):
    """The connection is of no use: reset, refused, or to a server that takes no writes."""
