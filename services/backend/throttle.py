"""How often something may be tried: counters in Redis, and in this process alone while Redis is away.

A rule counts tries by one value (an address, an account) in windows that begin with the first try. Redis being away
must not keep people out, so the same rules then hold per process: with several backend tasks an attacker gains their
number as a factor for as long as that lasts. Redis learns hashes of the values, never the values.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from aldea.errors import TooManyRequests
from aldea.redis_faults import RedisUnavailable
from aldea.redis_link import RedisLink, Script

log = structlog.get_logger("backend.throttle")

# Counters that one process keeps while Redis is away, some 200 bytes each; the oldest windows go first.
MAX_LOCAL: Final = 20_000

# All counters or none: a try that one rule refuses is not counted by the others. Answers with ms to wait, 0 if let in.
_TAKE: Final = Script(
    """
local wait = 0
for i, name in ipairs(KEYS) do
    if tonumber(redis.call('GET', name) or '0') >= tonumber(ARGV[2 * i - 1]) then
        wait = math.max(wait, redis.call('PTTL', name), 1)
    end
end
if wait > 0 then return wait end
for i, name in ipairs(KEYS) do
    if redis.call('INCR', name) == 1 then redis.call('EXPIRE', name, ARGV[2 * i]) end
end
return 0
"""
)
_GIVE_BACK: Final = Script(
    """
for _, name in ipairs(KEYS) do
    if tonumber(redis.call('GET', name) or '0') > 0 then redis.call('DECR', name) end
end
return 0
"""
)


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` tries of one value in `seconds`. `name` stands in the counters' names."""

    name: str
    limit: int
    seconds: int

    def of(self, value: str) -> "Count":
        """The counter of this value."""
        return Count(self, f"throttle:{self.name}:{hashlib.sha256(value.encode()).hexdigest()[:32]}")


@dataclass(frozen=True, slots=True)
class Count:
    """One rule's counter of one value, by its name in Redis."""

    rule: Rule
    name: str


class Throttle:
    """Counts tries; one per process."""

    def __init__(self, link: RedisLink, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds that only ever rise, for the time without Redis."""
        self._link = link
        self._clock = clock
        self._local: dict[str, tuple[int, float]] = {}  # a counter's name → tries, end of its window

    async def take(self, *counts: Count) -> None:
        """Count one try. Raises TooManyRequests, with the time to wait, if a counter is at its limit."""
        limits = [number for count in counts for number in (count.rule.limit, count.rule.seconds)]
        try:
            wait = int(await self._link.call(_TAKE, [count.name for count in counts], limits)) / 1000
        except RedisUnavailable as error:
            log.warning("throttled by this process alone", error=str(error))
            wait = self._take_here(counts)
        if wait > 0:
            raise TooManyRequests("Too many tries. Wait as Retry-After says, then try again.", retry_after=wait)

    async def give_back(self, *counts: Count) -> None:
        """A try turned out well and does not count."""
        try:
            await self._link.call(_GIVE_BACK, [count.name for count in counts], [])
        except RedisUnavailable:
            for count in counts:
                tries, ends = self._local.get(count.name, (0, 0.0))
                if tries > 0:
                    self._local[count.name] = tries - 1, ends

    def _take_here(self, counts: tuple[Count, ...]) -> float:
        now = self._clock()
        found = {count: self._local.get(count.name, (0, 0.0)) for count in counts}
        current = {
            count: (tries, ends) if ends > now else (0, now + count.rule.seconds)
            for count, (tries, ends) in found.items()
        }
        if full := [ends - now for count, (tries, ends) in current.items() if tries >= count.rule.limit]:
            return max(full)
        for count, (tries, ends) in current.items():
            self._local.pop(count.name, None)
            self._local[count.name] = tries + 1, ends
        while len(self._local) > MAX_LOCAL:
            del self._local[next(iter(self._local))]
        return 0.0


THROTTLE: Final = web.AppKey("throttle", Throttle)
