"""The faults that a game day stages in a onebox, each with the alerts that it has to raise."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio as redis
from aiohttp import ClientSession, WSServerHandshakeError

from aldea import sqs
from aldea.ids import new_request_id
from aldea.redis.schema import USAGE_FIELD, USAGE_STREAM
from aldea.settings import read
from aldea.sqs_settings import SqsSettings
from aldea.tasks import cancel, spawn
from aldea.usage.reading import Rank
from onebox import stores
from onebox.process import Process
from sqs_updater.consumer import MAX_FAILURE_RUN
from tests.e2e.box import Box
from tests.readings import reading
from tests.support.queue_relay import QueueRelay

# The STT server's. 19 of 20 are more than nine tenths.
PLACES: Final = 20
# A fault is held until its alerts were seen, and then its end is awaited.
DEADLINE: Final = 270.0
# More than any threshold of an age.
OLD_SECONDS: Final = 400
# More than any threshold of words, and of half of all streams.
LATE_SECONDS: Final = 12.0
_PCM: Final = "encoding=linear16&sample_rate=16000"
_SOUND: Final = b"\1\0" * 3200


@dataclass
class Day:
    """A onebox that is observed, its only STT server, and what is between it and its queue."""

    box: Box
    stt: Process
    queue: QueueRelay
    endpoint: str
    http: ClientSession

    async def firing(self) -> set[str]:
        """The alerts that fire now, as Prometheus says."""
        port = self.box.state["ports"]["prometheus"]
        async with self.http.get(f"http://127.0.0.1:{port}/api/v1/alerts") as response:
            found = (await response.json())["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}

    async def until(self, reached: Callable[[set[str]], bool], what: str) -> None:
        """Wait until what fires is as it should be."""
        began = time.monotonic()
        while not reached(firing := await self.firing()):
            assert time.monotonic() - began < DEADLINE, f"{what}; firing: {sorted(firing)}"
            await asyncio.sleep(0.2)

    async def until_raised(self, alerts: frozenset[str]) -> None:
        """Wait until each of them has fired."""
        seen: set[str] = set()

        def all_of_them(firing: set[str]) -> bool:
            seen.update(firing)
            return alerts <= seen

        await self.until(all_of_them, f"never fired: one of {sorted(alerts)}")

    async def until_quiet(self, alerts: frozenset[str]) -> None:
        """Wait until none of them fires."""
        await self.until(lambda firing: not alerts & firing, f"still one of {sorted(alerts)}")

    def stream(self, query: str = "") -> Any:
        """Open a stream."""
        headers = {"Authorization": f"Token {self.box.key}"}
        return self.http.ws_connect(f"{self.box.ws}/v1/listen?{_PCM}{query}", headers=headers, max_msg_size=0)

    async def served(self) -> None:
        """A stream with words, to its end."""
        async with self.stream() as socket:
            await socket.send_bytes(_SOUND)
            await socket.send_str('{"type":"CloseStream"}')
            async for _ in socket:
                pass
            assert socket.close_code == 1000

    async def until_served(self) -> None:
        """Wait until a stream is served: nothing is left of a fault that a customer would see."""
        began = time.monotonic()
        while True:
            try:
                await self.served()
            except (WSServerHandshakeError, AssertionError, OSError):
                assert time.monotonic() - began < DEADLINE, "no stream is served"
                await asyncio.sleep(0.2)
            else:
                return

    @asynccontextmanager
    async def paused(self, service: str) -> AsyncIterator[None]:
        """A process that hangs: it neither runs nor ends."""
        pid = self.box.state["pids"][service]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def redis(self) -> "redis.Redis":
        """The onebox's Redis, as its administrator."""
        secret = (self.box.data / "redis.secret").read_text().strip()
        return redis.Redis.from_url(
            stores.redis_url(self.box.state["ports"]["redis"], secret), decode_responses=True, socket_timeout=60
        )


