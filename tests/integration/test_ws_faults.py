"""What customers see, and what is billed, when something dies, hangs or lies under fifty live streams.

Everything is a process of its own and is really killed or stopped. What an STT server can do wrong before a stream is
open is in test_ws_proxy.py. `FAULTS_PAUSE_SECONDS=60` pauses Redis for longer than any test would.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, TCPConnector, WSServerHandshakeError

from aldea.redis_schema import leases_key
from aldea.tasks import spawn
from aldea.usage import Rank, UsageReading
from aldea.websocket.leg import MAX_BUFFERED_BYTES
from onebox import stores
from onebox.process import Process, ProcessSpec, free_port, port_answers
from tests.fakes.stt import BYTES_PER_SECOND, FakeStt
from tests.integration.fleets import FRAME, fleet
from tests.integration.proxies import ROOT, Customer, Service, eventually, raw_connection, readings, running

STREAMS = 50
PAUSE_SECONDS = float(os.environ.get("FAULTS_PAUSE_SECONDS", "1.5"))
# Every deadline of the proxy, scaled to a test's patience.
QUICK = {
    "RENEW_SECONDS": "0.3",
    "LEASE_TTL_SECONDS": "1.5",
    "FINISH_SECONDS": "1",
    "DRAIN_SECONDS": "5",
    "DRAIN_FINISH_SECONDS": "2",
    "CLOSE_SECONDS": "1",
    "BOUNDARY_SECONDS": "1",
}


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        yield session


@pytest.fixture
async def stt() -> AsyncIterator[FakeStt]:
    server = await FakeStt().start()
    yield server
    await server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Process]:
    """A Redis for this test to hurt."""
    port = free_port()
    process = Process(stores.redis_spec(tmp_path / "redis", port), log=tmp_path / "redis.log").start()
    process.url = stores.redis_url(port)  # type: ignore[attr-defined]
    yield process
    process.signal(signal.SIGCONT)
    process.stop()


def engine(folder: Path) -> Process:
    """An STT server as a process of its own."""
    port = free_port()
    spec = ProcessSpec(
        name="stt",
        argv=(sys.executable, "-m", "tests.fakes.stt", str(port)),
        env={"PYTHONPATH": f"{ROOT}/services:{ROOT}"},
        ready=lambda: port_answers(port),
    )
    process = Process(spec, log=folder / "stt.log").start()
    process.url = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
    return process


@asynccontextmanager
async def proxied(folder: Path, redis_url: str, stt_url: str, **env: str) -> AsyncIterator[Service]:
    """A proxy with short deadlines and a port for its metrics."""
    values = {"REDIS_URL": redis_url, "STT_UPSTREAMS": stt_url, "METRICS_PORT": str(free_port()), **QUICK, **env}
    with running("ws_proxy", folder / "proxy.log", **values) as service:
        yield service


async def measured(http: ClientSession, proxy: Service) -> dict[str, float]:
    """The proxy's metrics, labels and all."""
    port = proxy.process.spec.env["METRICS_PORT"]
    async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def sockets(proxy: Service) -> int:
    """How many established connections the proxy holds, Redis' included."""
    found = psutil.Process(proxy.process.pid).net_connections(kind="tcp")
    return sum(1 for connection in found if connection.status == psutil.CONN_ESTABLISHED)


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


async def nothing_is_left(http: ClientSession, proxy: Service, store: redis.Redis, customer: Customer) -> None:
    """No lease, no stream, no reading that waits, no connection but Redis' and the probes'."""
    await eventually(lambda: _all_quiet(http, proxy, store, customer))


async def _all_quiet(http: ClientSession, proxy: Service, store: redis.Redis, customer: Customer) -> bool:
    found = await measured(http, proxy)
    return (
        await live_leases(store, customer) == 0
        and found["aldea_active_streams"] == 0
        and found["aldea_running_requests"] == 0
        and found["aldea_readings_waiting"] == 0
        and sockets(proxy) < 16
    )


async def refusal(http: ClientSession, proxy: Service, headers: dict[str, str]) -> int:
    """The status of an opening handshake, 101 if it was let in."""
    try:
        async with http.ws_connect(f"{proxy.url}/v1/listen", headers=headers) as socket:
            await socket.close()
    except WSServerHandshakeError as error:
        return error.status
    return 101


# The proxy.


