"""Carries usage readings from the Redis stream to the queue: an entry leaves the stream only once SQS has it.

Several publishers share one consumer group. Whatever one leaves behind (killed, cut off) another claims; sending a
reading twice changes nothing, so every doubt is settled by sending.
"""

import asyncio
import os
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from aldea.redis_schema import USAGE_FIELD, USAGE_GROUP, USAGE_STREAM
from aldea.sqs import Queue, SqsUnavailable, call_ranges
from aldea.tasks import cancel, spawn
from aldea.usage_batch import Rejected, dead_letter
from backend import publisher_measures as measures
from backend.packing import Entry, Parcel, calls, coalesce, pack, split

log = structlog.get_logger("backend.publisher")

# Entries in hand at most: some 2 MB of readings, thirty messages, three calls.
MAX_ENTRIES: Final = 4000
# A read waits this long for a first entry; the housekeeping below runs in between.
BLOCK_MS: Final = 1000
# After the first entries more are waited for: fewer, fuller calls for half a second of lag at most.
LINGER_SECONDS: Final = 0.4
# Entries that a publisher has held for this long are claimed by another. A live one holds them this long only while
# SQS is away; then two may send the same, which costs a request and changes no bill.
CLAIM_IDLE_MS: Final = 30_000
CLAIM_COUNT: Final = 1000
# How often the group is looked after: dead peers' entries claimed, idle consumers deleted, the stream measured.
HOUSEKEEPING_SECONDS: Final = 5.0
# A consumer that has nothing pending and has not read for this long belongs to a process that is gone.
FORGET_IDLE_MS: Final = 600_000
# Redis answers within milliseconds or not at all; a read adds BLOCK_MS of its own.
COMMAND_SECONDS: Final = 3.0
# Pauses after a failure, doubled from the first to the last.
FIRST_PAUSE_SECONDS: Final = 0.1
LAST_PAUSE_SECONDS: Final = 5.0
# What `stop` leaves the publisher for the batch in hand.
STOP_SECONDS: Final = 5.0
# Calls to SQS under way at a time.
MAX_CALLS: Final = 4
# The one complaint of SQS that is about the body itself, so that no repetition helps.
_UNSENDABLE: Final = "InvalidMessageContents"

# Deletes idle consumers in one step with the look at them: between the two a consumer might read, and deleting it
# then would forget what it read. Where nothing is pending and nothing unread, yet the stream is not empty, entries have
# fallen out of the group (a consumer deleted by hand, a restored snapshot): the group starts over and reads them again.
_TEND: Final = """
local deleted = 0
for _, raw in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local one = {}
    for i = 1, #raw, 2 do one[raw[i]] = raw[i + 1] end
    if one.name ~= ARGV[2] and one.pending == 0 and one.idle > tonumber(ARGV[3]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], one.name)
        deleted = deleted + 1
    end
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local started_over = 0
if last and redis.call('XPENDING', KEYS[1], ARGV[1])[1] == 0 then
    for _, raw in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
        local group = {}
        for i = 1, #raw, 2 do group[raw[i]] = raw[i + 1] end
        if group.name == ARGV[1] then
            local ms, seq = string.match(group['last-delivered-id'], '(%d+)-(%d+)')
            local last_ms, last_seq = string.match(last[1], '(%d+)-(%d+)')
            ms, seq, last_ms, last_seq = tonumber(ms), tonumber(seq), tonumber(last_ms), tonumber(last_seq)
            if ms > last_ms or (ms == last_ms and seq >= last_seq) then
                redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], '0')
                started_over = 1
            end
        end
    end
end
return {deleted, started_over}
"""


