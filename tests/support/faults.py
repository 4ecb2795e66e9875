"""A ws-proxy under fire, for the fault tests: short deadlines, a look inside, and nothing left afterwards."""

import shutil
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, WSServerHandshakeError
from yarl import URL

from aldea.redis.schema import leases_key
from aldea.usage.reading import Rank, UsageReading
from onebox.ports import free_port, port_accepts
from onebox.process import Process, ProcessSpec
from tests.support.proxies import ROOT, Customer, Service, eventually, readings, running

# What a test would have to wait for is soon over; every deadline that a good peer keeps is one that it keeps on a busy
# machine, too. A test whose peer breaks one gives that deadline itself. (A drain ends streams
# so long before its deadline as three of them may take: here at once.)
QUICK = {
    "RENEW_SECONDS": "0.3",
    "LEASE_TTL_SECONDS": "1.5",
    "UPSTREAM_CONNECT_SECONDS": "60",
    "UPSTREAM_ANSWER_SECONDS": "60",
    "HANDSHAKE_SECONDS": "120",
    "FINISH_SECONDS": "60",
    "DRAIN_SECONDS": "120",
    "DRAIN_FINISH_SECONDS": "60",
    "CLOSE_SECONDS": "60",
    "BOUNDARY_SECONDS": "60",
    "FAILOVER_HOLD_SECONDS": "0.5",
}


def engine(folder: Path) -> Process:
    """An STT server as a process of its own."""
    port = free_port()
    spec = ProcessSpec(
        name="stt",
        argv=(sys.executable, "-m", "tests.fakes.stt", str(port)),
        env={"PYTHONPATH": f"{ROOT}/services:{ROOT}"},
        ready=lambda: port_accepts(port),
    )
    process = Process(spec, log=folder / "stt.log").start()
    process.url = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
    return process


def server_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for 127.0.0.1 and stt.test, and the certificate that a client must trust for it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine to make a certificate with")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    made = ("-keyout", str(key), "-out", str(certificate))
    name = ("-subj", "/CN=stt", "-addext", "subjectAltName=IP:127.0.0.1,DNS:stt.test")
    command = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subprocess.run((*command, *made, *name, "-days", "2"), check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


# The tasks of a proxy without a stream, beside one per STT server and one per connection to its metrics.
IDLE_TASKS = frozenset(
    {"serve", "watch_loop_lag", "Renewals.run", "LiveStreams.tick", "Upstreams.watch", "FleetReports.run"}
)


@asynccontextmanager
async def proxied(folder: Path, redis_url: str, stt_url: str, **env: str) -> AsyncIterator[Service]:
    """A proxy with short deadlines and a look inside (see tests/support/inspected.py); `stt_url`: comma separated."""
    values = {
        "INSPECTED": "ws_proxy",
        "PYTHONPATH": f"{ROOT}/services:{ROOT}",
        "REDIS_URL": redis_url,
        "STT_UPSTREAMS": stt_url,
        "METRICS_PORT": str(free_port()),
        **QUICK,
        **env,
    }
    with running("tests.support.inspected", folder / "proxy.log", **values) as service:
        yield service


async def inspected(http: ClientSession, proxy: Service) -> dict[str, Any]:
    """The proxy's tasks, the objects of its streams, its admissions, and its memory in blocks of the allocator."""
    async with http.get(f"http://127.0.0.1:{proxy.process.spec.env['METRICS_PORT']}/inspect") as response:
        found: dict[str, Any] = await response.json()
        return found


async def measured(http: ClientSession, proxy: Service) -> dict[str, float]:
    """The proxy's metrics, labels and all."""
    port = proxy.process.spec.env["METRICS_PORT"]
    async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
        lines = (await response.text()).splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def sockets(proxy: Service) -> dict[str, int]:
    """The proxy's connections in any state: to `clients`, and to `servers`, of which the probe keeps one each."""
    found = psutil.Process(proxy.process.pid).net_connections(kind="tcp")
    ports = {URL(url).port for url in proxy.process.spec.env["STT_UPSTREAMS"].split(",")}
    connected = [one for one in found if one.raddr and one.status != psutil.CONN_LISTEN]
    return {
        "clients": sum(one.laddr.port == proxy.port for one in connected),
        "servers": sum(one.raddr.port in ports for one in connected),
    }


async def finals(store: redis.Redis, request_ids: list[str]) -> dict[str, UsageReading]:
    """The final reading of each of these requests, all waited for; none has two that differ."""

    async def look() -> dict[str, UsageReading] | None:
        found: dict[str, UsageReading] = {}
        for reading in await readings(store):
            if reading.rank is Rank.FINAL and reading.request_id in request_ids:
                assert found.setdefault(reading.request_id, reading) == reading
        return found if len(found) == len(request_ids) else None

    result: dict[str, UsageReading] = await eventually(look)
    return result


async def live_leases(store: redis.Redis, customer: Customer) -> int:
    return int(await store.zcount(leases_key(customer.project_id), time.time() * 1000, "+inf"))


async def nothing_is_left(http: ClientSession, proxy: Service, store: redis.Redis, *customers: Customer) -> None:
    """Wait until the proxy is as it was before its first stream; fails with what is left over."""
    servers = len(proxy.process.spec.env["STT_UPSTREAMS"].split(","))
    left: dict[str, Any] = {}

    async def clean() -> bool:
        inside, figures, open_sockets = await inspected(http, proxy), await measured(http, proxy), sockets(proxy)
        tasks = Counter(inside["tasks"])
        tasks.subtract(dict.fromkeys(IDLE_TASKS, 1) | {"Upstreams._watch_one": servers, "RequestHandler.start": 1})
        found = {
            "tasks": {name: count for name, count in tasks.items() if count},
            "objects": inside["objects"],
            "sockets of clients": open_sockets["clients"],
            "sockets of servers beside the probes'": max(0, open_sockets["servers"] - servers),
            "leases": sum([await live_leases(store, customer) for customer in customers]),
            **{name: figures[name] for name in ("aldea_active_streams", "aldea_running_requests")},
            "aldea_readings_waiting": figures["aldea_readings_waiting"],
        }
        left.clear()  # not before: a look that is broken off reports what the one before it found
        left.update({what: value for what, value in found.items() if value})
        return not left

    try:
        await eventually(clean)
    except TimeoutError:
        raise AssertionError(f"left over: {left}\n{proxy.logged()[-2000:]}") from None


async def refusal(http: ClientSession, proxy: Service, headers: dict[str, str]) -> int:
    """The status of an opening handshake, 101 if it was let in."""
    try:
        async with http.ws_connect(f"{proxy.url}/v1/listen", headers=headers) as socket:
            await socket.close()
    except WSServerHandshakeError as error:
        return error.status
    return 101


async def all_finals(store: redis.Redis) -> dict[str, UsageReading]:
    return {found.request_id: found for found in await readings(store) if found.rank is Rank.FINAL}


def upgrade(customer: Customer, query: str) -> bytes:
    return (
        f"GET /v1/listen?encoding=linear16&{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Token {customer.key.text}\r\n\r\n"
    ).encode()


def frame_of(payload: bytes) -> bytes:
    return b"\x82\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload
