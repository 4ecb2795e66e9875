"""An http-proxy in this process for the tests, with a key that Redis knows, and raw requests to it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio as redis
from aiohttp import web
from prometheus_client import REGISTRY

from aldea.credentials import mint_api_key
from aldea.redis import schema
from aldea.redis.schema import CredentialRecord, ProjectRecord
from aldea.service.lifecycle import LIFECYCLE, Lifecycle
from aldea.settings import read
from aldea.usage.reading import Rank, UsageReading
from http_proxy.app import RESOURCES, make_app
from http_proxy.client_connection import upload_runner
from http_proxy.resources import Resources
from http_proxy.settings import HttpProxySettings
from onebox.ports import free_port, port_accepts
from onebox.process import Process, ProcessSpec
from tests.support.proxies import REDIS_COMMAND_SECONDS, eventually
from tests.unit.http_proxy.servers import Play, raw_server, read_request, response

PROJECT = "0190a5e2-0000-7000-8000-00000000000a"
KEY_ID = "0190a5e2-0000-7000-8000-00000000000b"
KEY = mint_api_key()
AUTHORIZATION = f"Authorization: Token {KEY.text}"
RESULT = b'{"metadata":{"request_id":"x","duration":2.5,"channels":2},"results":{"channels":[]}}'


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    port: int
    resources: Resources
    lifecycle: Lifecycle

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


async def load_key(client: redis.Redis, **limits: Any) -> None:
    """Make the tests' key known, as the backend does."""
    no_limits = {"requests_per_minute": None, "concurrent_streams": None, "monthly_audio_ms": None}
    project = ProjectRecord(state="active", **{**no_limits, **limits})
    key = CredentialRecord(
        kind="key", state="active", project_id=PROJECT, key_id=KEY_ID, scopes=frozenset({"usage:write"})
    )
    raw: Any = client
    await raw.hset(schema.credential_key(KEY.sha256), mapping=key.to_hash())
    await raw.hset(schema.project_key(PROJECT), mapping=project.to_hash())
    await raw.set(schema.KEYS_LOADED, "1")


def settings(redis_url: str, ports: Sequence[int], **changes: Any) -> HttpProxySettings:
    return read(
        HttpProxySettings,
        **{
            "port": 0,
            "redis_url": redis_url,
            "redis_command_seconds": REDIS_COMMAND_SECONDS,
            "stt_upstreams": ",".join(f"http://127.0.0.1:{port}" for port in ports),
            "stt_upstream_token": "the-proxys-own",
            "allow_loopback_urls": True,
            **changes,
        },
    )


@asynccontextmanager
async def proxying(redis_url: str, *ports: int, **changes: Any) -> AsyncIterator[Proxy]:
    """A proxy in front of STT servers on these ports; `changes`: of its settings. Knows the tests' key."""
    async with redis.from_url(redis_url) as client:
        await load_key(client)
    app = make_app(settings(redis_url, ports, **changes))
    runner = upload_runner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Proxy(runner.addresses[0][1], app[RESOURCES], app[LIFECYCLE])
    finally:
        await runner.cleanup()


def proxy_process(redis_url: str, stt: int, log: Path, **more: str) -> tuple[Process, int]:
    """A proxy in a process of its own, not started yet, and its port. The key must be loaded by the test."""
    port = free_port()
    env = {
        "PYTHONPATH": "services",
        "PORT": str(port),
        "REDIS_URL": redis_url,
        "REDIS_COMMAND_SECONDS": str(REDIS_COMMAND_SECONDS),
        "STT_UPSTREAMS": f"http://127.0.0.1:{stt}",
        "ALLOW_LOOPBACK_URLS": "true",
        "CALLBACK_ATTEMPT_SECONDS": "0.5",
        "CALLBACK_RETRY_SECONDS": "0.1",
        **more,
    }
    argv = (sys.executable, "-m", "http_proxy")
    spec = ProcessSpec(name="http_proxy", argv=argv, env=env, ready=lambda: port_accepts(port))
    return Process(spec, log=log), port


def plays(reply: bytes, seen: list[tuple[bytes, bytes]] | None = None) -> Play:
    """A server that reads whole requests, notes them (probes not), and responds to each with `reply`."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if seen is not None and not request[0].startswith(b"GET /stats "):
                seen.append(request)
            writer.write(reply)
            await writer.drain()

    return play


def well(seen: list[tuple[bytes, bytes]] | None = None) -> Play:
    """A server that transcribes everything."""
    return plays(response(RESULT), seen)


def passed_on() -> float:
    """How many requests were sent to a second server, the first being lost before it had the body."""
    return REGISTRY.get_sample_value("aldea_http_retries_total", {"why": "lost before the body was sent"}) or 0.0


@dataclass(frozen=True)
class Reply:
    """What came back from the proxy."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A client that plays its part byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> Reply:
        """The whole next response."""
        async with asyncio.timeout(60):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
            if headers.get("transfer-encoding") == "chunked":
                body = b""
                while size := int((await self.reader.readline()).strip(), 16):
                    body += await self.reader.readexactly(size)
                    await self.reader.readexactly(2)
                await self.reader.readline()
            elif " 204 " in lines[0]:
                body = b""
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                body = await self.reader.read()
            return Reply(int(lines[0].split()[1]), headers, body)


@asynccontextmanager
async def client_of(proxy: Proxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def head(target: str = "/v1/listen", *headers: str, authorization: str = AUTHORIZATION) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: api.example", authorization, *headers, "", ""]
    return "\r\n".join(line for line in lines[:-2] if line).encode() + b"\r\n\r\n"


def post(body: bytes = b"audio", target: str = "/v1/listen", *headers: str) -> bytes:
    return head(target, f"Content-Length: {len(body)}", *headers) + body


async def call(proxy: Proxy, request: bytes) -> Reply:
    async with client_of(proxy) as client:
        await client.send(request)
        return await client.reply()


async def readings(redis_client: redis.Redis) -> list[UsageReading]:
    entries: Any = await redis_client.xrange(schema.USAGE_STREAM)
    return [UsageReading.from_json(entry[schema.USAGE_FIELD]) for _, entry in entries]


async def final(redis_client: redis.Redis) -> UsageReading:
    """The one final reading, as soon as it is there."""
    async with asyncio.timeout(60):
        while True:
            found = [reading for reading in await readings(redis_client) if reading.rank is Rank.FINAL]
            if found:
                assert len({reading.request_id for reading in found}) == 1
                return max(found, key=lambda reading: reading.order)
            await asyncio.sleep(0.01)


async def leases(redis_client: redis.Redis) -> int:
    return int(await redis_client.zcard(schema.leases_key(PROJECT)))


async def call_past_a_loss(redis_url: str, dies: Play, begun: bytes, rest: bytes) -> tuple[Reply, list[bytes]]:
    """A request whose first server is lost after `begun`: its response, and the bodies that the second server had.

    Had the proxy sent the rest before it saw the loss, it could not know what the server made of it.
    """
    seen: list[tuple[bytes, bytes]] = []
    before = passed_on()
    async with (
        raw_server(dies) as first,
        raw_server(well(seen)) as second,
        proxying(redis_url, first, second) as proxy,
        client_of(proxy) as client,
    ):
        await client.send(begun)
        await eventually(lambda: passed_on() > before)
        await client.send(rest)
        return await client.reply(), [body for _, body in seen if body]
