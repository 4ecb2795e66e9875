"""Peers that read nothing, send next to nothing, or respond with nonsense: what they cost is bounded, and released."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, WSServerHandshakeError

from aldea.tasks import spawn
from aldea.usage.reading import UsageReading
from onebox.process import Process
from tests.fakes.stt import BYTES_PER_SECOND, FakeStt
from tests.support.faults import (
    all_finals,
    finals,
    frame_of,
    measured,
    nothing_is_left,
    proxied,
    refusal,
    server_certificate,
    sockets,
    upgrade,
)
from tests.support.fleets import FRAME, fleet
from tests.support.proxies import Customer, eventually, raw_connection, readings
from tests.support.staged import staged_stt
from ws_proxy.websocket.leg import MAX_BUFFERED_BYTES

# These peers keep no deadline, and each costs its time.
GIVEN_UP = {"FINISH_SECONDS": "1", "CLOSE_SECONDS": "1", "BOUNDARY_SECONDS": "1"}


@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_peer_that_reads_nothing_costs_a_bounded_memory_and_is_given_up(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path, who: str
) -> None:
    customer = await Customer(redis_client).write()
    deaf = 10
    async with proxied(
        tmp_path,
        redis_server.url,  # type: ignore[attr-defined]
        stt.url,
        STALL_SECONDS="1.5",
        **GIVEN_UP,
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

            await eventually(given_up, 60)
        finally:
            for one in opened:
                await one.__aexit__(None, None, None)
        # Beside the buffers a process grows for many reasons, a little.
        assert most < deaf * 2 * MAX_BUFFERED_BYTES + (6 << 20)
        reason = f"{who if who == 'client' else 'upstream'} took no data"
        await eventually(lambda: reason in proxy.logged())
        await nothing_is_left(http, proxy, redis_client, customer)


async def test_a_server_behind_tls_is_verified_and_what_it_does_not_read_is_bounded_as_without(
    http: ClientSession, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    context, certificate = server_certificate(tmp_path)
    stt = await FakeStt().start(tls=context)
    customer = await Customer(redis_client).write()
    url: str = redis_server.url  # type: ignore[attr-defined]
    try:
        async with proxied(tmp_path, url, stt.url) as proxy:
            assert await refusal(http, proxy, customer.headers) == 503  # nobody vouches for that certificate
        async with proxied(
            tmp_path, url, stt.url, SSL_CERT_FILE=str(certificate), STALL_SECONDS="1.5", CLOSE_SECONDS="1"
        ) as proxy:
            async with fleet(http, proxy, customer, 10) as streams:
                await streams.finish()
                assert streams.codes == Counter({1000: 10})
            bills = await finals(redis_client, streams.request_ids)
            assert {bill.audio_source for bill in bills.values()} == {"stt"}
            assert sum(bill.audio_ms for bill in bills.values()) == stt.audio_bytes * 1000 // BYTES_PER_SECOND
            process = psutil.Process(proxy.process.pid)
            before = most = process.memory_info().rss
            async with raw_connection(proxy.port) as (reader, writer):
                writer.write(upgrade(customer, "fault=deaf"))
                await reader.readuntil(b"\r\n\r\n")
                big = frame_of(bytes(60_000)) * 20

                async def given_up() -> bool:
                    nonlocal most
                    most = max(most, process.memory_info().rss)
                    if not writer.transport.is_closing() and writer.transport.get_write_buffer_size() == 0:
                        writer.write(big)
                    return "upstream took no data" in proxy.logged()

                await eventually(given_up, 60)
            # Beside a direction's bound, what TLS holds of it in its own buffers, and a process' noise.
            assert most - before < 2 * MAX_BUFFERED_BYTES + (4 << 20)
            await nothing_is_left(http, proxy, redis_client, customer)
    finally:
        await stt.stop()


async def test_audio_that_does_not_wait_for_the_101_arrives_whole_and_is_not_hoarded_meanwhile(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    audio = frame_of(bytes(60_000)) * 300
    async with proxied(tmp_path, redis_server.url, stt.url) as proxy:  # type: ignore[attr-defined]
        assert await refusal(http, proxy, customer.headers) == 101
        process = psutil.Process(proxy.process.pid)
        before = most = process.memory_info().rss
        async with raw_connection(proxy.port) as (_, writer):
            writer.write(upgrade(customer, "fault=slow-response") + audio)

            async def arrived() -> bool:
                nonlocal most
                most = max(most, process.memory_info().rss)
                return stt.audio_bytes == 300 * 60_000

            await eventually(arrived, 60)
        assert most - before < len(audio) // 2
        await nothing_is_left(http, proxy, redis_client, customer)


async def test_a_client_that_sends_byte_by_byte_without_a_message_is_idle(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    async with (
        proxied(tmp_path, redis_server.url, stt.url, IDLE_SECONDS="1", **GIVEN_UP) as proxy,  # type: ignore[attr-defined]
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
        said = await asyncio.wait_for(reader.read(), 60)
        assert b"NET-0001" in said
        await nothing_is_left(http, proxy, redis_client, customer)


async def test_a_client_that_never_ends_the_head_of_a_request_is_cut_off_and_others_are_served_meanwhile(
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
            assert await asyncio.wait_for(dripping, 60) > 0
            for reader, _ in (silent, almost):
                assert await asyncio.wait_for(reader.read(), 60) == b""
        await nothing_is_left(http, proxy, redis_client, customer)
        # None of the three was admitted.
        assert len({reading.request_id for reading in await readings(redis_client)}) == 1


async def test_a_client_that_leaves_before_its_101_is_booked_as_499_and_its_server_let_go(
    http: ClientSession, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    url: str = redis_server.url  # type: ignore[attr-defined]
    async with staged_stt() as stt, proxied(tmp_path, url, stt.url) as proxy:
        async with raw_connection(proxy.port) as (_, writer):
            writer.write(upgrade(customer, ""))
            request = await stt.next()
        await eventually(lambda: sockets(proxy)["clients"] == 0)  # it has seen that the client left
        await request.send(request.opening)
        await request.gone()

        async def booked() -> UsageReading | None:
            return next(iter((await all_finals(redis_client)).values()), None)

        final = await eventually(booked)
        assert (final.status, final.audio_ms) == (499, 0)
        await nothing_is_left(http, proxy, redis_client, customer)
        found = await measured(http, proxy)
        assert found['aldea_ws_handshakes_total{status="499"}'] == 1
        assert found['aldea_ws_handshakes_total{status="101"}'] == 0


async def test_servers_with_a_wrong_handshake_response_leave_no_connection_behind(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    seen = Counter[int]()
    async with proxied(tmp_path, redis_server.url, stt.url, UPSTREAM_ANSWER_SECONDS="0.3") as proxy:  # type: ignore[attr-defined]
        for fault in ("500", "wrong-key", "garbage", "no-response"):
            url = f"{proxy.url}/v1/listen?fault={fault}"
            for outcome in await asyncio.gather(
                *(http.ws_connect(url, headers=customer.headers) for _ in range(5)), return_exceptions=True
            ):
                assert isinstance(outcome, WSServerHandshakeError)
                seen[outcome.status] += 1
        await nothing_is_left(http, proxy, redis_client, customer)
        found = await measured(http, proxy)
    # Once three have failed the circuit is open, and the rest fails at once.
    assert seen.total() == 20
    assert set(seen) <= {502, 503, 504}
    assert sum(found[f'aldea_ws_handshakes_total{{status="{status}"}}'] for status in seen) == 20
    assert len(await all_finals(redis_client)) == 20
