"""Receives usage messages and has them merged: nothing lost, nothing good dead-lettered, nothing counted twice.

A message is deleted only after its readings were committed; everything else (a crash, a deadline, a lost database)
leaves it in the queue, and a repeated reading changes nothing.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from aldea.errors import ServiceUnavailable
from aldea.sqs import Message, Queue, SqsUnavailable, call_ranges
from aldea.tasks import cancel, spawn
from aldea.tracing import spans as tracing
from aldea.tracing.context import trace_id_of
from aldea.tracing.spans import Kind
from aldea.turns import in_turns
from aldea.usage.envelope import Rejected, Stamped, dead_letter, decode
from aldea.usage.reading import UsageReading
from sqs_updater import metrics
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import BadReadings, Merged, OutOfBounds

log = structlog.get_logger("sqs_updater.consumer")

# A batch has this long from its receipt to its deletion; then it is given back to the queue.
BATCH_SECONDS: Final = 60.0
# Received messages stay hidden this long by default, and are hidden anew, this often in that time, while
# their batch is still being worked on.
VISIBILITY_SECONDS: Final = 30
EXTENSIONS: Final = 3
# Rejected readings in a row, with not one good reading between, after which the fault is looked for on our side:
# a bad deployment must not drain the queue into the dead-letter queue.
MAX_FAILURE_RUN: Final = 25
# While halted, one message this often is tried; the first that merges ends the halt.
HALTED_SECONDS: Final = 30.0
# A message that could not be settled is hidden for 2, 4, 8 … seconds by how often it was received, at most this long.
# SQS itself moves a message to the dead-letter queue after 50 receives: with this, after ten hours of a PostgreSQL that
# responds and cannot write (disk full, a table missing) or of a halt, not after minutes.
MAX_HIDDEN_SECONDS: Final = 900
# Pauses after a failed probe, receive or write: doubled from the first to the last.
FIRST_PAUSE_SECONDS: Final = 0.25
LAST_PAUSE_SECONDS: Final = 5.0

_MERGED: Final = {
    "messaging.system": "aws_sqs",
    "messaging.operation.type": "process",
    "messaging.operation.name": "process",
    "db.system.name": "postgresql",
    "db.collection.name": "usage_requests",
}


class Merges(Protocol):
    """What the consumer needs of the writer."""

    async def probe(self) -> None: ...
    async def merge(self, readings: Sequence[UsageReading]) -> Merged: ...


@dataclass(slots=True)
class Batch:
    """The messages of one receive, their readings, and what in them is none."""

    messages: list[Message]
    good: list[Stamped] = field(default_factory=list)
    bad: list[Rejected] = field(default_factory=list)

    @classmethod
    def of(cls, messages: list[Message]) -> "Batch":
        """Decode the messages, in one go."""
        batch = cls(messages)
        for message in messages:
            batch.decode(message)
        return batch

    def decode(self, message: Message) -> None:
        """Decode one of the messages."""
        good, bad = decode(message.body)
        self.good += good
        self.bad += bad


class Consumer:
    """One worker: probe the database, receive, merge, delete. Several may share one `FailureRun`."""

    def __init__(
        self,
        usage: Queue,
        dead_letters: Queue,
        writer: Merges,
        run: "FailureRun | None" = None,
        *,
        visibility_seconds: int = VISIBILITY_SECONDS,
    ) -> None:
        self._usage = usage
        self._dead_letters = dead_letters
        self._writer = writer
        self._run = run or FailureRun()
        self._visibility = visibility_seconds
        self._pause = FIRST_PAUSE_SECONDS
        self._stopping = asyncio.Event()
        self._received_at = time.monotonic()

    @property
    def unheard_seconds(self) -> float:
        """How long ago the queue responded to a receive, with messages or without."""
        return time.monotonic() - self._received_at

    def stop(self) -> None:
        """Receive nothing more; `run` returns when the batch in hand is done."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`. Never raises but for its cancellation."""
        while not self._stopping.is_set():
            try:
                await self.step()
                self._pause = FIRST_PAUSE_SECONDS
            except (ServiceUnavailable, SqsUnavailable, TimeoutError) as error:
                log.warning("consumption paused", error=f"{type(error).__name__}: {error}", seconds=self._pause)
                await self._sleep(self._pause)
                self._pause = min(self._pause * 2, LAST_PAUSE_SECONDS)
            except Exception:
                # A defect of ours: the batch stays in the queue, and the worker stays alive.
                log.exception("batch failed", seconds=LAST_PAUSE_SECONDS)
                await self._sleep(LAST_PAUSE_SECONDS)

    async def step(self, *, wait: int = 20) -> int:
        """One receive of at most `wait` seconds, merged and deleted. Returns the number of messages.

        Raises DatabaseUnavailable before anything is received while PostgreSQL is unavailable: receiving would count up
        each message's receives until SQS itself moved it to the dead-letter queue. Raises SqsUnavailable.
        """
        if self._run.halted:
            await self._sleep(HALTED_SECONDS)
        await self._writer.probe()
        if self._stopping.is_set():
            return 0
        messages = await self._receive(wait)
        if not messages:
            return 0
        extender = spawn(self._keep_hidden(messages), name="extend-visibility")
        try:
            async with asyncio.timeout(BATCH_SECONDS):
                batch = Batch(messages)
                async for message in in_turns(messages):
                    batch.decode(message)
                await self._settle(batch)
        except BaseException:
            metrics.RETURNED.inc(len(messages))
            await cancel(extender)
            await self._give_back(messages)
            raise
        await cancel(extender)
        return len(messages)

    async def _receive(self, wait: int) -> list[Message]:
        limit = 1 if self._run.halted else 10
        # A receive that a stop interrupts must not strand messages: they would stay hidden for their whole visibility.
        polling = spawn(self._poll(wait, limit), name="receive")
        stopping = spawn(self._stopping.wait(), name="await-stop")
        try:
            await asyncio.wait({polling, stopping}, return_when=asyncio.FIRST_COMPLETED)
            metrics.SQS_REQUESTS.inc()
            if not polling.done():
                return []
            messages = polling.result()
        finally:
            await cancel(stopping, polling)
        if isinstance(messages, SqsUnavailable):
            raise messages
        self._received_at = time.monotonic()
        now_ms = time.time() * 1000
        metrics.QUEUE_AGE.set(max((now_ms - message.sent_ms for message in messages), default=0) / 1000)
        return messages

    async def _poll(self, wait: int, limit: int) -> list[Message] | SqsUnavailable:
        try:
            return await self._usage.receive(wait=wait, visibility=self._visibility, limit=limit)
        except SqsUnavailable as error:
            return error  # an expected outcome: a task that raises is logged as a defect

    async def _settle(self, batch: Batch) -> None:
        readings = reduce_batch(batch.good)
        refused: list[tuple[UsageReading, str]] = []
        outdated: list[tuple[UsageReading, str]] = []
        traces = (reading.traceparent for reading in readings)
        with tracing.batch("merge usage readings", Kind.CONSUMER, _MERGED, traces):
            merged = await self._merge(readings, refused, outdated)
        healthy = len(readings) - len(refused) - len(outdated)
        rejected = batch.bad + [Rejected(reading.to_json(), reason) for reading, reason in refused]
        if self._run.count(healthy=healthy, rejected=len(rejected)):
            raise ServiceUnavailable(
                f"halted after {self._run.length} rejected readings in a row without a good one; last: "
                f"{rejected[-1].reason}. "
                "Nothing more goes to the dead-letter queue. If a deployment did this, roll it back."
            )
        # However many of these come in a row, they say nothing about this release.
        rejected += [Rejected(reading.to_json(), reason) for reading, reason in outdated]
        await self._dead_letter(rejected)
        metrics.MERGED.inc(merged.merged)
        metrics.DUPLICATE.inc(merged.duplicate)
        metrics.STALE.inc(merged.stale)
        metrics.COALESCED.inc(len(batch.good) - len(readings))
        self._observe_lag(batch.good)
        await self._delete(batch.messages)

    async def _merge(
        self,
        readings: Sequence[UsageReading],
        refused: list[tuple[UsageReading, str]],
        outdated: list[tuple[UsageReading, str]],
    ) -> Merged:
        """Merge what PostgreSQL takes, halving around what it refuses until that is alone in `refused`.

        What is of a day that takes none goes to `outdated`.
        """
        if not readings:
            return Merged(0, 0, 0)
        try:
            return await self._writer.merge(readings)
        except OutOfBounds as error:
            outdated += [(one, error.reasons[one.request_id]) for one in readings if one.request_id in error.reasons]
            rest = [one for one in readings if one.request_id not in error.reasons]
            return await self._merge(rest, refused, outdated)
        except BadReadings as error:
            if len(readings) == 1:
                refused.append((readings[0], str(error)))
                return Merged(0, 0, 0)
        middle = len(readings) // 2
        first = await self._merge(readings[:middle], refused, outdated)
        second = await self._merge(readings[middle:], refused, outdated)
        return Merged(first.merged + second.merged, first.duplicate + second.duplicate, first.stale + second.stale)

    async def _dead_letter(self, rejected: Sequence[Rejected]) -> None:
        """Send each rejected reading alone. Raises SqsUnavailable: its message stays until this has been done."""
        now_ms = time.time_ns() // 1_000_000
        bodies = [dead_letter(one, source="sqs_updater", at_ms=now_ms) for one in rejected]
        for call in call_ranges([len(each) for each in bodies]):
            metrics.SQS_REQUESTS.inc()
            if failed := await self._dead_letters.send(bodies[call.start : call.stop]):
                raise SqsUnavailable(f"the dead-letter queue did not take {len(failed)} readings: {failed}")
            for one in rejected[call.start : call.stop]:
                metrics.REJECTED.inc()
                log.error("reading rejected", reason=one.reason)

    async def _delete(self, messages: Sequence[Message]) -> None:
        metrics.SQS_REQUESTS.inc()
        failed = await self._usage.delete([message.receipt for message in messages])
        if failed:
            # Its readings are committed; it comes again and is found to be a duplicate.
            log.warning("messages not deleted", failed=failed)

    async def _keep_hidden(self, messages: Sequence[Message]) -> None:
        while True:
            await asyncio.sleep(self._visibility / EXTENSIONS)
            metrics.SQS_REQUESTS.inc()
            try:
                await self._usage.hide({message.receipt: self._visibility for message in messages})
            except SqsUnavailable as error:
                log.warning("visibility not extended", error=str(error))

    async def _give_back(self, messages: Sequence[Message]) -> None:
        """Let the messages be received again later; if even that fails they come back when their visibility ends."""
        metrics.SQS_REQUESTS.inc()
        try:
            await self._usage.hide({message.receipt: hidden_seconds(message.receives) for message in messages})
        except SqsUnavailable as error:
            log.warning("messages not returned", error=str(error))

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    @staticmethod
    def _observe_lag(batch: Sequence[Stamped], clock: Callable[[], float] = time.time) -> None:
        now_ms = clock() * 1000
        for item in batch:
            if item.written_ms:
                trace_id = trace_id_of(item.reading.traceparent)
                exemplar = {"trace_id": trace_id} if trace_id else None
                metrics.LAG.observe(max(0.0, now_ms - item.written_ms) / 1000, exemplar)


def hidden_seconds(receives: int) -> int:
    """How long a message that failed is hidden when it was received this often."""
    return min(MAX_HIDDEN_SECONDS, 1 << min(receives, 16))


class FailureRun:
    """Counts rejected readings with no good one between, over all workers of the process."""

    def __init__(self, limit: int = MAX_FAILURE_RUN) -> None:
        self._limit = limit
        self.length = 0

    @property
    def halted(self) -> bool:
        """Whether the run is too long for the readings to be the ones at fault."""
        return self.length > self._limit

    def count(self, *, healthy: int, rejected: int) -> bool:
        """Take a batch into account; whether consumption is halted now."""
        if healthy:
            self.length = 0
        else:
            self.length += rejected
        metrics.HALTED.set(self.halted)
        return self.halted
