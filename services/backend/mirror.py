"""Writes credentials and projects to Redis, where admission reads them; no change is undone by an earlier one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from aldea.redis_faults import RedisUnavailable
from aldea.redis_link import RedisLink, Script
from aldea.redis_schema import CredentialRecord, ProjectRecord, credential_key, project_key, used_key

log = structlog.get_logger("backend.mirror")

# Records of one script call: about 60 KB, a few milliseconds of Redis' one thread.
BATCH: Final = 200
# A month's counter is of no use once the month is over; kept a while for whoever looks.
USED_SECONDS: Final = 45 * 86_400

# Two writers may arrive in the wrong order (a change and a reconciliation that read just before it). Each record
# carries the revision of its row, and only a greater one is written; or an equal one, where the record has fewer fields
# than ours: then an earlier release wrote it. Absent fields are removed, so that nothing of an older record shows
# through. Answers with how many records were written.
_PUT: Final = Script(
    """
local written = 0
for i, name in ipairs(KEYS) do
    local record = cjson.decode(ARGV[i])
    local stored = tonumber(redis.call('HGET', name, 'revision') or '-1')
    local flat = {'revision', string.format('%d', record.revision)}
    for field, value in pairs(record.fields) do
        flat[#flat + 1] = field
        flat[#flat + 1] = value
    end
    if stored < record.revision or stored == record.revision and redis.call('HLEN', name) < #flat / 2 then
        redis.call('DEL', name)
        redis.call('HSET', name, unpack(flat))
        if record.until_ms then redis.call('PEXPIREAT', name, string.format('%.0f', record.until_ms)) end
        written = written + 1
    end
end
return written
"""
)
# Which of these records are missing, older than the given revision, or of fewer fields: their places in the list, from
# 1. ARGV: a revision and a count of fields for each.
_STALE: Final = Script(
    """
local stale = {}
for i, name in ipairs(KEYS) do
    local stored, revision = tonumber(redis.call('HGET', name, 'revision') or '-1'), tonumber(ARGV[2 * i - 1])
    if stored < revision or stored == revision and redis.call('HLEN', name) < tonumber(ARGV[2 * i]) then
        stale[#stale + 1] = i
    end
end
return stale
"""
)
# Raise counters to at least the given figures; ARGV ends with the time to live.
_RAISE: Final = Script(
    """
for i, name in ipairs(KEYS) do
    if tonumber(redis.call('GET', name) or '0') < tonumber(ARGV[i]) then
        redis.call('SET', name, ARGV[i], 'EX', ARGV[#ARGV])
    end
end
return #KEYS
"""
)
# A short-lived token, in Redis' own time as admission reads it; it vanishes when it expires.
_PUT_TOKEN: Final = Script(
    """
local time = redis.call('TIME')
local expires_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[1])
redis.call('HSET', KEYS[1], 'expires_ms', string.format('%.0f', expires_ms), unpack(ARGV, 2))
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', expires_ms))
return 1
"""
)
# Remove API keys; tokens and sessions have lives of their own. Answers with how many there were.
_REMOVE_KEYS: Final = Script(
    """
local removed = 0
for _, name in ipairs(KEYS) do
    if redis.call('HGET', name, 'kind') == 'key' then removed = removed + redis.call('DEL', name) end
end
return removed
"""
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to stand in Redis: its name, the revision of the row that it mirrors, its fields.

    `until_ms`: when Redis may forget it, Unix milliseconds; None: never.
    """

    name: str
    revision: int
    fields: Mapping[str, str]
    until_ms: int | None = None

    @classmethod
    def credential(
        cls, sha256: str, revision: int, record: CredentialRecord, *, until_ms: int | None = None
    ) -> "Entry":
        """The entry of a credential."""
        return cls(credential_key(sha256), revision, record.to_hash(), until_ms)

    @classmethod
    def project(cls, project_id: str, revision: int, record: ProjectRecord) -> "Entry":
        """The entry of a project."""
        return cls(project_key(project_id), revision, record.to_hash())

    def to_json(self) -> str:
        """What the script reads."""
        until = {} if self.until_ms is None else {"until_ms": self.until_ms}
        return json.dumps({"revision": self.revision, "fields": dict(self.fields), **until})


class Mirror:
    """The writing side of `aldea.redis_schema`'s credentials and projects."""

    def __init__(self, link: RedisLink) -> None:
        self.link = link

    async def put(self, entries: Sequence[Entry]) -> int:
        """Write what is newer than what stands there; how many were. Raises RedisUnavailable."""
        written = 0
        for batch in _batches(entries):
            names, records = [entry.name for entry in batch], [entry.to_json() for entry in batch]
            written += int(await self.link.call(_PUT, names, records))
        return written

    async def put_or_defer(self, *entries: Entry) -> bool:
        """Write after a change; False if Redis is away. key_sync then brings it, at the latest when Redis is back."""
        try:
            await self.put(entries)
        except RedisUnavailable as error:
            log.warning("a change waits for Redis", names=[entry.name for entry in entries], error=str(error))
            return False
        return True

    async def refresh(self, entries: Sequence[Entry]) -> int:
        """The same as `put` for records that mostly stand already: asks first, sends only what is stale."""
        written = 0
        for batch in _batches(entries):
            # The revision itself is a field too.
            ours = [str(figure) for entry in batch for figure in (entry.revision, len(entry.fields) + 1)]
            stale = await self.link.call(_STALE, [entry.name for entry in batch], ours)
            written += await self.put([batch[int(place) - 1] for place in stale])
        return written

    async def put_token(self, sha256: str, record: CredentialRecord, ttl_ms: int) -> None:
        """Write a short-lived token that expires after `ttl_ms`, whatever the record says. Raises RedisUnavailable."""
        fields = [text for field in record.to_hash().items() if field[0] != "expires_ms" for text in field]
        await self.link.call(_PUT_TOKEN, [credential_key(sha256)], [ttl_ms, *fields])

    async def raise_used(self, month: str, audio_ms: Mapping[str, int]) -> None:
        """Raise `used:{project}:{month}` to PostgreSQL's figures. Raises RedisUnavailable."""
        items = list(audio_ms.items())
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            names = [used_key(project_id, month) for project_id, _ in batch]
            await self.link.call(_RAISE, names, [*(str(figure) for _, figure in batch), str(USED_SECONDS)])

    async def remove_keys(self, names: Sequence[str]) -> int:
        """Remove those of the records `names` that are API keys; how many were. Raises RedisUnavailable."""
        return int(await self.link.call(_REMOVE_KEYS, names, []))


def _batches(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    return [entries[start : start + BATCH] for start in range(0, len(entries), BATCH)]


MIRROR: Final = web.AppKey("mirror", Mirror)
