"""How often something may be tried: counters in Redis, and in this process alone while Redis is unavailable.

A rule counts tries by one value (an address, an account) in windows that begin with the first try. A pace does the same
for what must never be closed to everybody, as an account: beyond its free tries no try is refused, but each has to
wait, the longer the more tries there were. An unavailable Redis must not lock people out, so the same rules then hold
per process: with several backend tasks an attacker gets their number times as many tries for as long as that lasts.
Redis learns hashes of the values, never the values.
"""

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from aldea import rate_limits
from aldea.errors import TooManyRequests
from aldea.rate_limits import Limit
from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink, Script

log = structlog.get_logger("backend.api.throttle")

# Counters that one process keeps while Redis is unavailable, some 200 bytes each; the oldest windows go first.
MAX_LOCAL: Final = 20_000

# How long a turn is kept for the client that waited for it, in ms: a person reads, and types a password again.
KEPT_TURN_MS: Final = 300_000

# All counters or none: a try that one rule refuses is not counted by the others. Returns the ms to wait, 0 if allowed;
# then each counter's tries and the ms until its window ends.
# With a pace's three numbers behind the counters' own, the last key is the turn of whoever tries, and the one before it
# counts what is paced. A turn has come when only the time for which it is kept is left of it.
_TAKE: Final = Script(
    """
local paced = #ARGV % 2 == 1
local counters = paced and #KEYS - 1 or #KEYS
local wait, seen = 0, {0}
for i = 1, counters do
    local tries, left = tonumber(redis.call('GET', KEYS[i]) or '0'), redis.call('PTTL', KEYS[i])
    seen[2 * i], seen[2 * i + 1] = tries, left
    if tries >= tonumber(ARGV[2 * i - 1]) then wait = math.max(wait, left, 1) end
end
local function refused(ms)
    seen[1] = ms
    return seen
end
if wait > 0 then return refused(wait) end
if paced then
    local free, step, longest = tonumber(ARGV[#ARGV - 2]), tonumber(ARGV[#ARGV - 1]), tonumber(ARGV[#ARGV])
    local over = tonumber(redis.call('GET', KEYS[counters]) or '0') - free
    if over > 0 then
        local left = redis.call('PTTL', KEYS[#KEYS])
        if left < 0 then
            wait = math.min(1000 * 2 ^ math.floor(over / step), longest)
            redis.call('SET', KEYS[#KEYS], '1', 'PX', string.format('%d', wait + KEPT))
            return refused(wait)
        end
        if left > KEPT then return refused(left - KEPT) end
        redis.call('DEL', KEYS[#KEYS])
    end
end
for i = 1, counters do
    seen[2 * i] = redis.call('INCR', KEYS[i])
    if seen[2 * i] == 1 then
        redis.call('EXPIRE', KEYS[i], ARGV[2 * i])
        seen[2 * i + 1] = 1000 * ARGV[2 * i]
    end
end
return seen
""".replace("KEPT", str(KEPT_TURN_MS))
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
    """At most `limit` tries of one value in `seconds`. `name` is part of the counters' names."""

    name: str
    limit: int
    seconds: int

    def of(self, value: str) -> "Count":
        """The counter of this value."""
        return Count(self, _name(self.name, value))


@dataclass(frozen=True, slots=True)
class Count:
    """One rule's counter of one value, by its name in Redis."""

    rule: Rule
    name: str


# A limit that is never reached: what is paced is counted and never refused.
_NEVER: Final = 2**31


@dataclass(frozen=True, slots=True)
class Pace:
    """Tries of one value within `seconds`: `free` of them at any pace, each later one after a wait of its own.

    The wait is a second, and doubles with every further `step` tries up to `longest` seconds.
    """

    name: str
    free: int
    step: int
    longest: int
    seconds: int

    def of(self, value: str, who: str) -> "Turn":
        """The turn of `who` at this value."""
        return Turn(self, Rule(self.name, _NEVER, self.seconds).of(value), _name(f"{self.name}-turn", f"{value} {who}"))

    def wait(self, tries: int) -> float:
        """Seconds to wait after so many tries."""
        over = tries - self.free
        return 0.0 if over <= 0 else min(2.0 ** min(over // self.step, 30), self.longest)


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody's turn at a paced value. `count`: of all tries of the value; `name`: of the turn in Redis."""

    pace: Pace
    count: Count
    name: str


def _name(rule: str, value: str) -> str:
    return f"throttle:{rule}:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


class Throttle:
    """Counts tries; one per process."""

    def __init__(self, link: RedisLink, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds that only ever rise, for the time without Redis."""
        self._link = link
        self._clock = clock
        self._local: dict[str, tuple[int, float]] = {}  # a counter's name → tries, end of its window
        self._turns: dict[str, float] = {}  # a turn's name → when it comes

    async def take(self, *rules: Count, turn: Turn | None = None) -> Mapping[str, str]:
        """Count one try; the headers of its rate limits, for the response.

        Raises TooManyRequests, with the time to wait and the same headers, if a counter is at its limit. `turn`: of a
        paced value, which has to have come.
        """
        counts = rules
        names = [count.name for count in counts]
        numbers = [number for count in counts for number in (count.rule.limit, count.rule.seconds)]
        if turn is not None:
            counts = (*counts, turn.count)
            names += [turn.count.name, turn.name]
            pace = turn.pace
            numbers += [_NEVER, pace.seconds, pace.free, pace.step, 1000 * pace.longest]
        try:
            wait_ms, *seen = map(int, await self._link.call(_TAKE, names, numbers))
            wait = wait_ms / 1000
            found = [(tries, left / 1000) for tries, left in zip(seen[::2], seen[1::2], strict=True)]
        except RedisUnavailable as error:
            log.warning("redis throttle failed, counting in this process alone", error=str(error))
            wait = self._take_here(counts, turn)
            now = self._clock()
            found = [(tries, ends - now) for tries, ends in (self._local.get(one.name, (0, now)) for one in rules)]
        # A paced value has no limit, and how often others tried it is nobody's business.
        said = rate_limits.headers(_standing(one.rule, *of) for one, of in zip(rules, found, strict=False))
        if wait > 0:
            refused = TooManyRequests("Too many tries. Wait as Retry-After says, then try again.", retry_after=wait)
            refused.rate_limits = said
            raise refused
        return said

    async def give_back(self, *counts: Count) -> None:
        """Take back the count of a try that succeeded."""
        try:
            await self._link.call(_GIVE_BACK, [count.name for count in counts], [])
        except RedisUnavailable:
            for count in counts:
                tries, ends = self._local.get(count.name, (0, 0.0))
                if tries > 0:
                    self._local[count.name] = tries - 1, ends

    def _take_here(self, counts: tuple[Count, ...], turn: Turn | None) -> float:
        now = self._clock()
        found = {count: self._local.get(count.name, (0, 0.0)) for count in counts}
        current = {
            count: (tries, ends) if ends > now else (0, now + count.rule.seconds)
            for count, (tries, ends) in found.items()
        }
        if full := [ends - now for count, (tries, ends) in current.items() if tries >= count.rule.limit]:
            return max(full)
        if turn is not None and (wait := self._wait_here(turn, current[turn.count][0], now)) > 0:
            return wait
        for count, (tries, ends) in current.items():
            self._local.pop(count.name, None)
            self._local[count.name] = tries + 1, ends
        while len(self._local) > MAX_LOCAL:
            del self._local[next(iter(self._local))]
        return 0.0

    def _wait_here(self, turn: Turn, tries: int, now: float) -> float:
        wait = turn.pace.wait(tries)
        if wait <= 0:
            return 0.0
        comes = self._turns.pop(turn.name, None)
        if comes is None or now > comes + KEPT_TURN_MS / 1000:
            comes = now + wait
        elif now >= comes:
            return 0.0
        self._turns[turn.name] = comes
        while len(self._turns) > MAX_LOCAL:
            del self._turns[next(iter(self._turns))]
        return comes - now


def _standing(rule: Rule, tries: int, seconds: float) -> Limit:
    return Limit(rule.name, rule.limit, max(0, rule.limit - tries), rule.seconds, max(0, math.ceil(seconds)))


THROTTLE: Final = web.AppKey("throttle", Throttle)
