"""The usage stream for one consumer of the publishers' group: read, claim, acknowledge, housekeeping."""

import os
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import redis.asyncio as redis
import structlog

from aldea.redis.errors import RedisError, RedisUnavailable, ResponseError
from aldea.redis.link import RedisLink
from aldea.redis.schema import USAGE_FIELD, USAGE_GROUP, USAGE_STREAM
from backend.pipeline import metrics
from backend.pipeline.packing import Entry

log = structlog.get_logger("backend.pipeline.publisher")

# A read waits this long for a first entry; the housekeeping below runs in between.
BLOCK_MS: Final = 1000
# Entries that a publisher has held for this long are claimed by another. A live one holds them this long only while
# SQS is unavailable; then two may send the same, which costs a request and changes no bill.
CLAIM_IDLE_MS: Final = 30_000
CLAIM_COUNT: Final = 1000
# How often housekeeping runs: dead peers' entries are claimed, idle consumers deleted.
HOUSEKEEPING_SECONDS: Final = 5.0
# A consumer that has nothing pending and has not read for this long belongs to a process that ended.
FORGET_IDLE_MS: Final = 600_000
# Redis responds within milliseconds or not at all; a read adds BLOCK_MS of its own.
COMMAND_SECONDS: Final = 3.0

# Checks and deletes idle consumers in one step: between the two a consumer might read, and deleting it
# then would forget what it read. Where nothing is pending and nothing unread, yet the stream is not empty, entries have
# fallen out of the group (a consumer deleted manually, a restored snapshot): the group starts over.
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


def connect(redis_url: str) -> RedisLink:
    """The publisher's own link: its reads block, and its responses are not decoded.

    The library would turn each entry into a tuple and a dictionary first.
    """
    return RedisLink(redis_url, command_seconds=COMMAND_SECONDS + BLOCK_MS / 1000, raw=True)


class UsageStream:
    """One consumer. Its methods raise RedisUnavailable or RedisError; what was read then stays pending."""

    def __init__(self, link: RedisLink, *, claim_idle_ms: int = CLAIM_IDLE_MS) -> None:
        """`link`: as `connect` makes it."""
        self._link = link
        self._claim_idle_ms = claim_idle_ms
        # A name of its own for each process: a restarted one's leftovers are claimed like any dead peer's.
        self.consumer = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        self._claim_cursor: bytes = b"0-0"
        self._unacknowledged: list[bytes] = []
        self._tended = 0.0
        # The connection that waits for a first entry, as Redis numbers it; 0: none does.
        self._waiting = 0

    async def create_group(self) -> None:
        """At the start, and when Redis was emptied: from the stream's beginning, so that nothing in it is skipped."""
        try:
            await self._command("XGROUP", "CREATE", USAGE_STREAM, USAGE_GROUP, "0", "MKSTREAM")
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        else:
            log.info("consumer group created")

    async def read(self, count: int, *, block: bool) -> list[Entry]:
        """At most `count` entries that no consumer has read; with `block` it waits up to BLOCK_MS for a first one."""
        wait = ("BLOCK", BLOCK_MS) if block else ()
        words = ("XREADGROUP", "GROUP", USAGE_GROUP, self.consumer, "COUNT", count, *wait, "STREAMS", USAGE_STREAM, ">")
        response = await (self._wait(words) if block else self._command(*words))
        return [] if not response else to_entries(response[0][1])

    async def _wait(self, words: Sequence[Any]) -> Any:
        async def wait(client: redis.Redis) -> Any:
            pool = client.connection_pool
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
            try:
                await connection.send_command("CLIENT", "ID")
                self._waiting = int(await connection.read_response())
                await connection.send_command(*words)
                return await connection.read_response()
            finally:
                self._waiting = 0
                await pool.release(connection)

        return await self._link.run(wait)

    async def wake(self) -> None:
        """End a read that waits for a first entry: it returns none. A read that begins just now is not ended."""
        if self._waiting:
            await self._command("CLIENT", "UNBLOCK", self._waiting)

    async def claimed_when_due(self) -> list[Entry]:
        """Entries claimed from other publishers, if housekeeping is due; does the rest of the housekeeping too."""
        now = time.monotonic()
        if self._claim_cursor == b"0-0":
            if now - self._tended < HOUSEKEEPING_SECONDS:
                return []
            self._tended = now
            await self._tend()
        response = await self._command(
            "XAUTOCLAIM", USAGE_STREAM, USAGE_GROUP, self.consumer, self._claim_idle_ms, self._claim_cursor,
            "COUNT", CLAIM_COUNT,
        )  # fmt: skip
        self._claim_cursor = response[0]
        entries = to_entries(response[1])
        if entries:
            log.info("entries claimed from another publisher", entries=len(entries))
            metrics.CLAIMED.inc(len(entries))
        return entries

    async def _tend(self) -> None:
        deleted, started_over = await self._command(
            "EVAL", _TEND, 1, USAGE_STREAM, USAGE_GROUP, self.consumer, FORGET_IDLE_MS
        )
        if deleted:
            log.info("idle consumers deleted", consumers=deleted)
        if started_over:
            log.warning("entries outside the consumer group, reading the stream again from its beginning")

    async def measure(self) -> None:
        """Show the stream's length and the age of its oldest entry."""
        length = await self._command("XLEN", USAGE_STREAM)
        oldest = to_entries(await self._command("XRANGE", USAGE_STREAM, "-", "+", "COUNT", 1))
        metrics.STREAM_LENGTH.set(length)
        age_ms = time.time() * 1000 - oldest[0].written_ms if oldest else 0
        metrics.STREAM_AGE.set(max(0.0, age_ms / 1000))

    async def acknowledge(self, entry_ids: Iterable[bytes]) -> None:
        """Take entries out of group and stream. What Redis does not confirm is repeated by `acknowledge_all`."""
        self._unacknowledged += entry_ids
        try:
            await self.acknowledge_all()
        except (RedisUnavailable, RedisError) as error:
            log.warning("acknowledge failed, will retry", error=f"{type(error).__name__}: {error}")

    async def acknowledge_all(self) -> None:
        """Confirm to Redis everything that is done; before each read."""
        # XACK before XDEL, in one transaction: the other way round a crash between them leaves a pending entry without
        # content, which Redis 6.2 claims forever.
        ids = self._unacknowledged[:]
        if not ids:
            return

        async def acknowledge(client: redis.Redis) -> None:
            async with client.pipeline(transaction=True) as pipe:
                pipe.xack(USAGE_STREAM, USAGE_GROUP, *ids)
                pipe.xdel(USAGE_STREAM, *ids)
                await pipe.execute()

        await self._link.run(acknowledge)
        done = set(ids)
        self._unacknowledged = [entry_id for entry_id in self._unacknowledged if entry_id not in done]

    async def _command(self, *words: Any) -> Any:
        return await self._link.run(lambda client: client.execute_command(*words))  # type: ignore[no-untyped-call]


def to_entries(raw: Iterable[Any]) -> list[Entry]:
    """Entries as Redis returns them: `[id, [field, value, …]]`; nil for one that was deleted while it was pending."""
    entries = []
    for item in raw:
        if item is None or item[1] is None:
            continue
        fields = item[1]
        value = next((fields[i + 1] for i in range(0, len(fields), 2) if fields[i] == _FIELD), None)
        entries.append(Entry(item[0], value))
    return entries


_FIELD: Final = USAGE_FIELD.encode()
