"""The http-proxy while Redis is unavailable, while processes are stopped or killed, and while others share its work."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis.asyncio as redis

from aldea.redis import schema
from aldea.usage.reading import Rank, UsageReading
from http_proxy.callbacks import delivery
from onebox.process import Process
from tests.integration.admission.test_admission_faults import Server
from tests.integration.http_proxy.test_http_callbacks import receiving, target, until_empty
from tests.support.proxied import (
    PROJECT,
    RESULT,
    Proxy,
    call,
    call_past_a_loss,
    client_of,
    head,
    leases,
    load_key,
    post,
    proxy_process,
    proxying,
    readings,
    well,
)
from tests.support.proxies import eventually
from tests.unit.http_proxy.servers import raw_server, read_request, response, silent


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The callback workers need not be waited for."""
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.02)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Server]:
    """A Redis of the test's own, to be mistreated."""
    found = Server(tmp_path / "redis")
    yield found
    found.process.stop()


@asynccontextmanager
async def client_to(server: Server) -> AsyncIterator[redis.Redis]:
    async with redis.from_url(server.url, decode_responses=True) as client:
        yield client


async def finals(client: redis.Redis, count: int) -> list[UsageReading]:
    """The last final reading of each request, as soon as there are so many requests."""
    async with asyncio.timeout(60):
        while True:
            found = [reading for reading in await readings(client) if reading.rank is Rank.FINAL]
            last = {reading.request_id: reading for reading in sorted(found, key=lambda reading: reading.order)}
            if len(last) >= count:
                assert len(last) == count
                return list(last.values())
            await asyncio.sleep(0.01)


async def used(client: redis.Redis, reading: UsageReading) -> int:
    return int(await client.get(schema.used_key(PROJECT, schema.month(reading.started_ms))) or 0)


# Redis.