async def test_a_killed_proxy_cuts_its_streams_and_each_keeps_its_last_checkpoint_and_no_lease(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    async with (
        proxied(tmp_path, redis_server.url, stt.url) as proxy,  # type: ignore[attr-defined]
        fleet(http, proxy, customer, STREAMS) as streams,
    ):
        assert await customer.leases() == STREAMS

        async def last() -> dict[str, UsageReading]:
            """By request, as PostgreSQL would keep them."""
            kept: dict[str, UsageReading] = {}
            for reading in await readings(redis_client):
                kept[reading.request_id] = max(kept.get(reading.request_id, reading), reading, key=lambda r: r.order)
            return kept

        async def checkpointed() -> bool:
            return all(reading.audio_ms > 0 for reading in (await last()).values())

        await eventually(checkpointed)
        proxy.process.kill()
        await streams.all_ended()
        assert streams.codes == Counter({1006: STREAMS})
        kept = await last()
        assert kept.keys() == set(streams.request_ids)
        assert {reading.rank for reading in kept.values()} == {Rank.OPEN}
    await eventually(lambda: stt.open == 0)

    async def lapsed() -> bool:
        return await live_leases(redis_client, customer) == 0

    await eventually(lapsed)


async def test_a_proxy_told_to_stop_finishes_every_stream_with_1012_and_an_exact_bill(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    env = {"DRAIN_FINISH_SECONDS": "0.5", "BOUNDARY_SECONDS": "0.5", "CLOSE_SECONDS": "0.5", "DRAIN_SECONDS": "2"}
    async with (
        proxied(tmp_path, redis_server.url, stt.url, **env) as proxy,  # type: ignore[attr-defined]
        fleet(http, proxy, customer, STREAMS) as streams,
    ):
        proxy.process.signal(signal.SIGTERM)
        await streams.all_ended()
        assert streams.codes == Counter({1012: STREAMS})
        bills = await finals(redis_client, streams.request_ids)
        assert {(bill.close_code, bill.audio_source) for bill in bills.values()} == {(1012, "stt")}
        # What the server heard is what is billed, to the frame.
        heard_ms = stt.audio_bytes * 1000 // BYTES_PER_SECOND
        assert sum(bill.audio_ms for bill in bills.values()) == heard_ms
        assert await asyncio.to_thread(proxy.process.wait, 10) == 0
        assert await customer.leases() == 0
        assert '"level": "error"' not in proxy.logged()


# The engine.


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGKILL, 1011, "NET-0000"), (signal.SIGTERM, 1001, "")],
    ids=["killed", "told to stop"],
)
async def test_an_engine_that_goes_ends_its_streams_with_a_reason_and_what_it_heard_is_billed(
    http: ClientSession,
    redis_server: Process,
    redis_client: redis.Redis,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    reason: str,
) -> None:
    customer = await Customer(redis_client).write()
    server = engine(tmp_path)
    try:
        async with proxied(tmp_path, redis_server.url, server.url) as proxy:  # type: ignore[attr-defined]
            async with fleet(http, proxy, customer, STREAMS) as streams:
                server.signal(number)
                await streams.all_ended()
                assert streams.codes == Counter({code: STREAMS})
                assert {text[: len(reason)] for _, text in streams.endings.values()} == {reason}
                bills = await finals(redis_client, streams.request_ids)
                assert {(bill.close_code, bill.audio_source) for bill in bills.values()} == {(code, "stt")}
                assert min(bill.audio_ms for bill in bills.values()) >= 10
            await eventually(lambda: not server.running)
            assert await refusal(http, proxy, customer.headers) == 503
            await nothing_is_left(http, proxy, redis_client, customer)
    finally:
        server.stop()


