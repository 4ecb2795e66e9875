"""One Redis client per process: short deadlines, one retry where it helps, a circuit breaker, shared flushes.

`aldea.redis.circuit` decides when Redis is called, called again or no longer called. What is sent twice must not count
twice: a reset connection does not say whether the command was carried out. The scripts of `aldea.admission` are
idempotent per request; callers of `run` see to it themselves.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

import redis.asyncio as redis
from pydantic import Field, SecretStr
from redis import exceptions

from aldea.redis.circuit import REDIS_FAILURES, REDIS_SECONDS, Circuit
from aldea.redis.connection import Wire, pack
from aldea.redis.errors import RedisUnavailable, moved, not_now
from aldea.redis.pool import Pool
from aldea.settings import ServiceSettings
from aldea.standstill import SECOND_LOOK_SECONDS
from aldea.tasks import cancel, spawn

T = TypeVar("T")

# A command's deadline, connecting included. Redis responds in well under a millisecond; a caller that
# waits longer is better off on the path for "Redis is unavailable".
COMMAND_SECONDS: Final = 0.25
# While something is wrong, Redis is probed this often (jittered, so that the proxies of a fleet spread out).
PROBE_SECONDS: Final = 0.5
# So many scripts go out at once, though the loop's turn has not ended: Redis responds to a flush as a whole, so
# while it works on one of dozens, every request of this process waits and nothing is left to do.
EAGER_FLUSH: Final = 4
# Flushes on the way at a time; what comes meanwhile shares the next one.
MAX_FLUSHES: Final = 8
# Scripts in one flush: Redis is busy for some milliseconds with so many, and others wait for it.
MAX_FLUSH: Final = 128
# Scripts waiting for a flush. More than this is a Redis that cannot keep up: the call fails at once.
MAX_PENDING: Final = 4096
# The probe deletes this key, which never exists: like any write it is refused by a replica, and it changes nothing.
PROBE_KEY: Final = "aldea:probe"


class RedisSettings(ServiceSettings):
    """What a service that uses Redis reads."""

    redis_url: SecretStr = Field(description="redis://host:6379/0, or rediss:// for TLS")
    redis_command_seconds: float = Field(
        COMMAND_SECONDS,
        ge=0.01,
        le=2,
        description="a Redis that takes longer for a command counts as unavailable, 0.01 to 2",
    )


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest by which EVALSHA calls it."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # Redis names scripts by SHA-1; nothing is protected by it.
        object.__setattr__(self, "sha", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def load(cls, path: Path) -> "Script":
        """Read a script from its file."""
        return cls(path.read_text(encoding="utf-8"))


class _Call(NamedTuple):
    script: Script
    command: bytes
    response: "asyncio.Future[Any]"


class _Flight(NamedTuple):
    """A flush on its way: its calls, what it was written to, and when."""

    batch: list[_Call]
    wire: Wire
    started: float


class RedisLink:
    """The process's link to Redis. Use as an async context manager, or call `aclose` at the end."""

    def __init__(
        self,
        url: str,
        *,
        command_seconds: float = COMMAND_SECONDS,
        probe_seconds: float = PROBE_SECONDS,
        raw: bool = False,
    ) -> None:
        """`url`: `redis://` or, with TLS and a verified certificate, `rediss://`. Nothing is connected yet.

        `raw`: responses to the commands of `run` are bytes, as they come.
        """
        self._pool = Pool(url, command_seconds=command_seconds, raw=raw, disturbed=self._disturbed)
        self._command_seconds = command_seconds
        self._circuit = Circuit(
            probe=self._probe,
            reconnect=self._reconnect,
            opened=self._refuse_pending,
            exchange_seconds=command_seconds,
            probe_seconds=probe_seconds,
        )
        self._loop: asyncio.AbstractEventLoop | None = None  # the one it is used in; looking it up costs a system call
        self._pending: deque[_Call] = deque()
        self._flush_due = False
        self._flights: dict[asyncio.Future[list[Any]], _Flight] = {}  # the oldest first
        self._watch: asyncio.TimerHandle | None = None  # set for the deadline of one that was the oldest
        self._flushes: set[asyncio.Task[None]] = set()  # those that take more than one write and one response
        self._wire: Wire | None = None
        self._wiring = asyncio.Lock()
        self._wired = False  # ever before

    @classmethod
    def of(cls, settings: RedisSettings) -> Self:
        """A link with the settings of a service."""
        return cls(settings.redis_url.get_secret_value(), command_seconds=settings.redis_command_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; calls that still wait fail with RedisUnavailable."""
        await self._circuit.close()
        self._refuse_pending(RedisUnavailable("the link to Redis is closed", sent=False))
        if self._watch is not None:
            self._watch.cancel()
        for responses in self._flights:
            if not responses.done():
                responses.set_exception(exceptions.ConnectionError("the link to Redis is closed"))
        await cancel(*self._flushes)
        if self._wire is not None:
            await self._wire.close()
        await self._pool.close()

    @property
    def available(self) -> bool:
        """Whether the circuit is closed. False: calls fail at once, until a probe finds Redis usable again."""
        return not self._circuit.open

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time that Redis is usable again after any disturbance.

        A disturbance is a failure, a reset connection or a change of primary: what was written just before it may be
        lost, since replication is asynchronous.
        """
        self._circuit.on_reconnect(callback)

    async def ping(self) -> None:
        """Raise RedisUnavailable unless Redis takes writes: a replica or a loading server is not usable."""
        self._circuit.refuse_if_open()
        await self._circuit.with_retry(lambda: self._circuit.deadline(self._probe()))

    async def run(self, command: Callable[["redis.Redis"], Awaitable[T]]) -> T:
        """Await `command(client)` by the rules above; it may be called twice. Raises RedisUnavailable.

        It may use one connection at a time. Errors that are about the command itself (a wrong type, a wrong argument)
        pass through.
        """
        self._circuit.refuse_if_open()
        async with self._pool.turn() as client:
            # The circuit may have opened while this call waited for its turn.
            self._circuit.refuse_if_open()
            return await self._circuit.with_retry(lambda: self._circuit.deadline(command(client)))

    async def call(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run `script` and return its response. Raises RedisUnavailable."""
        return await self.submit(script, keys, args)

    def submit(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> "asyncio.Future[Any]":
        """The same as `call`, as a future: for callers that send many at a time, or one per request.

        Calls of one turn of the loop share a flush. Raises RedisUnavailable at once.
        """
        self._circuit.refuse_if_open()
        if len(self._pending) >= MAX_PENDING:
            REDIS_FAILURES.labels("queue full").inc()
            raise RedisUnavailable(f"{MAX_PENDING} scripts wait for Redis already", sent=False)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        response: asyncio.Future[Any] = self._loop.create_future()
        self._pending.append(_Call(script, pack(("EVALSHA", script.sha, len(keys), *keys, *args)), response))
        if len(self._pending) >= EAGER_FLUSH and self._wire is not None and self._wire.usable:
            self._flush()
        elif not self._flush_due:
            self._schedule_flush()
        return response

    # Flushing: scripts wait for the end of the loop's turn or until they are enough, then go out together.

    def _schedule_flush(self) -> None:
        if not self._flush_due and self._pending and self._may_flush() and self._loop is not None:
            self._flush_due = True
            self._loop.call_soon(self._flush_when_due)

    def _may_flush(self) -> bool:
        return len(self._flights) + len(self._flushes) < MAX_FLUSHES

    def _flush_when_due(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        if self._circuit.closed or not self._pending or not self._may_flush():
            return
        batch = [self._pending.popleft() for _ in range(min(MAX_FLUSH, len(self._pending)))]
        wire = self._wire
        if wire is None or not wire.usable or self._loop is None:
            self._send_apart(batch)
        else:
            # Nearly always one write and one response: a task and its deadline would cost more than the scripts in it.
            responses = wire.exchange(b"".join([call.command for call in batch]), len(batch))
            self._flights[responses] = _Flight(batch, wire, time.perf_counter())
            responses.add_done_callback(self._landed)
            if self._watch is None:
                self._watch = self._loop.call_later(self._command_seconds, self._look_again)
        self._schedule_flush()

    def _landed(self, responses: "asyncio.Future[list[Any]]") -> None:
        batch, _, started = self._flights.pop(responses)
        REDIS_SECONDS.observe(time.perf_counter() - started)
        if responses.exception() is not None or any(map(_is_error, responses.result())):
            self._send_apart(batch, responses)
            return
        for call, response in zip(batch, responses.result(), strict=True):
            if not call.response.done():
                call.response.set_result(response)
        self._circuit.succeeded()
        self._schedule_flush()

    def _look_again(self) -> None:
        if self._loop is not None:
            self._watch = self._loop.call_later(SECOND_LOOK_SECONDS, self._give_up_overdue)

    def _give_up_overdue(self) -> None:
        """End the flushes that are overdue, and look again when the oldest of the others would be."""
        self._watch = None
        for responses, (_, wire, started) in self._flights.items():
            left = started + self._command_seconds - time.perf_counter()
            if left > 0 and self._loop is not None:
                self._watch = self._loop.call_later(left, self._look_again)
                return
            if not responses.done():
                responses.set_exception(TimeoutError())
                wire.retire()  # the next call is better off on a connection where nothing is stuck

    def _send_apart(self, batch: list[_Call], landed: "asyncio.Future[list[Any]] | None" = None) -> None:
        """Send what needs more than one write: no connection yet, or what `landed` is a failure or has one in it."""
        if self._circuit.closed:
            _reject(batch, RedisUnavailable("the link to Redis is closed"))
            return
        task = spawn(self._send(batch, landed), name="redis-flush")
        self._flushes.add(task)
        task.add_done_callback(self._flushed)

    def _flushed(self, task: "asyncio.Task[None]") -> None:
        self._flushes.discard(task)
        if not self._circuit.closed:
            self._schedule_flush()

    async def _send(self, batch: list[_Call], landed: "asyncio.Future[list[Any]] | None") -> None:
        outcomes = [landed] if landed is not None else []
        try:
            responses = await self._circuit.with_retry(
                lambda: self._exchange(batch, outcomes.pop() if outcomes else None)
            )
        except RedisUnavailable as error:
            _reject(batch, error)
        except BaseException as error:
            _reject(batch, RedisUnavailable(f"the exchange broke off: {type(error).__name__}"))
            raise
        else:
            for call, response in zip(batch, responses, strict=True):
                if not call.response.done():
                    if isinstance(response, Exception):
                        call.response.set_exception(response)
                    else:
                        call.response.set_result(response)

    async def _exchange(self, batch: list[_Call], landed: "asyncio.Future[list[Any]] | None") -> list[Any]:
        """The batch's responses; `landed`: how it went already, if it was sent."""
        if landed is not None:
            responses = landed.result()
        else:
            responses = await self._circuit.deadline(self._over_wire([call.command for call in batch]))
        unknown = [n for n, response in enumerate(responses) if isinstance(response, exceptions.NoScriptError)]
        if unknown:
            # A restarted or flushed Redis has forgotten the scripts; nothing of these calls was carried out.
            scripts = {batch[n].script for n in unknown}
            load = [pack(("SCRIPT", "LOAD", script.source)) for script in scripts]
            again = await self._circuit.deadline(self._over_wire([*load, *(batch[n].command for n in unknown)]))
            for n, response in zip(unknown, again[len(load) :], strict=True):
                responses[n] = response
        for response in responses:
            # One such response: the server as a whole cannot serve. Calls that it did carry out are idempotent.
            # What is no ResponseError is about the connection, as that it has to authenticate again.
            if isinstance(response, exceptions.RedisError) and (
                moved(response) or not_now(response) or not isinstance(response, exceptions.ResponseError)
            ):
                raise response
        return responses

    async def _over_wire(self, commands: list[bytes]) -> list[Any]:
        wire = self._wire
        if wire is None or not wire.usable:
            wire = await self._connect_wire()
        try:
            return await wire.exchange(b"".join(commands), len(commands))
        except asyncio.CancelledError:
            # Most often its deadline: the next call is better off on a connection where nothing is stuck.
            wire.retire()
            raise

    async def _connect_wire(self) -> Wire:
        async with self._wiring:
            if self._wire is None or not self._wire.usable:
                wire = await Wire.open(self._pool.make_connection())
                # The one before it was lost, whatever had been written last over it.
                if self._wired:
                    self._circuit.disturbed()
                self._wire, self._wired = wire, True
            return self._wire

    # What the circuit calls.

    async def _probe(self) -> None:
        # Over the wire: however busy the other connections are, that says nothing about Redis.
        [response] = await self._over_wire([pack(("DEL", PROBE_KEY))])
        if isinstance(response, Exception):
            raise response

    async def _reconnect(self) -> None:
        await self._pool.leave()
        if self._wire is not None:
            self._wire.retire()

    def _disturbed(self) -> None:
        self._circuit.disturbed()

    def _refuse_pending(self, error: RedisUnavailable) -> None:
        _reject(list(self._pending), error)
        self._pending.clear()


def _is_error(response: Any) -> bool:
    return isinstance(response, Exception)


def _reject(batch: Sequence[_Call], error: RedisUnavailable) -> None:
    for call in batch:
        if not call.response.done():
            call.response.set_exception(error)
