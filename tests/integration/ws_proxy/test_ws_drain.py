"""SIGTERM at every moment of a stream's life: handshakes get a response, streams their last words and their bill."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession

from aldea.usage.reading import Rank
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process
from tests.fakes.stt import FakeStt
from tests.support.faults import finals, inspected, live_leases, proxied, upgrade
from tests.support.fleets import fleet
from tests.support.proxies import Customer, eventually, raw_connection, readings
from tests.support.staged import StagedStt, staged_stt
from tests.unit.http_proxy.servers import deaf_server


@pytest.fixture
async def staged() -> AsyncIterator[StagedStt]:
    async with staged_stt() as server:
        yield server


async def refusal_of(reader: asyncio.StreamReader) -> None:
    """The refusal of a drain, whole, and nothing else."""
    async with asyncio.timeout(60):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 503 "), head
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
    assert body["err_code"] == "SERVICE_UNAVAILABLE"
    assert "restart" in body["err_msg"]
    assert body["request_id"] == headers["dg-request-id"]
    assert headers["dg-error"].startswith("SERVICE_UNAVAILABLE")
    assert int(headers["retry-after"]) >= 1


async def closed_with(reader: asyncio.StreamReader) -> int:
    """The code of the Close that the proxy sends; its frames are not masked."""
    async with asyncio.timeout(60):
        while True:
            first, length = await reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await reader.readexactly(2), "big")
            payload = await reader.readexactly(length)
            if first & 0x0F == 8:
                return int.from_bytes(payload[:2], "big")


@pytest.mark.parametrize("sent", [0, 1, 60], ids=["no response yet", "a byte of the 101", "half of the 101"])
async def test_a_handshake_under_way_is_refused_at_once_when_the_process_is_signalled_to_stop(
    staged: StagedStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path, sent: int
) -> None:
    customer = await Customer(redis_client).write()
    patient = {"UPSTREAM_ANSWER_SECONDS": "60", "HANDSHAKE_SECONDS": "60", "DRAIN_SECONDS": "60"}
    async with (
        proxied(tmp_path, redis_server.url, staged.url, **patient) as proxy,  # type: ignore[attr-defined]
        raw_connection(proxy.port) as (reader, writer),
    ):
        writer.write(upgrade(customer, ""))
        request = await staged.next()
        await request.send(request.opening[:sent])
        proxy.process.signal(signal.SIGTERM)
        await refusal_of(reader)
        await request.gone()
        assert await asyncio.to_thread(proxy.process.wait, 60) == 0
        assert await live_leases(redis_client, customer) == 0
        assert [
            (final.status, final.audio_ms) for final in await readings(redis_client) if final.rank is Rank.FINAL
        ] == [(503, 0)]


async def test_a_handshake_whose_server_takes_no_connection_is_refused_at_once_when_the_process_is_signalled_to_stop(
    redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    patient = {"UPSTREAM_CONNECT_SECONDS": "60", "HANDSHAKE_SECONDS": "60", "DRAIN_SECONDS": "60"}
    with deaf_server() as port:
        async with (
            proxied(tmp_path, redis_server.url, f"http://127.0.0.1:{port}", **patient) as proxy,  # type: ignore[attr-defined]
            raw_connection(proxy.port) as (reader, writer),
        ):
            writer.write(upgrade(customer, ""))

            async def admitted() -> bool:
                return await live_leases(redis_client, customer) == 1

            await eventually(admitted)
            proxy.process.signal(signal.SIGTERM)
            await refusal_of(reader)
            assert await asyncio.to_thread(proxy.process.wait, 60) == 0
            assert await live_leases(redis_client, customer) == 0


async def test_a_handshake_that_waits_for_its_admission_is_refused_when_the_process_is_signalled_to_stop(
    http: ClientSession, staged: StagedStt, tmp_path: Path
) -> None:
    port = free_port()
    store = Process(stores.redis_spec(tmp_path / "redis", port), log=tmp_path / "redis.log").start()
    url = stores.redis_url(port)
    with ExitStack() as stack:
        stack.callback(store.stop)
        stack.callback(store.signal, signal.SIGCONT)
        async with redis.from_url(url, decode_responses=True) as client:
            customer = await Customer(client).write()
            patient = {"REDIS_COMMAND_SECONDS": "2", "DRAIN_SECONDS": "60"}
            async with (
                proxied(tmp_path, url, staged.url, **patient) as proxy,
                raw_connection(proxy.port) as (reader, writer),
            ):
                store.signal(signal.SIGSTOP)
                writer.write(upgrade(customer, ""))

                async def waits() -> bool:
                    return bool((await inspected(http, proxy))["admissions"] == 1)

                await eventually(waits)  # a proxy without a request would be gone before it has read this one
                proxy.process.signal(signal.SIGTERM)
                await eventually(lambda: "drain begins" in proxy.logged())
                store.signal(signal.SIGCONT)
                await refusal_of(reader)
                assert await asyncio.to_thread(proxy.process.wait, 60) == 0
                assert await live_leases(client, customer) == 0
                assert staged.connections.empty()


async def test_a_101_and_the_signal_in_the_same_moment_end_in_a_refusal_or_in_last_words(
    staged: StagedStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    """Both are there when the process goes on: whichever it sees first, nobody is cut off."""
    customer = await Customer(redis_client).write()
    async with (
        proxied(tmp_path, redis_server.url, staged.url) as proxy,  # type: ignore[attr-defined]
        raw_connection(proxy.port) as (reader, writer),
    ):
        writer.write(upgrade(customer, ""))
        request = await staged.next()
        proxy.process.signal(signal.SIGSTOP)
        await request.send(request.opening)
        proxy.process.signal(signal.SIGTERM)
        proxy.process.signal(signal.SIGCONT)
        head = await reader.readuntil(b"\r\n")
        if b" 101 " in head:
            await reader.readuntil(b"\r\n\r\n")
            assert await request.reader.readexactly(1)  # the proxy's CloseStream
            await request.report(0.01, last=True)
            assert await closed_with(reader) == 1012
        else:
            assert b" 503 " in head
            await request.gone()
        writer.close()
        assert await asyncio.to_thread(proxy.process.wait, 60) == 0
        found = [final for final in await readings(redis_client) if final.rank is Rank.FINAL]
        assert [(final.status, final.close_code) for final in found] in ([(101, 1012)], [(503, None)])
        assert await live_leases(redis_client, customer) == 0


STREAMS = 20


@pytest.mark.parametrize(
    ("drain_seconds", "signals", "said"),
    [("60", 2, "second signal"), ("0", 1, ""), ("1", 1, "")],
    ids=["a second SIGTERM", "no time at all", "less time than last words take"],
)
async def test_a_drain_that_is_cut_short_still_closes_every_stream_with_1012_and_writes_its_bill(
    http: ClientSession,
    redis_server: Process,
    redis_client: redis.Redis,
    stt: FakeStt,
    tmp_path: Path,
    drain_seconds: str,
    signals: int,
    said: str,
) -> None:
    """The server never says its last words, which are waited for longer than the test would."""
    customer = await Customer(redis_client).write()
    slow = {"DRAIN_SECONDS": drain_seconds, "DRAIN_FINISH_SECONDS": "60", "FINISH_SECONDS": "60"}
    query = "encoding=linear16&fault=never-finishes"
    async with (
        proxied(tmp_path, redis_server.url, stt.url, **slow) as proxy,  # type: ignore[attr-defined]
        fleet(http, proxy, customer, STREAMS, query) as streams,
    ):
        for number in range(signals):
            proxy.process.signal(signal.SIGTERM)
            await eventually(lambda: "drain begins" in proxy.logged(), 60)
            if number == 0 and signals == 2:
                await eventually(lambda: "CloseStream" in stt.texts, 60)
        await streams.all_ended()
        assert streams.codes == Counter({1012: STREAMS})
        bills = await finals(redis_client, streams.request_ids)
        assert {(bill.close_code, bill.audio_source) for bill in bills.values()} == {(1012, "stt")}
        assert await asyncio.to_thread(proxy.process.wait, 60) == 0
        assert await live_leases(redis_client, customer) == 0
        assert said in proxy.logged()