@asynccontextmanager
async def meanwhile(step: Callable[[], Awaitable[None]], pause: float = 0.2) -> AsyncIterator[None]:
    """`step` again and again."""

    async def repeat() -> None:
        while True:
            await step()
            await asyncio.sleep(pause)

    repeating = spawn(repeat(), name="meanwhile")
    try:
        yield
        assert not repeating.done(), "what was to go on has ended; its error is in the log"
    finally:
        await cancel(repeating)


@asynccontextmanager
async def no_stt_server(day: Day) -> AsyncIterator[None]:
    """Every STT server was killed."""

    async def refused() -> None:
        with suppress(WSServerHandshakeError):
            await day.served()

    day.stt.kill()
    try:
        async with meanwhile(refused):
            yield
    finally:
        day.stt.start()


@asynccontextmanager
async def streams_lost(day: Day) -> AsyncIterator[None]:
    """The STT server drops every stream that it is given, and there is no other."""

    async def lost() -> None:
        with suppress(WSServerHandshakeError):
            async with day.stream("&fault=die") as socket:
                await socket.send_bytes(_SOUND)
                async for _ in socket:
                    pass

    async with meanwhile(lost):
        yield


@asynccontextmanager
async def late_words(day: Day) -> AsyncIterator[None]:
    """Words come long after their audio."""
    late: set[asyncio.Task[None]] = set()

    async def one() -> None:
        async with day.stream("&fault=mute") as socket:
            await socket.send_bytes(_SOUND)
            await asyncio.sleep(LATE_SECONDS)
            await socket.send_str('{"type":"Finalize"}')
            await socket.send_str('{"type":"CloseStream"}')
            async for _ in socket:
                pass

    async def begin() -> None:
        if len(late) < PLACES // 2:
            task = spawn(one(), name="late words")
            late.add(task)
            task.add_done_callback(late.discard)

    try:
        async with meanwhile(begin, 1.0):
            yield
    finally:
        await cancel(*late)


@asynccontextmanager
async def full(day: Day) -> AsyncIterator[None]:
    """All places are taken."""
    opened = []
    try:
        for _ in range(PLACES):
            opened.append(await day.stream())
            await opened[-1].send_bytes(_SOUND)
        yield
    finally:
        for socket in opened:
            await socket.close()


@asynccontextmanager
async def service_hangs(day: Day) -> AsyncIterator[None]:
    """A process neither runs nor ends."""
    async with day.paused("http_proxy"):
        yield


@asynccontextmanager
async def no_redis(day: Day) -> AsyncIterator[None]:
    """Redis does not respond."""
    async with day.paused("redis"):
        yield


@asynccontextmanager
async def readings_refused(day: Day) -> AsyncIterator[None]:
    """Something else has the name of the usage stream, so Redis refuses the final readings."""
    async with day.redis() as store:

        async def lost() -> None:
            async with day.stream() as socket:
                await socket.send_bytes(_SOUND)
                await socket.receive()
                while not await store.exists(USAGE_STREAM):  # the publisher makes it anew
                    await asyncio.sleep(0.05)
                await store.rename(USAGE_STREAM, "aside")
                await store.set(USAGE_STREAM, "no stream")
                await socket.send_str('{"type":"CloseStream"}')
                async for _ in socket:
                    pass
            await store.delete(USAGE_STREAM)
            await store.rename("aside", USAGE_STREAM)

        try:
            async with meanwhile(lost):
                yield
        finally:
            if await store.exists("aside"):
                await store.delete(USAGE_STREAM)
                await store.rename("aside", USAGE_STREAM)


class _OldReadings:
    """Readings in Redis that were written long ago: what a publisher leaves there that has stopped."""

    def __init__(self, store: "redis.Redis") -> None:
        self._store = store
        self._at_ms = round(time.time() * 1000) - OLD_SECONDS * 1000

    async def begin(self) -> None:
        """Once everything newer has been published: entries of a stream are in the order of their times."""
        began = time.monotonic()
        while await self._store.exists(USAGE_STREAM) and await self._store.xlen(USAGE_STREAM):
            assert time.monotonic() - began < DEADLINE, "readings are not published"
            await asyncio.sleep(0.05)
        await self._store.delete(USAGE_STREAM)

    async def write(self) -> None:
        """One."""
        self._at_ms += 1
        one = reading(request_id=new_request_id(), started_ms=self._at_ms, rank=Rank.FINAL, audio_ms=1000)
        await self._store.xadd(USAGE_STREAM, {USAGE_FIELD: one.to_json()}, id=f"{self._at_ms}-0")


