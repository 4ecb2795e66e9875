"""Results that wait for their delivery, in Redis: what one process accepted, any other can deliver.

- `callbacks:projects` ZSET of projects with waiting deliveries: score = when the next of them is due, or, where more
  are due already, when one was taken last; ms of Redis' clock
- `callbacks:due:{project}` ZSET of a project's waiting deliveries: member = request id, score = when it is due
- `callbacks:bytes`, `callbacks:bytes:{project}` what all waiting results, and a project's, occupy
- `callback:{id}` hash of one delivery

A process that takes a delivery moves its time into the future by more than an attempt may last; if it dies, the
delivery becomes due again by itself. So each is delivered at least once. Each step is one script, and idempotent.
Projects take turns, however much of one is due. The scripts make the names of a project's keys themselves, so this
needs a Redis that is not sharded.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from aldea.redis.link import RedisLink, Script
from aldea.redis.replicas import ReplicatedWrites
from aldea.redis.schema import ALERTS_FIELD, ALERTS_STREAM, MAX_ALERTS, USAGE_FIELD, USAGE_STREAM

DUE: Final = "callbacks:projects"
BYTES: Final = "callbacks:bytes"
# Older versions kept the deliveries of all projects here; what they left is taken over.
FORMER_DUE: Final = "callbacks:due"
# What a record occupies beside its texts: names of fields, places in the sets.
RECORD_BYTES: Final = 512

_NOW: Final = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
_DUE_AT: Final = """
local function due_at(project, id, at)
  redis.call('ZADD', 'callbacks:due:' .. project, at, id)
  local next = redis.call('ZSCORE', KEYS[1], project)
  if not next or tonumber(next) > at then redis.call('ZADD', KEYS[1], at, project) end
end
"""
# A project may hold at most as much as it leaves free for all others: however many fill their shares, there is room.
_ROOM: Final = """
local function room(project, size, most)
  local total = tonumber(redis.call('GET', KEYS[2]) or '0') + size
  if total >= most then return 'full' end
  local own = tonumber(redis.call('GET', 'callbacks:bytes:' .. project) or '0') + size
  return own > most - total and 'share' or 'free'
end
"""
# KEYS projects, bytes; ARGV project, size, most bytes
_LOOK: Final = Script(_ROOM + "return room(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))")
# KEYS projects, bytes, record; ARGV project, size, most bytes, id, field, value …
_PUT: Final = Script(
    _NOW
    + _ROOM
    + _DUE_AT
    + """
if redis.call('EXISTS', KEYS[3]) == 1 then return 'free' end
local found = room(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
if found ~= 'free' then return found end
for n = 5, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[n], ARGV[n + 1]) end
redis.call('INCRBY', KEYS[2], ARGV[2])
redis.call('INCRBY', 'callbacks:bytes:' .. ARGV[1], ARGV[2])
due_at(ARGV[1], ARGV[4], now)
return found
"""
)
# KEYS projects, former due; ARGV how many, ms that they are taken for, bytes they may have, 1 if one may have more,
# projects to pass over …
# One of each project, the project that was served the longest ago first.
_TAKE: Final = Script(
    _NOW
    + _DUE_AT
    + """
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, 99)) do
  local at = redis.call('ZSCORE', KEYS[2], id)
  local ok, reading = pcall(cjson.decode, redis.call('HGET', 'callback:' .. id, 'reading') or '')
  redis.call('ZREM', KEYS[2], id)
  due_at(ok and type(reading) == 'table' and reading.project_id or '', id, tonumber(at))
