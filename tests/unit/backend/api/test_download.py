"""Downloads: piece by piece, whole or cut, and let go of in any case."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from aldea.errors import ServiceUnavailable, TooManyRequests
from aldea.service.lifecycle import new_app
from backend.api import download as subject
from backend.api.access import Public
from backend.api.download import Download
from backend.api.endpoint import Call, Endpoint, register


class Source:
    """Pieces, then perhaps a failure; knows whether it was let go of."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = [b"a,b\r\n", b"1,2\r\n"]
        self.failure: Exception | None = None
        self.refusal: Exception | None = None
        self.endless = False
        self.closed = asyncio.Event()

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        if self.refusal is not None:
            raise self.refusal
        try:
            for piece in self.pieces:
                yield piece
            while self.endless:
                yield b"x" * 65_536
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed.set()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def client(source: Source) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async def fetch(_call: Call) -> Download:
        """A file."""
        return Download(filename="file.csv", pieces=source())

    app = new_app()
    common: Any = {"summary": "", "tag": "", "errors": {}, "access": Public()}
    register(app, [Endpoint(method="GET", path="/file", handler=fetch, media_type="text/csv", **common)])
    async with TestClient(TestServer(app)) as found:
        yield found


async def test_all_pieces_arrive_as_one_attachment(client: Any, source: Source) -> None:
    async with client.get("/file") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"] == 'attachment; filename="file.csv"'
        assert await response.read() == b"a,b\r\n1,2\r\n"
    assert source.closed.is_set()


async def test_a_refusal_at_the_first_piece_is_an_ordinary_error(client: Any, source: Source) -> None:
    source.refusal = TooManyRequests("busy", retry_after=3)
    async with client.get("/file") as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "3"
        assert (await response.json())["err_msg"].startswith("busy See ")


async def test_a_failure_in_the_middle_cuts_the_connection(client: Any, source: Source) -> None:
    source.failure = ServiceUnavailable("unavailable")
    async with client.get("/file") as response:
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    assert source.closed.is_set()


async def test_a_client_that_leaves_lets_go_of_the_source(client: Any, source: Source) -> None:
    source.endless = True
    async with client.get("/file") as response:
        await response.content.readexactly(100_000)
        response.close()
    async with asyncio.timeout(60):
        await source.closed.wait()


async def test_a_client_that_reads_nothing_is_given_up(
    client: Any, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "STALL_SECONDS", 0.2)
    source.endless = True
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1)
    writer.write(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(60):
        await source.closed.wait()
    writer.close()
    assert not reader.at_eof()
