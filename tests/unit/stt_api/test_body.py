import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aldea.errors import BadRequest, UnprocessableEntity
from aldea.service import new_app
from stt_api import body as module
from stt_api.body import CHUNK_BYTES, Unpacker, departure, plain_body


def unpacked(encoding: str, data: bytes, chunk: int = 100) -> bytes:
    unpacker, found = Unpacker(encoding), bytearray()
    for at in range(0, len(data), chunk):
        unpacker.feed(data[at : at + chunk])
        while unpacker.waiting:
            part = unpacker.read()
            assert len(part) <= max(CHUNK_BYTES, chunk)
            found += part
    unpacker.end()
    return bytes(found)


AUDIO = bytes(range(256)) * 500


@pytest.mark.parametrize("chunk", [1, 1000, 1 << 20])
@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("", AUDIO),
        ("gzip", gzip.compress(AUDIO)),
        ("GZIP", gzip.compress(AUDIO[:5]) + gzip.compress(AUDIO[5:])),
        ("deflate", zlib.compress(AUDIO)),
        ("deflate", zlib.compress(AUDIO, wbits=-15)),
    ],
)
def test_what_was_packed_comes_out_whole_wherever_it_is_cut(encoding: str, data: bytes, chunk: int) -> None:
    assert unpacked(encoding, data, chunk) == AUDIO


def test_a_body_that_unfolds_to_any_size_comes_in_bounded_pieces() -> None:
    assert len(unpacked("gzip", gzip.compress(bytes(20 << 20)), 1 << 20)) == 20 << 20


@pytest.mark.parametrize("cut", [1, 5, 10, 1000])
def test_a_packed_body_that_is_cut_broke_off(cut: int) -> None:
    with pytest.raises(UnprocessableEntity, match="has no end"):
        unpacked("gzip", gzip.compress(AUDIO)[:-cut])


@pytest.mark.parametrize("data", [AUDIO, gzip.compress(AUDIO) + b"rest", gzip.compress(AUDIO)[:-8] + bytes(8)])
def test_what_is_not_packed_as_it_says_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest, match="Content-Encoding"):
        unpacked("gzip", data)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x" * 1000])
def test_an_unknown_encoding_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(BadRequest, match="allowed: gzip, deflate or none"):
        Unpacker(encoding)


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[TestServer]:
    app = new_app()
    app.router.add_post("/", handler)
    server = TestServer(app)
    await server.start_server(auto_decompress=False)
    async with server:
        yield server


async def swallow(request: web.Request) -> web.StreamResponse:
    return web.Response(text=str(sum([len(chunk) async for chunk in plain_body(request)])))


async def status_of(server: TestServer, *sent: bytes, pause: float = 0.0) -> int:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        for piece in sent:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(10):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def test_a_body_that_stands_still_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.1)
    async with serving(swallow) as server:
        assert await status_of(server, bytes(10)) == 408


async def test_a_body_that_trickles_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.2)
    async with serving(swallow) as server:
        assert await status_of(server, *([b"x"] * 12), pause=0.05) == 408


async def test_who_has_left_is_noticed_though_nothing_is_read() -> None:
    noticed = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.pause_reading()
        with pytest.raises(UnprocessableEntity):
            await departure(request)
        noticed.set()
        return web.Response()

    async with serving(wait) as server:
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + bytes(10))
        await writer.drain()
        writer.close()
        async with asyncio.timeout(10):
            await noticed.wait()
