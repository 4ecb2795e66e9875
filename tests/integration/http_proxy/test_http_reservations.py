"""With RESERVE_AUDIO: files of known length are booked before they are transcribed, however they are read."""

import asyncio
import struct
from collections.abc import Awaitable, Callable

import pytest
import redis.asyncio as redis

from aldea.redis import schema
from aldea.tasks import spawn
from aldea.usage.reading import Rank
from tests.support.proxied import (
    PROJECT,
    RESULT,
    call,
    head,
    leases,
    load_key,
    post,
    proxying,
    readings,
    well,
)
from tests.unit.http_proxy.servers import Play, raw_server, read_request, response

# Sixty seconds of the lowest rate.
SAMPLES = bytes(240_000)
WAV = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 7, 1, 4000, 4000, 1, 8) + b"data\0\0\0\0" + SAMPLES
QUOTA_MS = 100_000
BILLED_MS = 5000
AIOHTTPS = "Expect: 100-continue"


def holding(release: asyncio.Event) -> Play:
    """A server that transcribes when it may."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request, _ = await read_request(reader)
            if not request.startswith(b"GET /stats "):
                await release.wait()
            writer.write(response(RESULT))
            await writer.drain()

    return play


async def used(client: redis.Redis) -> int:
    return sum([int(await client.get(name) or 0) for name in await client.keys(f"used:{PROJECT}:*")])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("more", [(), (AIOHTTPS,)], ids=["read by its bytes", "read by aiohttp"])
async def test_of_files_that_race_for_the_rest_of_a_quota_one_gets_in_and_nothing_of_the_others_is_booked(
    redis_url: str, redis_client: redis.Redis, more: tuple[str, ...]
) -> None:
    release = asyncio.Event()
    async with raw_server(holding(release)) as stt, proxying(redis_url, stt, reserve_audio=True) as proxy:
        await load_key(redis_client, monthly_audio_ms=QUOTA_MS)
        calls = [spawn(call(proxy, post(WAV, "/v1/listen", *more)), name="upload") for _ in range(6)]
        refused = 0
        async with asyncio.timeout(60):
            while refused < 5:
                done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                refused += len(done)
                calls = list(pending)
                for each in done:
                    reply = each.result()
                    assert (reply.status, reply.json["err_code"]) == (402, "ASR_PAYMENT_REQUIRED")
                    assert "estimated at 60 s: 60 of 100 s are used or reserved" in reply.json["err_msg"]
        assert await used(redis_client) == 60_000
        release.set()
        [last] = calls
        assert (await last).status == 200
        await until(lambda: _is(leases(redis_client), 0))
        assert await used(redis_client) == BILLED_MS
        finals = [one for one in await readings(redis_client) if one.rank is Rank.FINAL]
        assert sorted((one.status, one.audio_ms) for one in finals) == [(200, BILLED_MS), *[(402, 0)] * 5]
        assert not await redis_client.exists(schema.RESERVED)


async def _is(found: Awaitable[int], expected: int) -> bool:
    return await found == expected


@pytest.mark.parametrize(
    ("request_", "reserved"),
    [
        (post(WAV), True),
        (post(SAMPLES, "/v1/listen?encoding=mulaw&sample_rate=8000"), True),
        # Of these it is not known how long they are.
        (post(b"fLaC" + SAMPLES), False),
        (head("/v1/listen", "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(WAV), WAV), False),
        (post(WAV, "/v1/listen", "Content-Encoding: gzip"), False),
    ],
    ids=["a wav file", "raw audio", "compressed audio", "chunks", "a compressed body"],
)
async def test_only_what_says_how_long_it_is_is_reserved(
    redis_url: str, redis_client: redis.Redis, request_: bytes, reserved: bool
) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt, reserve_audio=True) as proxy:
        await load_key(redis_client, monthly_audio_ms=29_999)
        reply = await call(proxy, request_)
        assert reply.status == (402 if reserved else 200)
        assert len(seen) == (0 if reserved else 1)


async def test_a_file_that_was_looked_at_arrives_whole(redis_url: str, redis_client: redis.Redis) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt, reserve_audio=True) as proxy:
        for more in ((), (AIOHTTPS,)):
            assert (await call(proxy, post(WAV, "/v1/listen", *more))).status == 200
        assert [body for _, body in seen] == [WAV, WAV]
        assert await used(redis_client) == 2 * BILLED_MS


async def test_unless_it_is_set_nothing_is_reserved(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy:
        await load_key(redis_client, monthly_audio_ms=1)
        assert (await call(proxy, post(WAV))).status == 200