def connect(redis_url: str) -> "redis.Redis":
    """The publisher's own client: its reads block, and it repeats what failed by itself."""
    client = redis.from_url(
        redis_url,
        protocol=2,
        socket_timeout=COMMAND_SECONDS + BLOCK_MS / 1000,
        socket_connect_timeout=COMMAND_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    # Answers as they come: the library would turn each entry into a tuple and a dictionary first.
    client.response_callbacks.clear()
    return client


class Publisher:
    """One consumer of the usage stream. `start` and `stop` are what an application calls."""

    def __init__(
        self,
        client: "redis.Redis",
        usage: Queue,
        dead_letters: Queue,
        *,
        claim_idle_ms: int = CLAIM_IDLE_MS,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._redis = client
        self._usage = usage
        self._dead_letters = dead_letters
        self._claim_idle_ms = claim_idle_ms
        self._linger = linger_seconds
        # A name of its own for each process: a restarted one's leftovers are claimed like any dead peer's.
        self.consumer = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        self._claim_cursor: bytes = b"0-0"
        self._unacknowledged: list[bytes] = []
        self._tended = 0.0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(MAX_CALLS)

    def start(self) -> None:
        """Publish in the background until `stop`."""
        self._task = spawn(self.run(), name="publisher")

    async def stop(self) -> None:
        """Finish the batch in hand, within STOP_SECONDS; what is left then is claimed by another publisher."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_SECONDS)
            await cancel(self._task)

    async def run(self) -> None:
        """Publish until `stop`. Never raises but for its cancellation."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                await self.step()
                pause = FIRST_PAUSE_SECONDS
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("readings wait in Redis", error=f"{type(error).__name__}: {error}", seconds=pause)
                await self._sleep(pause)
                pause = min(pause * 2, LAST_PAUSE_SECONDS)
            except Exception:
                # A defect of ours: the entries stay pending and are claimed later; publishing goes on.
                log.exception("publishing failed", seconds=LAST_PAUSE_SECONDS)
                await self._sleep(LAST_PAUSE_SECONDS)

    async def step(self) -> int:
        """Read, send and acknowledge one batch; look after the group when that is due. Returns entries done.

        Raises RedisError, OSError or TimeoutError: what was in hand stays pending in the group.
        """
        await self._acknowledge_all()
        try:
            entries = await self._claimed_when_due() or await self._read_and_linger()
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise
            await self._create_group()
            return 0
        await self._publish(entries)
        return len(entries)

    async def _create_group(self) -> None:
        """At the start, and when Redis was emptied: from the stream's beginning, so that nothing in it is skipped."""
        try:
            await self._command("XGROUP", "CREATE", USAGE_STREAM, USAGE_GROUP, "0", "MKSTREAM")
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        else:
            log.info("created the publishers' group")

    async def _read_and_linger(self) -> list[Entry]:
        entries = await self._read(MAX_ENTRIES, block=True)
        if entries and len(entries) < MAX_ENTRIES and self._linger:
            await self._sleep(self._linger)
            entries += await self._read(MAX_ENTRIES - len(entries), block=False)
        return entries

    async def _read(self, count: int, *, block: bool) -> list[Entry]:
        wait = ("BLOCK", BLOCK_MS) if block else ()
        answer = await self._command(
            "XREADGROUP", "GROUP", USAGE_GROUP, self.consumer, "COUNT", count, *wait, "STREAMS", USAGE_STREAM, ">"
        )
        return [] if not answer else to_entries(answer[0][1])

    async def _claimed_when_due(self) -> list[Entry]:
        now = time.monotonic()
        if self._claim_cursor == b"0-0":
            if now - self._tended < HOUSEKEEPING_SECONDS:
                return []
            self._tended = now
            await self._tend()
        answer = await self._command(
            "XAUTOCLAIM", USAGE_STREAM, USAGE_GROUP, self.consumer, self._claim_idle_ms, self._claim_cursor,
            "COUNT", CLAIM_COUNT,
        )  # fmt: skip
        self._claim_cursor = answer[0]
        entries = to_entries(answer[1])
        if entries:
            log.info("claimed entries that another publisher left", entries=len(entries))
            measures.CLAIMED.inc(len(entries))
        return entries

    async def _tend(self) -> None:
        deleted, started_over = await self._command(
            "EVAL", _TEND, 1, USAGE_STREAM, USAGE_GROUP, self.consumer, FORGET_IDLE_MS
        )
        if deleted:
            log.info("deleted idle consumers", consumers=deleted)
        if started_over:
            log.warning("entries had fallen out of the group; it reads the stream again from its beginning")
        length = await self._command("XLEN", USAGE_STREAM)
        oldest = to_entries(await self._command("XRANGE", USAGE_STREAM, "-", "+", "COUNT", 1))
        measures.STREAM_LENGTH.set(length)
        age_ms = time.time() * 1000 - oldest[0].written_ms if oldest else 0
        measures.STREAM_AGE.set(max(0.0, age_ms / 1000))

    async def _publish(self, entries: Sequence[Entry]) -> None:
        """Send everything, however long it takes: nothing more is read meanwhile, the stream is the buffer."""
        kept, rejected = coalesce(entries)
        await self._reject(rejected)
        parcels = pack(kept.values())
        measures.COALESCED.inc(sum(len(one.entry_ids) - 1 for one in kept.values()))
        pause = FIRST_PAUSE_SECONDS
        while parcels:
            sent = await asyncio.gather(*(self._send(group) for group in calls(parcels)))
            left = [parcel for failed in sent for parcel in failed]
            if len(left) < len(parcels):
                pause = FIRST_PAUSE_SECONDS
            parcels = left
            if parcels:
                if self._stopping.is_set():
                    return
                await self._sleep(pause)
                pause = min(pause * 2, LAST_PAUSE_SECONDS)

    async def _send(self, group: Sequence[Parcel]) -> list[Parcel]:
        """One call. The entries of what SQS accepted are done; returns what it did not accept."""
        measures.SQS_REQUESTS.inc()
        try:
            async with self._slots:
                failed = await self._usage.send([parcel.body for parcel in group])
        except SqsUnavailable as error:
            log.warning("readings wait in Redis", error=str(error))
            return list(group)
        accepted = [parcel for index, parcel in enumerate(group) if index not in failed]
        measures.PUBLISHED.inc(sum(len(parcel.items) for parcel in accepted))
        await self._acknowledge([entry_id for parcel in accepted for entry_id in parcel.entry_ids])
        if failed:
            log.warning("SQS did not accept some messages", messages=len(failed), reason=next(iter(failed.values())))
        left = []
        for index, reason in sorted(failed.items()):
            parcel = group[index]
            if not reason.startswith(_UNSENDABLE):
                left.append(parcel)
            elif len(parcel.items) > 1:
                left += split(parcel)
            else:
                # As a dead letter, which is plain ASCII, it travels and can be replayed.
                await self._reject([(parcel.entry_ids, Rejected(parcel.items[0].text, reason))])
        return left

    async def _reject(self, rejected: Sequence[tuple[Sequence[bytes], Rejected]]) -> None:
        """Send each unreadable entry alone to the dead-letter queue; only then does it leave the stream."""
        if not rejected:
            return
        now_ms = time.time_ns() // 1_000_000
        letters = [dead_letter(one, source="publisher", at_ms=now_ms) for _, one in rejected]
        for call in call_ranges([len(letter) for letter in letters]):
            measures.SQS_REQUESTS.inc()
            try:
                failed = await self._dead_letters.send(letters[call.start : call.stop])
            except SqsUnavailable as error:
                # They stay pending, are claimed and tried again; the good ones of the batch go on.
                log.warning("rejected entries wait in Redis", entries=len(call), error=str(error))
                continue
            for index in call:
                entry_ids, one = rejected[index]
                if index - call.start in failed:
                    log.warning("rejected entry waits in Redis", error=failed[index - call.start])
                    continue
                log.error("stream entry rejected", reason=one.reason)
                measures.REJECTED.inc()
                await self._acknowledge(entry_ids)

    async def _acknowledge(self, entry_ids: Iterable[bytes]) -> None:
        """Take entries out of group and stream. What Redis does not confirm is repeated before the next read."""
        self._unacknowledged += entry_ids
        try:
            await self._acknowledge_all()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("entries not acknowledged yet", error=f"{type(error).__name__}: {error}")

    async def _acknowledge_all(self) -> None:
        # XACK before XDEL, in one transaction: the other way round a crash between them leaves a pending entry without
        # content, which Redis 6.2 claims for ever.
        ids = self._unacknowledged[:]
        if not ids:
            return
        async with asyncio.timeout(COMMAND_SECONDS), self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(USAGE_STREAM, USAGE_GROUP, *ids)
            pipe.xdel(USAGE_STREAM, *ids)
            await pipe.execute()
        done = set(ids)
        self._unacknowledged = [entry_id for entry_id in self._unacknowledged if entry_id not in done]

    async def _command(self, *words: Any) -> Any:
        async with asyncio.timeout(COMMAND_SECONDS + BLOCK_MS / 1000):
            return await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def to_entries(raw: Iterable[Any]) -> list[Entry]:
    """Entries as Redis answers them: `[id, [field, value, …]]`; nil for one that was deleted while it was pending."""
    entries = []
    for item in raw:
        if item is None or item[1] is None:
            continue
        fields = item[1]
        value = next((fields[i + 1] for i in range(0, len(fields), 2) if fields[i] == _FIELD), None)
        entries.append(Entry(item[0], value))
    return entries


_FIELD: Final = USAGE_FIELD.encode()
