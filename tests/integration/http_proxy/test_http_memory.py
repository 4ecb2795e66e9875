"""What http_proxy holds of an upload while it passes. `UPLOAD_MB=1024` makes it the 1 GB of the documents."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
from aiohttp import ClientSession, FormData

from aldea.tasks import spawn
from onebox.process import Process
from tests.support.proxies import Customer, running

MEGABYTE = 1 << 20
UPLOAD_MB = int(os.environ.get("UPLOAD_MB", "128"))
# docs/performance.md: the same bound as for 20 uploads at once.
MOST_ADDED_MB = 30
RESPONSE = (
    b'{"metadata":{"duration":2.5,"channels":1},"results":{"channels":[{"alternatives":[{"transcript":"words",'
    b'"confidence":1.0,"words":[{"word":"words","start":0.1,"end":0.5,"confidence":1.0}]}]}]}}'
)


class Sink:
    """An STT server that reads a chunked body to its end and keeps nothing of it."""

    def __init__(self) -> None:
        self.received = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):  # the probe of its load
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        else:
            assert b"chunked" in head.lower()
            end = b""
            while not end.endswith(b"0\r\n\r\n"):
                piece = await reader.read(MEGABYTE)
                assert piece, "the body broke off"
                self.received += len(piece)
                end = (end + piece)[-5:]
            writer.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(RESPONSE) + RESPONSE
            )
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()


async def recording(megabytes: int) -> AsyncIterator[bytes]:
    """So much audio, made as it is sent."""
    piece = bytes(MEGABYTE)
    for _ in range(megabytes):
        yield piece


async def upload(http: ClientSession, url: str, customer: Customer, megabytes: int) -> None:
    form = FormData()
    form.add_field("model", "whisper-1")
    form.add_field("file", recording(megabytes), filename="a.wav", content_type="audio/wav")
    async with http.post(f"{url}/v1/audio/transcriptions", data=form, headers=customer.headers) as response:
        assert (response.status, (await response.json())["text"]) == (200, "words")


async def test_a_large_form_passes_through_without_being_kept(
    redis_server: Process, customer: Customer, tmp_path: Path
) -> None:
    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, limit=MEGABYTE)
    port = server.sockets[0].getsockname()[1]
    with running(
        "http_proxy",
        tmp_path / "log",
        REDIS_URL=redis_server.url,  # type: ignore[attr-defined]
        STT_UPSTREAMS=f"http://127.0.0.1:{port}",
    ) as proxy:
        process = psutil.Process(proxy.process.pid)
        async with ClientSession() as http:
            await upload(http, proxy.url, customer, 8)  # what a process needs once
            before = most = process.memory_info().rss
            sending = spawn(upload(http, proxy.url, customer, UPLOAD_MB), name="upload")
            while not sending.done():
                most = max(most, process.memory_info().rss)
                await asyncio.wait({sending}, timeout=0.02)
            await sending
    server.close()
    assert sink.received >= UPLOAD_MB * MEGABYTE
    added = (most - before) / MEGABYTE
    assert added < MOST_ADDED_MB, f"{UPLOAD_MB} MB added {added:.1f} MB to {before / MEGABYTE:.1f} MB"
