"""Results that wait for their delivery, in Redis: what one process accepted, any other can deliver.

- `callbacks:due`   ZSET of waiting deliveries: member = request id, score = when it is due, ms of Redis' clock
- `callbacks:bytes` what all waiting results occupy together
- `callback:{id}`   hash of one delivery

A process that takes a delivery moves its time into the future by more than an attempt may last; if it dies, the
delivery becomes due again by itself. So each is delivered at least once. Each step is one script; twice is harmless.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from aldea.redis_link import RedisLink, Script
from aldea.redis_schema import USAGE_FIELD, USAGE_STREAM

DUE: Final = "callbacks:due"
BYTES: Final = "callbacks:bytes"

_NOW: Final = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
# KEYS due, bytes, record; ARGV id, size, most bytes, field, value …
_PUT: Final = Script(
    _NOW
    + """
if redis.call('EXISTS', KEYS[3]) == 1 then return 1 end
if tonumber(redis.call('GET', KEYS[2]) or '0') + ARGV[2] > tonumber(ARGV[3]) then return 0 end
for n = 4, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[n], ARGV[n + 1]) end
redis.call('INCRBY', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
return 1
"""
)
# KEYS due; ARGV how many, ms that they are taken for
_TAKE: Final = Script(
    _NOW
    + """
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], now + ARGV[2], id) end
return ids
"""
)
# KEYS due, record; ARGV id, number of attempts made, ms until the next
_AGAIN: Final = Script(
    _NOW
    + """
if redis.call('EXISTS', KEYS[2]) == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('HSET', KEYS[2], 'attempts', ARGV[2])
return redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
"""
)
# KEYS due, bytes, record, usage stream; ARGV id, the stream's field
_DONE: Final = Script(
    """
redis.call('ZREM', KEYS[1], ARGV[1])
local size, reading = unpack(redis.call('HMGET', KEYS[3], 'size', 'reading'))
if not size then return 0 end
redis.call('DECRBY', KEYS[2], size)
redis.call('DEL', KEYS[3])
redis.call('XADD', KEYS[4], '*', ARGV[2], reading)
return 1
"""
)


def record_key(request_id: str) -> str:
    """Where one delivery stands."""
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

    def to_hash(self) -> dict[str, str]:
        """The Redis hash."""
        return {
            "url": self.url,
            "method": self.method,
            "body": self.body,
            "content_type": self.content_type,
            "secret": self.secret,
            "reading": self.reading,
            "attempts": str(self.attempts),
            "size": str(len(self.body.encode())),
        }

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
        self._most_bytes = most_bytes

    async def room(self) -> bool:
        """Whether there is room for another result."""
        held = await self._link.run(lambda client: client.get(BYTES))
        return int(held or 0) < self._most_bytes

    async def put(self, delivery: Delivery) -> bool:
        """Keep a delivery; it is due at once. False: no room."""
        fields = delivery.to_hash()
        arguments: list[Any] = [delivery.request_id, fields["size"], self._most_bytes]
        for item in fields.items():
            arguments.extend(item)
        kept = await self._link.call(_PUT, [DUE, BYTES, record_key(delivery.request_id)], arguments)
        return bool(kept)

    async def take(self, most: int, seconds: float) -> list[str]:
        """Request ids of deliveries that are due, taken for so many seconds."""
        ids: list[str] = await self._link.call(_TAKE, [DUE], [most, int(seconds * 1000)])
        return ids

    async def read(self, request_id: str) -> Delivery | None:
        """One delivery; None if another process has finished it meanwhile."""
        raw = await self._link.run(lambda client: client.hgetall(record_key(request_id)))
        return Delivery.from_hash(request_id, raw) if raw else None

    async def again(self, delivery: Delivery, attempts: int, seconds: float) -> None:
        """The attempt failed: due again after so many seconds."""
        keys = [DUE, record_key(delivery.request_id)]
        await self._link.call(_AGAIN, keys, [delivery.request_id, attempts, int(seconds * 1000)])

    async def done(self, request_id: str) -> None:
        """Delivered, or given up: forget it, and write its reading."""
        keys = [DUE, BYTES, record_key(request_id), USAGE_STREAM]
        await self._link.call(_DONE, keys, [request_id, USAGE_FIELD])
