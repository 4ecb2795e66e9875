"""What running files have reserved in Redis (reserve.lua): it is counted there, and not in PostgreSQL yet."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from redis.asyncio import Redis

from aldea.redis.link import RedisLink
from aldea.redis.schema import RESERVED, metered_key
from aldea.turns import in_turns
from backend.replication.mirror import Spent

# Requests of one call: some 40 KB.
BATCH: Final = 500


async def running(link: RedisLink) -> dict[str, str]:
    """The reservations of requests that run, by request; those of lost requests are forgotten. Raises RedisUnavailable.

    A proxy that was killed ends no request. What it reserved stays counted until the settlement finds it, which is when
    Redis no longer remembers the request as one that runs.
    """
    entries = await link.run(lambda client: client.hgetall(RESERVED))
    found = {str(request_id): str(text) for request_id, text in entries.items()}
    kept: dict[str, str] = {}
    requests = list(found)
    for start in range(0, len(requests), BATCH):
        batch = requests[start : start + BATCH]
        names = [metered_key(request_id) for request_id in batch]
        booked = await link.run(partial(_values, names))
        # `rank seq audio_ms reserved`; without the last it has ended.
        runs = [text is not None and str(text).count(" ") == 3 for text in booked]
        kept |= {request: found[request] for request, does in zip(batch, runs, strict=True) if does}
        lost = [request for request, does in zip(batch, runs, strict=True) if not does]
        if lost:
            await link.run(partial(_forget, lost))
    return kept


async def _values(names: list[str], client: Redis) -> list[Any]:
    return await client.mget(names)


async def _forget(requests: list[str], client: Redis) -> int:
    return await client.hdel(RESERVED, *requests)


async def without(figures: Mapping[str, Spent], reserved: Iterable[str]) -> dict[str, Spent]:
    """The figures less these reservations. Some are then below zero, since not every figure counts all of it."""
    audio: dict[str, int] = {}
    money: dict[str, int] = {}
    async for text in in_turns(list(reserved)):
        audio_ms, micros, *names = text.split()
        for name in set(names):
            audio[name] = audio.get(name, 0) + int(audio_ms)
            money[name] = money.get(name, 0) + int(micros)
    less = dict(figures)
    for name in audio.keys() & figures.keys():
        was = figures[name]
        less[name] = Spent(was.micros - money[name], was.corrected, was.audio_ms - audio[name], was.apart)
    return less