end
local most, bytes, passed_over, taken = tonumber(ARGV[1]), tonumber(ARGV[3]), {}, {}
for n = 5, #ARGV do passed_over[ARGV[n]] = true end
for _, project in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, most + #ARGV - 4)) do
  if #taken >= most then break end
  if not passed_over[project] then
    local due = 'callbacks:due:' .. project
    local id = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 1)[1]
    if id then
      local record = redis.call('HMGET', 'callback:' .. id, 'size', 'url', 'attempts')
      local size = tonumber(record[1] or 0)
      if size <= bytes or (#taken == 0 and ARGV[4] == '1') then
        bytes = bytes - size
        redis.call('ZADD', due, now + ARGV[2], id)
        taken[#taken + 1] = {id, project, size, record[2] or '', tonumber(record[3] or 0)}
      end
    end
    local next = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
    if next then redis.call('ZADD', KEYS[1], math.max(tonumber(next), now), project)
    else redis.call('ZREM', KEYS[1], project) end
  end
end
return taken
"""
)
# KEYS projects, record; ARGV project, id, number of attempts made, ms until the next
_AGAIN: Final = Script(
    _NOW
    + _DUE_AT
    + """
if redis.call('EXISTS', KEYS[2]) == 0 then return redis.call('ZREM', 'callbacks:due:' .. ARGV[1], ARGV[2]) end
redis.call('HSET', KEYS[2], 'attempts', ARGV[3])
due_at(ARGV[1], ARGV[2], now + ARGV[4])
return 1
"""
)
# KEYS projects, bytes, record, usage stream, alerts stream; ARGV project, id, the streams' fields and the second one's
# most entries, what to report to the customer (empty: nothing)
_DONE: Final = Script(
    """
local size, reading, project = unpack(redis.call('HMGET', KEYS[3], 'size', 'reading', 'project_id'))
-- First: a script that fails at it is not rolled back, and has to find the record the next time.
if size then
  redis.call('XADD', KEYS[4], '*', ARGV[3], reading)
  if ARGV[6] ~= '' then redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[5], '*', ARGV[4], ARGV[6]) end
end
local due = 'callbacks:due:' .. ARGV[1]
redis.call('ZREM', due, ARGV[2])
if redis.call('EXISTS', due) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end
if not size then return 0 end
redis.call('DECRBY', KEYS[2], size)
if project and redis.call('DECRBY', 'callbacks:bytes:' .. project, size) <= 0 then
  redis.call('DEL', 'callbacks:bytes:' .. project)
end
redis.call('DEL', KEYS[3])
return 1
"""
)


class Room(Enum):
    """Whether there is room for a result. The values are the scripts' words."""

    FREE = "free"
    SHARE = "share"  # the project holds as much as it leaves free for others
    FULL = "full"


class Taken(NamedTuple):
    """A delivery that this process is to attempt now; `size`: bytes that it occupies."""

    request_id: str
    project_id: str
    size: int
    url: str
    attempts: int


def record_key(request_id: str) -> str:
    """The key under which one delivery is stored."""
    return f"callback:{request_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A result on its way to the customer.

    `secret`: what its signature is made with. `reading`: the request's final usage reading as JSON; it is written again
    when the delivery ends, in case the process that accepted it died before it could (a second copy changes no bill).
    """

    request_id: str
    url: str
    method: str
    body: str
    content_type: str
    secret: str
    reading: str
    attempts: int = 0

    @property
    def project_id(self) -> str:
        """Whose it is, as its reading says."""
        found = json.loads(self.reading)
        return str(found.get("project_id", "")) if isinstance(found, dict) else ""

    def to_hash(self) -> dict[str, str]:
        """The Redis hash; `size`: what all of it occupies, in bytes."""
        texts = {
            "url": self.url,
            "method": self.method,
            "body": self.body,
            "content_type": self.content_type,
            "secret": self.secret,
            "reading": self.reading,
            "attempts": str(self.attempts),
            "project_id": self.project_id,
        }
        return {**texts, "size": str(sum(len(text.encode()) for text in texts.values()) + RECORD_BYTES)}

    @classmethod
    def from_hash(cls, request_id: str, raw: Mapping[Any, Any]) -> Self:
        """Read back what `to_hash` made."""
        return cls(
            request_id=request_id,
            url=raw["url"],
            method=raw["method"],
            body=raw["body"],
            content_type=raw["content_type"],
            secret=raw["secret"],
            reading=raw["reading"],
            attempts=int(raw["attempts"]),
        )


class Deliveries:
    """The waiting deliveries. Every method raises RedisUnavailable."""

    def __init__(self, link: RedisLink, *, most_bytes: int) -> None:
        """`link`: one of its own, with a deadline that suits results of megabytes."""
        self._link = link
        self._writes = ReplicatedWrites(link)
        self._most_bytes = most_bytes

    async def room(self, project_id: str) -> Room:
        """Whether there is room for another result of this project."""
        return Room(await self._link.call(_LOOK, [DUE, BYTES], [project_id, RECORD_BYTES, self._most_bytes]))

    async def put(self, delivery: Delivery) -> Room:
        """Keep a delivery; it is due at once. Anything but FREE: it was not kept.

        Of an accepted result there is no other copy, so a replica has it, too, where one follows. One that does not
        confirm, or left lately, is RedisUnavailable: the delivery may be made all the same.
        """
        fields = delivery.to_hash()
        arguments: list[Any] = [delivery.project_id, fields["size"], self._most_bytes, delivery.request_id]
        for item in fields.items():
            arguments.extend(item)
        keys = [DUE, BYTES, record_key(delivery.request_id)]
        return Room(await self._writes.call(_PUT, keys, arguments))

    async def take(
        self, most: int, seconds: float, *, most_bytes: int, one_at_least: bool, passed_over: Collection[str] = ()
    ) -> list[Taken]:
        """Deliveries that are due, taken for so many seconds: at most one of each project, projects in turns.

        `most_bytes`: what all of them together may occupy; `one_at_least`: a single one may be larger. `passed_over`:
        projects of which none is wanted. Whoever takes, as every process does all the time, also learns of replicas.
        """
        await self._writes.look()
        arguments: list[Any] = [most, int(seconds * 1000), most_bytes, int(one_at_least), *passed_over]
        return [Taken(*found) for found in await self._link.call(_TAKE, [DUE, FORMER_DUE], arguments)]

    async def read(self, request_id: str) -> Delivery | None:
        """One delivery; None if another process has finished it meanwhile."""
        raw = await self._link.run(lambda client: client.hgetall(record_key(request_id)))
        return Delivery.from_hash(request_id, raw) if raw else None

    async def again(self, taken: Taken, attempts: int, seconds: float) -> None:
        """The attempt failed: due again after so many seconds."""
        keys = [DUE, record_key(taken.request_id)]
        await self._link.call(_AGAIN, keys, [taken.project_id, taken.request_id, attempts, int(seconds * 1000)])

    async def done(self, taken: Taken, *, failure: str | None = None) -> None:
        """Delivered, or given up: forget it, and write its reading. `failure`: why, to be reported to the customer."""
        report = "" if failure is None else given_up(taken, failure)
        keys = [DUE, BYTES, record_key(taken.request_id), USAGE_STREAM, ALERTS_STREAM]
        arguments: list[str | int] = [taken.project_id, taken.request_id, USAGE_FIELD, ALERTS_FIELD, MAX_ALERTS, report]
        await self._link.call(_DONE, keys, arguments)


def given_up(taken: Taken, failure: str) -> str:
    """What the customer gets to know of it. Of the URL only the host: the rest may hold a secret."""
    return json.dumps(
        {
            "type": "callback.failed",
            "project_id": taken.project_id,
            "request_id": taken.request_id,
            "host": urlsplit(taken.url).hostname or "",
            "attempts": taken.attempts + 1,
            "reason": failure,
        }
    )
