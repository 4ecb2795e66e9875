"""A proxy that is suspended for longer than its deadlines: what came meanwhile counts, and no connection is cut."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import redis.asyncio as redis

from aldea.usage.reading import Rank
from onebox.process import Process
from tests.support import proxied as http
from tests.support.faults import finals, proxied, upgrade
from tests.support.proxies import Customer, eventually, raw_connection, readings
from tests.support.staged import StagedConnection, StagedStt, staged_stt
from tests.unit.http_proxy.servers import raw_server, read_request, response
from ws_proxy.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame

# Each deadline under test, and how much longer the proxy is suspended.
DEADLINE, STANDSTILL = 4.0, 4.6


@asynccontextmanager
async def standstill(process: Process) -> AsyncIterator[None]:
    """The process is stopped; what the body sends waits in its sockets when it goes on, its deadlines having passed."""
    loop = asyncio.get_running_loop()
    process.signal(signal.SIGSTOP)
    until = loop.time() + STANDSTILL
    try:
        yield
        await asyncio.sleep(until - loop.time())
    finally:
        process.signal(signal.SIGCONT)


@pytest.fixture
async def staged() -> AsyncIterator[StagedStt]:
    async with staged_stt() as server:
        yield server


class Caller:
    """A customer's stream, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.request_id = ""

    async def opened(self) -> None:
        """The proxy's 101."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 60)).decode()
        assert " 101 " in head, head
        self.request_id = head.lower().split("dg-request-id: ")[1].split("\r\n")[0]

    async def next(self, *wanted: int) -> tuple[int, bytes]:
        """The next frame of one of these opcodes."""
        async with asyncio.timeout(60):
            while True:
                first, length = await self.reader.readexactly(2)
                if length == 126:
                    length = int.from_bytes(await self.reader.readexactly(2), "big")
                payload = await self.reader.readexactly(length)
                if first & 0x0F in wanted:
                    return first & 0x0F, payload

    async def hears_more(self, received: StagedConnection, seconds: float) -> None:
        """The stream lives: both directions carry something."""
        self.writer.write(frame(BINARY, b"\1\0" * 160, masked=True))
        assert await asyncio.wait_for(received.reader.read(1 << 16), 60)
        await received.report(seconds)
        opcode, payload = await self.next(TEXT, CLOSE)
        assert (opcode, json.loads(payload)["duration"]) == (TEXT, seconds)


async def test_streams_and_handshakes_outlive_a_standstill_that_is_longer_than_any_deadline(
    staged: StagedStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    """One waits for the pong to a ping, one for its server's last report, one for its server's 101."""
    customer = await Customer(redis_client).write()
    quick = {
        "PING_SECONDS": "0.5",
        "PONG_SECONDS": str(DEADLINE),
        "IDLE_SECONDS": str(3 * DEADLINE),
        "FINISH_SECONDS": str(DEADLINE),
        "UPSTREAM_ANSWER_SECONDS": str(DEADLINE),
        "LEASE_TTL_SECONDS": "30",
    }
    async with (
        proxied(tmp_path, redis_server.url, staged.url, **quick) as proxy,  # type: ignore[attr-defined]
        raw_connection(proxy.port) as first,
        raw_connection(proxy.port) as second,
        raw_connection(proxy.port) as third,
    ):
        silent, ending, opening = Caller(*first), Caller(*second), Caller(*third)
        servers = []
        for caller in (silent, ending):
            caller.writer.write(upgrade(customer, ""))
            servers.append(await staged.next())
            await servers[-1].send(servers[-1].opening)
            await caller.opened()
        opening.writer.write(upgrade(customer, ""))
        servers.append(await staged.next())
        ending.writer.write(frame(BINARY, b"\1\0" * 160, masked=True) + close_frame(1000, masked=True))
        assert await servers[1].reader.read(1 << 16)
        ping = (await silent.next(PING))[1]
        async with standstill(proxy.process):
            silent.writer.write(frame(PONG, ping, masked=True))
            await servers[1].report(0.01, last=True)
            await servers[2].send(servers[2].opening)
        await opening.opened()
        await silent.hears_more(servers[0], 0.01)
        await opening.hears_more(servers[2], 0.01)
        assert "the process stood still" in proxy.logged()
        metering = (await finals(redis_client, [ending.request_id]))[ending.request_id]
        assert (metering.audio_ms, metering.audio_source, metering.close_code) == (10, "stt", 1000)


@asynccontextmanager
async def http_proxied(redis_url: str, port: int, log: Path, client: redis.Redis) -> AsyncIterator[tuple[Process, int]]:
    await http.load_key(client)
    quick = {
        "UPLOAD_STALL_SECONDS": str(DEADLINE),
        "UPLOAD_MIN_BYTES_PER_SECOND": "0",
        "FIRST_BYTE_SECONDS": str(DEADLINE),
        "CALLBACK_ATTEMPT_SECONDS": str(DEADLINE),
        "CALLBACK_RETRY_SECONDS": "0.1",
        "FIRST_REQUEST_SECONDS": str(DEADLINE),
    }
    process, at = http.proxy_process(redis_url, port, log, **quick)
    await asyncio.to_thread(process.start)
    try:
        yield process, at
    finally:
        process.signal(signal.SIGCONT)
        process.stop()


async def test_uploads_responses_and_callbacks_outlive_a_standstill_that_is_longer_than_any_deadline(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    """A piece of an upload, a server's response, a receiver's response and a request's head come meanwhile."""
    received: asyncio.Queue[tuple[bytes, asyncio.StreamWriter]] = asyncio.Queue()
    hooks: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def transcribe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            if head.startswith(b"GET"):
                writer.write(response(b"{}"))
            elif body == b"at once":
                writer.write(response(http.RESULT))
            else:
                received.put_nowait((body, writer))

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            hooks.put_nowait(writer)

    async with (
        raw_server(transcribe) as stt,
        raw_server(receive) as receiver,
        http_proxied(redis_url, stt, tmp_path / "log", redis_client) as (process, port),
        http.client_of(http.Proxy(port, None, None)) as uploading,  # type: ignore[arg-type]
        http.client_of(http.Proxy(port, None, None)) as waiting,  # type: ignore[arg-type]
        http.client_of(http.Proxy(port, None, None)) as calling,  # type: ignore[arg-type]
        http.client_of(http.Proxy(port, None, None)) as beginning,  # type: ignore[arg-type]
    ):
        hook = quote(f"http://127.0.0.1:{receiver}/hook", safe="")
        await calling.send(http.post(b"at once", f"/v1/listen?callback={hook}"))
        assert (await calling.reply()).status == 200
        delivered = await asyncio.wait_for(hooks.get(), 60)
        await waiting.send(http.post(b"audio"))
        _, late = await asyncio.wait_for(received.get(), 60)
        await uploading.send(http.head("/v1/listen", "Content-Length: 10") + b"12345")
        request = http.post(b"at once")
        await beginning.send(request[:20])
        await eventually(lambda: process.running)
        async with standstill(process):
            await uploading.send(b"67890")
            late.write(response(http.RESULT))
            delivered.write(response(b""))
            await beginning.send(request[20:])
        assert (await beginning.reply()).status == 200
        assert (await waiting.reply()).status == 200
        body, writer = await asyncio.wait_for(received.get(), 60)
        assert body == b"1234567890"
        writer.write(response(http.RESULT))
        assert (await uploading.reply()).status == 200

        async def settled() -> bool:
            return not await redis_client.keys("callback:*")

        await eventually(settled)
        assert hooks.empty(), "delivered twice"
        found = [final for final in await readings(redis_client) if final.rank is Rank.FINAL]
        assert {final.status for final in found} == {200}
