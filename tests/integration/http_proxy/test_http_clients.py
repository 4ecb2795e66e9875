"""The http-proxy and clients that leave, stall, break off or stop taking: what they get, and what is billed."""

import asyncio
from typing import Any

import pytest
import redis.asyncio as redis

from aldea.tasks import cancel, spawn
from http_proxy.upload import Upload
from http_proxy.upstream_connection import Connection
from tests.support.proxied import (
    RESULT,
    call,
    client_of,
    final,
    head,
    leases,
    plays,
    post,
    proxying,
    well,
)
from tests.unit.http_proxy.servers import raw_server, read_head, read_request, response

# Plain uploads as they are read without aiohttp, and as aiohttp reads them.
BOTH = pytest.mark.parametrize("raw", [True, False], ids=["raw", "aiohttp"])


@BOTH
async def test_a_client_that_leaves_in_its_upload_frees_everything(
    redis_url: str, redis_client: redis.Redis, raw: bool
) -> None:
    lost = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        try:
            await read_request(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            lost.set()

    async with raw_server(serve) as stt, proxying(redis_url, stt, raw_uploads=raw) as proxy:
        async with client_of(proxy) as client:
            await client.send(head("/v1/listen", "Content-Length: 1000000") + b"audio")
            while not await leases(redis_client):  # until it is under way
                await asyncio.sleep(0.01)
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (422, 0)
        await asyncio.wait_for(lost.wait(), 60)
        assert await leases(redis_client) == 0
        assert proxy.resources.upstreams.servers[0].healthy


@BOTH
async def test_a_client_that_leaves_after_its_upload_is_billed_when_the_server_responds(
    redis_url: str, redis_client: redis.Redis, raw: bool
) -> None:
    had, go = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"POST" not in (await read_request(reader))[0]:
            return
        had.set()
        await go.wait()
        writer.write(response(RESULT))
        await writer.drain()

    async with raw_server(serve) as stt, proxying(redis_url, stt, raw_uploads=raw) as proxy:
        async with client_of(proxy) as client:
            await client.send(post())
            await asyncio.wait_for(had.wait(), 60)
        await asyncio.sleep(0)
        go.set()
        assert (await final(redis_client)).audio_ms == 5000


async def test_a_client_that_stops_taking_its_response_is_cut_and_billed(
    redis_url: str, redis_client: redis.Redis
) -> None:
    text = b'{"results":{"x":"' + b"y" * 30_000_000 + b'"},"metadata":{"duration":1,"channels":1}}'
    async with (
        raw_server(plays(response(text))) as stt,
        proxying(redis_url, stt, answer_stall_seconds=0.1) as proxy,
        client_of(proxy) as client,
    ):
        await client.send(post())  # and its reader's bound stops the transport soon
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (200, 1000)
        assert proxy.resources.upstreams.servers[0].circuit._failed_requests == 0


@BOTH
async def test_a_body_that_breaks_off_is_422(redis_url: str, redis_client: redis.Redis, raw: bool) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt, raw_uploads=raw) as proxy:
        async with client_of(proxy) as client:
            await client.send(head("/v1/listen", "Content-Length: 1000") + b"audio")
            client.writer.write_eof()
            reply = await client.reply()
            assert (reply.status, reply.json["err_code"]) == (422, "ASR_UNPROCESSABLE_ENTITY")
        assert (await final(redis_client)).status == 422


async def test_broken_chunks_are_422(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Transfer-Encoding: chunked") + b"5\r\naudio\r\n")
        while not await leases(redis_client):
            await asyncio.sleep(0.01)
        await client.send(b"zz\r\n")
        assert (await client.reply()).status == 422


@BOTH
async def test_a_client_that_closes_its_side_after_its_upload_still_gets_its_response(
    redis_url: str, raw: bool
) -> None:
    async with (
        raw_server(well()) as stt,
        proxying(redis_url, stt, raw_uploads=raw) as proxy,
        client_of(proxy) as client,
    ):
        client.writer.write(post())
        client.writer.write_eof()
        assert (await client.reply()).body == RESULT


@BOTH
async def test_a_slow_upload_is_408(redis_url: str, redis_client: redis.Redis, raw: bool) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt, upload_stall_seconds=0.05, raw_uploads=raw) as proxy:
        reply = await call(proxy, head("/v1/listen", "Content-Length: 1000") + b"audio")
        assert (reply.status, reply.json["err_code"]) == (408, "SLOW_UPLOAD")
        assert (await final(redis_client)).status == 408


async def test_a_chunked_upload_beyond_the_cap_is_413(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt, max_body_bytes=10) as proxy:
        chunks = b"b\r\n0123456789a\r\n0\r\n\r\n"
        reply = await call(proxy, head("/v1/listen", "Transfer-Encoding: chunked") + chunks)
        assert (reply.status, reply.json["err_code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert (await final(redis_client)).status == 413


async def test_a_compressed_body_passes_as_it_was_sent(redis_url: str) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt) as proxy:
        await call(proxy, post(b"not gzip at all", "/v1/listen", "Content-Encoding: gzip"))
        assert seen[0][1] == b"not gzip at all"


async def test_a_slow_server_holds_the_client_back(redis_url: str) -> None:
    go = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await go.wait()
        left = 100_000_000
        while left and (data := await reader.read(min(left, 1 << 20))):
            left -= len(data)
        writer.write(response(RESULT))
        await writer.drain()

    async with raw_server(slow) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 100000000"))
        sent = 0

        async def upload() -> None:
            nonlocal sent
            while sent < 100_000_000:
                await client.send(b"x" * 1_000_000)
                sent += 1_000_000

        uploading = spawn(upload(), name="upload")
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 50_000_000, "what the kernel's buffers and ours hold, not the upload"
        go.set()
        assert (await client.reply()).status == 200
        await cancel(uploading)


async def test_an_upload_holds_a_bounded_number_of_bytes_while_its_server_reads_nothing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = asyncio.Event()
    started: list[Connection] = []
    bodies: list[Any] = []
    start, check = Connection.start, Upload.check

    def noted_start(self: Connection, *arguments: Any, **more: Any) -> None:
        started.append(self)
        start(self, *arguments, **more)

    def noted_check(self: Upload) -> None:
        bodies.append(self._content)
        check(self)

    monkeypatch.setattr(Connection, "start", noted_start)
    monkeypatch.setattr(Upload, "check", noted_check)

    async def deaf(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await hold.wait()

    async with raw_server(deaf) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 30000000"))

        async def upload() -> None:
            for _ in range(300):
                await client.send(b"x" * 100_000)

        uploading = spawn(upload(), name="upload")

        def held() -> int:
            written = sum(c.transport.get_write_buffer_size() for c in started if c.transport is not None)
            return written + sum(int(body._size) for body in bodies)

        before = -1
        async with asyncio.timeout(60):
            while not held() or held() != before:  # until nothing moves any more
                before = held()
                await asyncio.sleep(0.2)
        assert not uploading.done(), "all of it fitted into the kernel's buffers"
        assert held() <= 1 << 20
        await cancel(uploading)
        hold.set()
