"""Carries usage readings from the Redis stream to the queue: an entry leaves the stream only once SQS has it.

Several publishers share one consumer group. Whatever one leaves behind (killed, cut off) another claims; sending a
reading twice changes nothing, so every doubt is settled by sending.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from aldea.redis.errors import RedisError, RedisUnavailable, ResponseError
from aldea.sqs import Queue, SqsUnavailable, call_ranges
from aldea.tasks import cancel, spawn
from aldea.tracing import spans as tracing
from aldea.tracing.spans import Kind
from aldea.turns import in_turns
from aldea.usage.envelope import Rejected, dead_letter
from backend.pipeline import metrics
from backend.pipeline.packing import Batch, Coalescer, Entry, calls, pack, split, traces
from backend.pipeline.stream import UsageStream

log = structlog.get_logger("backend.pipeline.publisher")

# Entries of a batch at most: some 2 MB of readings, thirty messages, three calls.
MAX_ENTRIES: Final = 4000
# After the first entries the publisher waits for more, to make fewer and fuller calls. At 1,000 readings a second this
# makes four requests to SQS of 1,000 readings, and a row is stored within a second of its reading.
LINGER_SECONDS: Final = 0.8
# Pauses after a failure, doubled from the first to the last.
FIRST_PAUSE_SECONDS: Final = 0.1
LAST_PAUSE_SECONDS: Final = 5.0
# The time that `stop` gives the publisher to finish its batch.
STOP_SECONDS: Final = 5.0
# How often the stream's length and age are shown.
MEASURE_SECONDS: Final = 5.0
# Calls to SQS under way at a time.
MAX_CALLS: Final = 4
# The one error of SQS that is about the body itself, so that no retry helps.
_UNSENDABLE: Final = "InvalidMessageContents"

_SENT: Final = {"messaging.system": "aws_sqs", "messaging.operation.type": "send", "messaging.operation.name": "send"}


class Publisher:
    """One consumer of the usage stream. `start` and `stop` are what an application calls."""

    def __init__(
        self,
        stream: UsageStream,
        usage: Queue,
        dead_letters: Queue,
        *,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._stream = stream
        self._usage = usage
        self._dead_letters = dead_letters
        self._linger = linger_seconds
        # Read while the previous batch is being sent: never more than one, so memory holds two batches at most.
        self._ahead: list[Entry] = []
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._slots = asyncio.Semaphore(MAX_CALLS)

    def start(self) -> None:
        """Publish in the background until `stop`."""
        self._tasks = [spawn(self.run(), name="publisher"), spawn(self._watch(), name="usage-stream")]

    async def stop(self) -> None:
        """Finish the current batch, within STOP_SECONDS; what is left then is claimed by another publisher."""
        self._stopping.set()
        if self._tasks:
            self._tasks.append(spawn(self._wake(), name="publisher-wake"))
            await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        await cancel(*self._tasks)

    async def _wake(self) -> None:
        # Nothing waits for an entry while Redis is unavailable.
        with suppress(RedisUnavailable, RedisError):
            await self._stream.wake()

    async def run(self) -> None:
        """Publish until `stop`. Raises only when cancelled. A failure after `stop` ends it at once."""
        pause = FIRST_PAUSE_SECONDS
        while self._ahead or not self._stopping.is_set():
            try:
                await self.step()
                pause = FIRST_PAUSE_SECONDS
            except (RedisUnavailable, RedisError) as error:
                log.warning(
                    "publish failed, readings stay in Redis", error=f"{type(error).__name__}: {error}", seconds=pause
                )
                if self._stopping.is_set():
                    return
                await self._sleep(pause)
                pause = min(pause * 2, LAST_PAUSE_SECONDS)
            except Exception:
                # A defect of ours: the entries stay pending and are claimed later; publishing goes on.
                log.exception("publishing failed", seconds=LAST_PAUSE_SECONDS)
                if self._stopping.is_set():
                    return
                await self._sleep(LAST_PAUSE_SECONDS)

    async def step(self) -> int:
        """Read, send and acknowledge one batch; look after the group when that is due. Returns entries done.

        A full batch means that there are more: the next one is read meanwhile. Raises RedisUnavailable or RedisError:
        the current batch stays pending in the group.
        """
        try:
            await self._stream.acknowledge_all()
            # Also when the next batch has been read: what a dead peer left is older than the whole backlog.
            entries = [] if self._stopping.is_set() else await self._stream.claimed_when_due()
            if not entries:
                entries, self._ahead = self._ahead or await self._read_and_linger(), []
            if self._ahead or len(entries) < MAX_ENTRIES or self._stopping.is_set():
                await self._publish(entries)
            else:
                self._ahead = await self._publish_and_read(entries)
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise
            await self._stream.create_group()
            return 0
        return len(entries)

    async def _publish_and_read(self, entries: Sequence[Entry]) -> list[Entry]:
        async def read() -> list[Entry] | RedisUnavailable | RedisError:
            try:
                return await self._stream.read(MAX_ENTRIES, block=False)
            except (RedisUnavailable, RedisError) as error:
                return error  # an expected outcome: a task that raises is logged as a defect

        reading = spawn(read(), name="read-ahead")
        try:
            await self._publish(entries)
        except BaseException:
            await cancel(reading)
            raise
        found = await reading
        if isinstance(found, Exception):
            raise found
        return found

    async def _read_and_linger(self) -> list[Entry]:
        entries = await self._stream.read(MAX_ENTRIES, block=True)
        if entries and len(entries) < MAX_ENTRIES and self._linger:
            await self._sleep(self._linger)
            entries += await self._stream.read(MAX_ENTRIES - len(entries), block=False)
        return entries

    async def _publish(self, entries: Sequence[Entry]) -> None:
        """Send everything, however long it takes: meanwhile the stream is the buffer."""
        coalescer = Coalescer()
        async for entry in in_turns(entries):
            coalescer.add(entry)
        await self._reject(coalescer.rejected)
        batches = pack(coalescer.kept.values())
        metrics.COALESCED.inc(sum(len(one.entry_ids) - 1 for one in coalescer.kept.values()))
        pause = FIRST_PAUSE_SECONDS
        while batches:
            sent = await asyncio.gather(*(self._send(group) for group in calls(batches)))
            left = [batch for failed in sent for batch in failed]
            if len(left) < len(batches):
                pause = FIRST_PAUSE_SECONDS
            batches = left
            if batches:
                if self._stopping.is_set():
                    return
                await self._sleep(pause)
                pause = min(pause * 2, LAST_PAUSE_SECONDS)

    async def _send(self, group: Sequence[Batch]) -> list[Batch]:
        """One call. The entries of what SQS accepted are done; returns what it did not accept."""
        metrics.SQS_REQUESTS.inc()
        try:
            async with self._slots:
                with tracing.batch("send usage readings", Kind.PRODUCER, _SENT, traces(group)):
                    failed = await self._usage.send([batch.body for batch in group])
        except SqsUnavailable as error:
            log.warning("publish failed, readings stay in Redis", error=str(error))
            return list(group)
        accepted = [batch for index, batch in enumerate(group) if index not in failed]
        metrics.PUBLISHED.inc(sum(len(batch.items) for batch in accepted))
        await self._stream.acknowledge([entry_id for batch in accepted for entry_id in batch.entry_ids])
        if failed:
            log.warning("sqs rejected messages", messages=len(failed), reason=next(iter(failed.values())))
        left = []
        for index, reason in sorted(failed.items()):
            batch = group[index]
            if not reason.startswith(_UNSENDABLE):
                left.append(batch)
            elif len(batch.items) > 1:
                left += split(batch)
            else:
                # A dead-letter message is plain ASCII: SQS accepts it, and it can be replayed.
                await self._reject([(batch.entry_ids, Rejected(batch.items[0].text, reason))])
        return left

    async def _reject(self, rejected: Sequence[tuple[Sequence[bytes], Rejected]]) -> None:
        """Send each unreadable entry alone to the dead-letter queue; only then does it leave the stream."""
        if not rejected:
            return
        now_ms = time.time_ns() // 1_000_000
        bodies = [dead_letter(one, source="publisher", at_ms=now_ms) for _, one in rejected]
        for call in call_ranges([len(body) for body in bodies]):
            metrics.SQS_REQUESTS.inc()
            try:
                failed = await self._dead_letters.send(bodies[call.start : call.stop])
            except SqsUnavailable as error:
                # They stay pending, are claimed and tried again; the good ones of the batch go on.
                log.warning("dead-letter write failed, entries stay in Redis", entries=len(call), error=str(error))
                continue
            for index in call:
                entry_ids, one = rejected[index]
                if index - call.start in failed:
                    log.warning("dead-letter write failed, entry stays in Redis", error=failed[index - call.start])
                    continue
                log.error("stream entry rejected", reason=one.reason)
                metrics.REJECTED.inc()
                await self._stream.acknowledge(entry_ids)

    async def _watch(self) -> None:
        """Measure the stream's backlog until `stop`, also while nothing leaves the stream."""
        while not self._stopping.is_set():
            try:
                await self._stream.measure()
            except (RedisUnavailable, RedisError) as error:
                log.warning("stream measurement failed", error=f"{type(error).__name__}: {error}")
            await self._sleep(MEASURE_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