async def test_without_redis_a_key_never_seen_is_refused_with_retry_after(own_redis: Server) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(own_redis.url, stt) as proxy:
        own_redis.kill()
        reply = await call(proxy, post())
        assert (reply.status, reply.json["err_code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(reply.headers["retry-after"]) >= 1
        assert [body for _, body in seen if body] == []


async def test_without_redis_a_known_key_is_served_and_billed_when_it_is_back(own_redis: Server) -> None:
    async with raw_server(well()) as stt, proxying(own_redis.url, stt) as proxy:
        assert (await call(proxy, post())).status == 200
        own_redis.kill()
        replies = [await call(proxy, post()) for _ in range(3)]
        assert [(reply.status, reply.body) for reply in replies] == [(200, RESULT)] * 3
        own_redis.restart()
        async with client_to(own_redis) as client:
            found = await finals(client, 4)
            assert [reading.audio_ms for reading in found] == [5000] * 4
            assert await used(client, found[0]) == 4 * 5000
            assert await leases(client) == 0


async def test_redis_may_die_in_the_middle_of_an_upload(own_redis: Server) -> None:
    async with raw_server(well()) as stt, proxying(own_redis.url, stt) as proxy:
        async with client_of(proxy) as client:
            await client.send(head("/v1/listen", "Content-Length: 10") + b"audio")
            while not len(proxy.resources.renewals):
                await asyncio.sleep(0.01)
            own_redis.kill()
            await client.send(b"-part")
            assert (await client.reply()).body == RESULT
        own_redis.restart()
        async with client_to(own_redis) as found:
            [reading] = await finals(found, 1)
            assert (reading.status, reading.audio_ms) == (200, 5000)


async def test_without_redis_a_callback_is_refused_before_any_work(own_redis: Server) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with receiving() as receiver, raw_server(well(seen)) as stt, proxying(own_redis.url, stt) as proxy:
        assert (await call(proxy, post())).status == 200
        own_redis.kill()
        reply = await call(proxy, post(b"audio", target(receiver)))
        assert (reply.status, reply.json["err_code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(reply.headers["retry-after"]) >= 1
        assert len([body for _, body in seen if body]) == 1


async def test_a_result_that_redis_could_not_keep_is_neither_promised_nor_billed(own_redis: Server) -> None:
    transcribed = asyncio.Event()

    async def outlives_redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"POST" in (await read_request(reader))[0]:
            own_redis.kill()
            transcribed.set()
            writer.write(response(RESULT))
            await writer.drain()

    async with receiving() as receiver, raw_server(outlives_redis) as stt, proxying(own_redis.url, stt) as proxy:
        async with asyncio.timeout(60):
            # On a busy machine Redis may count as unavailable before it is: such a request ends at admission.
            while not transcribed.is_set():
                reply = await call(proxy, post(b"audio", target(receiver)))
                assert (reply.status, reply.json["err_code"]) == (503, "SERVICE_UNAVAILABLE")
        own_redis.restart()
        async with client_to(own_redis) as client:
            [reading] = await finals(client, 1)
            assert (reading.status, reading.audio_ms) == (503, 0)
        assert receiver.got == []


# Processes.


@dataclass(frozen=True)
class Running:
    """A proxy in a process of its own."""

    process: Process
    port: int


@asynccontextmanager
async def running(redis_url: str, stt: int, log: Path) -> AsyncIterator[Running]:
    process, port = proxy_process(redis_url, stt, log)
    # The kernel ends it with the thread that started it, so that is this one; others may wait for it.
    process.launch()
    try:
        await asyncio.to_thread(process.wait_ready)
        yield Running(process, port)
    finally:
        process.kill()


async def test_sigterm_finishes_what_is_in_flight_and_refuses_the_rest(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    await load_key(redis_client)
    async with raw_server(well()) as stt, running(redis_url, stt, tmp_path / "log") as proxy:
        where: Proxy = proxy  # type: ignore[assignment]  # only its port is used
        async with client_of(where) as kept, client_of(where) as client:
            await kept.send(post())
            assert (await kept.reply()).status == 200
            await client.send(head("/v1/listen", "Content-Length: 10") + b"audio")
            while not await leases(redis_client):
                await asyncio.sleep(0.01)
            proxy.process.signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                while (refused := await call(where, post())).status == 200:
                    await asyncio.sleep(0.01)
            await kept.send(post())
            for reply in (refused, await kept.reply()):
                assert (reply.status, reply.json["err_code"]) == (503, "SERVICE_UNAVAILABLE")
                assert int(reply.headers["retry-after"]) >= 1
            await client.send(b"-part")
            reply = await client.reply()
            assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await asyncio.to_thread(proxy.process.wait, 60) == 0
        assert await leases(redis_client) == 0


@pytest.mark.parametrize(
    ("drain_seconds", "signals"), [("60", 2), ("0.2", 1)], ids=["a second SIGTERM", "its time is over"]
)
async def test_a_drain_that_is_cut_short_responds_to_what_is_in_flight_and_writes_its_end(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, drain_seconds: str, signals: int
) -> None:
    await load_key(redis_client)
    async with raw_server(silent) as stt:
        process, port = proxy_process(redis_url, stt, tmp_path / "log", DRAIN_SECONDS=drain_seconds)
        where: Proxy = Running(process, port)  # type: ignore[assignment]
        try:
            await asyncio.to_thread(process.start)
            async with client_of(where) as uploading, client_of(where) as waiting:
                await uploading.send(head("/v1/listen", "Content-Length: 10") + b"audio")
                await waiting.send(post())

                async def both() -> bool:
                    return await leases(redis_client) == 2

                await eventually(both, 60)
                process.signal(signal.SIGTERM)
                await eventually(lambda: "drain begins" in (tmp_path / "log").read_text(), 60)
                if signals == 2:
                    process.signal(signal.SIGTERM)
                for client in (uploading, waiting):
                    reply = await client.reply()
                    assert (reply.status, reply.json["err_code"]) == (503, "SERVICE_UNAVAILABLE")
                    assert int(reply.headers["retry-after"]) >= 1
            assert await asyncio.to_thread(process.wait, 60) == 0
        finally:
            process.stop()
        assert [(final.status, final.audio_ms) for final in await finals(redis_client, 2)] == [(503, 0)] * 2
        assert await leases(redis_client) == 0


async def test_a_killed_process_leaves_a_lease_that_lapses_and_a_trace_for_the_bill(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    await load_key(redis_client)
    async with raw_server(well()) as stt, running(redis_url, stt, tmp_path / "log") as proxy:
        where: Proxy = proxy  # type: ignore[assignment]
        async with client_of(where) as client:
            await client.send(head("/v1/listen", "Content-Length: 10") + b"audio")
            while not await leases(redis_client):
                await asyncio.sleep(0.01)
            proxy.process.kill()
        raw: Any = redis_client
        [(_, lapses)] = await raw.zrange(schema.leases_key(PROJECT), 0, -1, withscores=True)
        now, _ = await raw.time()
        assert lapses / 1000 <= now + 31
        [opening] = await readings(redis_client)
        assert (opening.rank, opening.audio_ms) == (Rank.OPEN, 0)


async def test_proxies_that_share_a_redis_deliver_each_result_once(redis_url: str, redis_client: redis.Redis) -> None:
    async with (
        receiving() as receiver,
        raw_server(well()) as stt,
        proxying(redis_url, stt) as one,
        proxying(redis_url, stt) as two,
    ):
        replies = await asyncio.gather(*(call(proxy, post(b"audio", target(receiver))) for proxy in [one, two] * 10))
        await receiver.wait_for(20)
        await until_empty(redis_client)
        delivered = sorted(headers["dg-request-id"] for _, headers, _ in receiver.got)
        assert delivered == sorted(reply.json["request_id"] for reply in replies)
        found = await finals(redis_client, 20)
        assert await used(redis_client, found[0]) == 20 * 5000


# Servers.


async def test_a_chunked_upload_is_sent_again_from_its_start_and_billed_once(
    redis_url: str, redis_client: redis.Redis
) -> None:
    async def dies(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(10)

    begun = head("/v1/listen", "Transfer-Encoding: chunked") + b"5\r\naudio\r\n"
    reply, bodies = await call_past_a_loss(redis_url, dies, begun, b"5\r\n-part\r\n0\r\n\r\n")
    assert reply.body == RESULT
    assert bodies == [b"audio-part"]
    [reading] = await finals(redis_client, 1)
    assert (reading.audio_ms, reading.bytes_in) == (5000, 10)


async def test_a_server_that_dies_in_its_response_leaves_nothing_to_deliver(
    redis_url: str, redis_client: redis.Redis
) -> None:
    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + RESULT)
        await writer.drain()

    async with receiving() as receiver, raw_server(dies) as stt, proxying(redis_url, stt) as proxy:
        reply = await call(proxy, post(b"audio", target(receiver)))
        assert (reply.status, reply.json["err_code"]) == (502, "BAD_GATEWAY")
        [reading] = await finals(redis_client, 1)
        assert (reading.status, reading.audio_ms) == (502, 0)
        assert not await redis_client.keys("callback*")


async def test_a_client_that_left_gets_its_callback_all_the_same(redis_url: str, redis_client: redis.Redis) -> None:
    had, go = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"POST" in (await read_request(reader))[0]:
            had.set()
            await go.wait()
            writer.write(response(RESULT))
            await writer.drain()

    async with receiving() as receiver, raw_server(serve) as stt, proxying(redis_url, stt) as proxy:
        async with client_of(proxy) as client:
            await client.send(post(b"audio", f"/v1/listen?callback={quote(receiver.url, safe='')}"))
            await asyncio.wait_for(had.wait(), 60)
        go.set()
        await receiver.wait_for(1)
        await until_empty(redis_client)
        [reading] = await finals(redis_client, 1)
        assert reading.audio_ms == 5000