async def test_an_engine_that_hangs_is_found_while_audio_goes_to_it_and_what_it_heard_is_billed(
    http: ClientSession, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    """Half open: its kernel still takes everything, but nobody reads."""
    customer = await Customer(redis_client).write()
    server = engine(tmp_path)
    quick = {"PING_SECONDS": "1", "PONG_SECONDS": "1"}
    try:
        async with proxied(tmp_path, redis_server.url, server.url, **quick) as proxy:  # type: ignore[attr-defined]
            async with fleet(http, proxy, customer, STREAMS) as streams:
                server.signal(signal.SIGSTOP)
                await streams.all_ended(20)
                assert streams.codes == Counter({1011: STREAMS})
                assert {text[:8] for _, text in streams.endings.values()} == {"NET-0000"}
                bills = await finals(redis_client, streams.request_ids)
                assert {(bill.close_code, bill.audio_source) for bill in bills.values()} == {(1011, "stt")}
            assert "upstream did not answer a ping" in proxy.logged()
            await nothing_is_left(http, proxy, redis_client, customer)
    finally:
        server.signal(signal.SIGCONT)
        server.stop()


async def test_a_client_that_hangs_is_found_although_it_is_idle_by_no_rule_and_its_audio_is_billed(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    quick = {"PING_SECONDS": "0.5", "PONG_SECONDS": "0.5"}
    async with (
        proxied(tmp_path, redis_server.url, stt.url, **quick) as proxy,  # type: ignore[attr-defined]
        raw_connection(proxy.port) as (reader, writer),
    ):
        writer.write(upgrade(customer, ""))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame_of(FRAME))

        async def given_up() -> UsageReading | None:
            return next(iter((await all_finals(redis_client)).values()), None)

        final = await eventually(given_up)
        assert (final.close_code, final.audio_source, final.audio_ms) == (1006, "stt", 10)
        assert "client did not answer a ping" in proxy.logged()
        await nothing_is_left(http, proxy, redis_client, customer)


# Redis.


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to stop"])
async def test_without_redis_streams_go_on_known_keys_are_let_in_and_every_bill_arrives_when_it_is_back(
    http: ClientSession, stt: FakeStt, own_redis: Process, tmp_path: Path, number: signal.Signals
) -> None:
    url: str = own_redis.url  # type: ignore[attr-defined]
    async with redis.from_url(url, decode_responses=True) as store, proxied(tmp_path, url, stt.url) as proxy:
        customer, stranger = await Customer(store).write(), await Customer(store).write()
        async with fleet(http, proxy, customer, STREAMS) as streams:
            own_redis.signal(number)
            await eventually(lambda: not own_redis.running)
            await streams.all_hear_more()
            assert await refusal(http, proxy, customer.headers) == 101
            assert await refusal(http, proxy, stranger.headers) == 503
            assert streams.endings == {}
            await streams.finish()
            assert streams.codes == Counter({1000: STREAMS})
            assert (await measured(http, proxy))["aldea_readings_waiting"] >= STREAMS
            own_redis.start()
            await store.connection_pool.disconnect()  # the test's own link to the one that died
            bills = await finals(store, streams.request_ids)
            assert {(bill.close_code, bill.audio_source) for bill in bills.values()} == {(1000, "stt")}
        await nothing_is_left(http, proxy, store, customer)
        assert await refusal(http, proxy, stranger.headers) == 101


@pytest.mark.timeout(PAUSE_SECONDS + 60)
async def test_while_redis_is_paused_streams_go_on_and_afterwards_each_bill_stands_once(
    http: ClientSession, stt: FakeStt, own_redis: Process, tmp_path: Path
) -> None:
    url: str = own_redis.url  # type: ignore[attr-defined]
    async with redis.from_url(url, decode_responses=True) as store, proxied(tmp_path, url, stt.url) as proxy:
        customer = await Customer(store).write()
        async with fleet(http, proxy, customer, STREAMS) as streams:
            own_redis.signal(signal.SIGSTOP)
            until = time.monotonic() + PAUSE_SECONDS
            while time.monotonic() < until:
                await streams.all_hear_more()
            assert await refusal(http, proxy, customer.headers) == 101
            assert streams.endings == {}
            own_redis.signal(signal.SIGCONT)

            async def renewed() -> bool:
                return await live_leases(store, customer) >= STREAMS

            await eventually(renewed)
            await streams.finish()
            bills = await finals(store, streams.request_ids)
            assert {bill.close_code for bill in bills.values()} == {1000}
        await nothing_is_left(http, proxy, store, customer)
        billed = sum(reading.audio_ms for reading in (await all_finals(store)).values())
        used = [int(await store.get(key) or 0) async for key in store.scan_iter("used:*")]
        assert used == [billed]


async def all_finals(store: redis.Redis) -> dict[str, UsageReading]:
    return {found.request_id: found for found in await readings(store) if found.rank is Rank.FINAL}


# Peers that take nothing, or give next to nothing.


def upgrade(customer: Customer, query: str) -> bytes:
    return (
        f"GET /v1/listen?encoding=linear16&{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Token {customer.key.text}\r\n\r\n"
    ).encode()


def frame_of(payload: bytes) -> bytes:
    return b"\x82\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


@pytest.mark.parametrize("who", ["client", "server"])
async def test_who_reads_nothing_costs_a_bounded_memory_and_is_given_up(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path, who: str
) -> None:
    customer = await Customer(redis_client).write()
    deaf = 10
    async with proxied(
        tmp_path,
        redis_server.url,  # type: ignore[attr-defined]
        stt.url,
        STALL_SECONDS="1.5",
    ) as proxy:
        assert await refusal(http, proxy, customer.headers) == 101
        process = psutil.Process(proxy.process.pid)
        before = process.memory_info().rss
        most = 0
        opened: list[Any] = [raw_connection(proxy.port) for _ in range(deaf)]
        pairs = [await one.__aenter__() for one in opened]
        try:
            for reader, writer in pairs:
                writer.write(upgrade(customer, "fault=flood" if who == "client" else "fault=deaf"))
                await reader.readuntil(b"\r\n\r\n")
                writer.write(frame_of(FRAME))
                if who == "client":
                    writer.transport.pause_reading()
            big = frame_of(bytes(60_000))

            async def given_up() -> bool:
                nonlocal most
                most = max(most, process.memory_info().rss - before)
                if who == "server":
                    for _, writer in pairs:
                        # As a client that does not care: more whenever the sockets take it.
                        if not writer.transport.is_closing() and writer.transport.get_write_buffer_size() == 0:
                            writer.write(big * 20)
                return len(await all_finals(redis_client)) == deaf + 1

            await eventually(given_up, 15)
        finally:
            for one in opened:
                await one.__aexit__(None, None, None)
        # Beside the buffers a process grows for many reasons, a little.
        assert most < deaf * 2 * MAX_BUFFERED_BYTES + (6 << 20)
        assert f"{who if who == 'client' else 'upstream'} took no data" in proxy.logged()
        await nothing_is_left(http, proxy, redis_client, customer)


async def test_a_client_that_sends_byte_by_byte_without_a_message_is_idle(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    async with (
        proxied(tmp_path, redis_server.url, stt.url, IDLE_SECONDS="1") as proxy,  # type: ignore[attr-defined]
        raw_connection(proxy.port) as (reader, writer),
    ):
        writer.write(upgrade(customer, ""))
        await reader.readuntil(b"\r\n\r\n")
        for byte in frame_of(bytes(1000)):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
            if await all_finals(redis_client):
                break
        (final,) = (await all_finals(redis_client)).values()
        assert final.close_code == 1011
        said = await asyncio.wait_for(reader.read(), 5)
        assert b"NET-0001" in said
        await nothing_is_left(http, proxy, redis_client, customer)


async def test_who_never_ends_the_head_of_a_request_is_cut_off_and_others_are_served_meanwhile(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    head = upgrade(customer, "x=" + "y" * 2000)  # 20 s long at this pace

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        """Send byte by byte until cut off; how many bytes went."""
        ended = spawn(reader.read(), name="await-cut")
        for number, byte in enumerate(head):
            if ended.done():
                assert ended.result() == b""
                return number
            writer.write(bytes([byte]))
            await asyncio.wait({ended}, timeout=0.01)
        raise AssertionError("the whole head was waited for")

    async with proxied(tmp_path, redis_server.url, stt.url, FIRST_REQUEST_SECONDS="1") as proxy:  # type: ignore[attr-defined]
        async with (
            raw_connection(proxy.port) as slow,
            raw_connection(proxy.port) as silent,
            raw_connection(proxy.port) as almost,
        ):
            almost[1].write(head[:-1])
            dripping = spawn(drip(*slow), name="slow client")
            assert await refusal(http, proxy, customer.headers) == 101
            assert await asyncio.wait_for(dripping, 15) > 0
            for reader, _ in (silent, almost):
                assert await asyncio.wait_for(reader.read(), 15) == b""
        await nothing_is_left(http, proxy, redis_client, customer)
        # None of the three was admitted.
        assert len({reading.request_id for reading in await readings(redis_client)}) == 1


async def test_a_client_that_leaves_before_its_101_is_booked_as_gone_and_its_server_let_go(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    async with proxied(tmp_path, redis_server.url, stt.url) as proxy:  # type: ignore[attr-defined]
        async with raw_connection(proxy.port) as (_, writer):
            writer.write(upgrade(customer, "fault=slow-answer"))
            await eventually(lambda: bool(stt.requests))

        async def booked() -> UsageReading | None:
            return next(iter((await all_finals(redis_client)).values()), None)

        final = await eventually(booked)
        assert (final.status, final.audio_ms) == (499, 0)
        await nothing_is_left(http, proxy, redis_client, customer)
        found = await measured(http, proxy)
        assert found['aldea_ws_handshakes_total{status="499"}'] == 1
        assert 'aldea_ws_handshakes_total{status="101"}' not in found
        await eventually(lambda: stt.open == 0)


async def test_servers_that_answer_a_handshake_wrongly_leave_no_connection_behind(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    seen = Counter[int]()
    async with proxied(tmp_path, redis_server.url, stt.url, UPSTREAM_ANSWER_SECONDS="0.3") as proxy:  # type: ignore[attr-defined]
        for fault in ("500", "wrong-key", "garbage", "no-answer"):
            url = f"{proxy.url}/v1/listen?fault={fault}"
            for outcome in await asyncio.gather(
                *(http.ws_connect(url, headers=customer.headers) for _ in range(5)), return_exceptions=True
            ):
                assert isinstance(outcome, WSServerHandshakeError)
                seen[outcome.status] += 1
        await nothing_is_left(http, proxy, redis_client, customer)
        found = await measured(http, proxy)
    # Once three have failed the circuit is open, and the rest is told so at once.
    assert seen.total() == 20
    assert set(seen) <= {502, 503, 504}
    assert sum(found[f'aldea_ws_handshakes_total{{status="{status}"}}'] for status in seen) == 20
    assert len(await all_finals(redis_client)) == 20