@asynccontextmanager
async def no_queue(day: Day) -> AsyncIterator[None]:
    """SQS takes nothing, and the readings have waited in Redis for minutes."""
    async with day.redis() as store:
        old = _OldReadings(store)
        await old.begin()
        day.queue.unavailable = True
        try:
            await old.write()
            yield
        finally:
            day.queue.unavailable = False


@asynccontextmanager
async def rows_late(day: Day) -> AsyncIterator[None]:
    """Readings come to their rows minutes after they were written."""
    async with day.redis() as store:
        old = _OldReadings(store)
        await old.begin()
        async with meanwhile(old.write):
            yield


@asynccontextmanager
async def queue_old(day: Day) -> AsyncIterator[None]:
    """The messages in the queue have waited for minutes."""
    day.queue.older_seconds = OLD_SECONDS
    try:
        async with meanwhile(day.served):
            yield
    finally:
        day.queue.older_seconds = 0


@asynccontextmanager
async def unreadable(day: Day) -> AsyncIterator[None]:
    """A release writes readings that the worker cannot read."""
    urls = [stores.queue_url(0, name).rpartition("/")[2] for name in (stores.USAGE_QUEUE, stores.USAGE_DLQ)]
    usage_url, dead_url = (f"{day.endpoint}/{stores.SQS_ACCOUNT}/{name}" for name in urls)
    settings = read(
        SqsSettings, port=0, sqs_endpoint_url=day.endpoint, usage_queue_url=usage_url, usage_dlq_url=dead_url
    )
    async with sqs.connect(settings) as client:
        try:
            for _ in range(MAX_FAILURE_RUN // sqs.MAX_ENTRIES + 2):
                assert not await sqs.Queue(client, usage_url).send([f"{{{number}" for number in range(sqs.MAX_ENTRIES)])
            yield
        finally:
            for url in (usage_url, dead_url):
                await client.purge_queue(QueueUrl=url)
    await day.served()  # the first good reading ends the halt


@dataclass(frozen=True)
class Fault:
    """What is staged, and which alerts it is to raise."""

    stage: Callable[[Day], AbstractAsyncContextManager[None]]
    alerts: frozenset[str]

    @property
    def name(self) -> str:
        return self.stage.__name__.replace("_", "-")


FAULTS: Final = (
    Fault(
        no_stt_server, frozenset({"AldeaBudgetFastHandshakes", "AldeaBudgetSlowHandshakes", "AldeaCircuitOpen"})
    ),
    Fault(streams_lost, frozenset({"AldeaFailoversFailed"})),
    Fault(
        late_words,
        frozenset(
            {
                "AldeaBudgetFastFirstWords", "AldeaBudgetSlowFirstWords", "AldeaBudgetFastFinalLag",
                "AldeaBudgetSlowFinalLag", "AldeaLateWords",
            }
        ),
    ),
    Fault(full, frozenset({"AldeaPlacesShort"})),
    Fault(service_hangs, frozenset({"AldeaServiceDown"})),
    Fault(no_redis, frozenset({"AldeaRedisUnavailable"})),
    Fault(readings_refused, frozenset({"AldeaReadingsDropped"})),
    Fault(no_queue, frozenset({"AldeaUsageAge"})),
    Fault(rows_late, frozenset({"AldeaBudgetFastUsageLag", "AldeaBudgetSlowUsageLag"})),
    Fault(queue_old, frozenset({"AldeaUsageQueueAge"})),
    Fault(unreadable, frozenset({"AldeaUsageHalted", "AldeaDeadLetters"})),
)  # fmt: skip
