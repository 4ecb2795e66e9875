"""What customers see, and what is billed, when something dies, hangs or lies under fifty live streams.

Everything is a process of its own and is really killed or stopped. What an STT server can do wrong before a stream is
open is in test_ws_proxy.py. `FAULTS_PAUSE_SECONDS=60` pauses Redis for longer than any test would.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession

from aldea.admission import Verdict
from aldea.usage.reading import Rank, UsageReading
from onebox.process import Process
from tests.fakes.stt import BYTES_PER_SECOND, FakeStt
from tests.support.faults import (
    all_finals,
    engine,
    finals,
    frame_of,
    inspected,
    live_leases,
    measured,
    nothing_is_left,
    proxied,
    refusal,
    upgrade,
)
from tests.support.fleets import FRAME, fleet
from tests.support.proxies import Customer, eventually, raw_connection, readings
from ws_proxy.settings import Settings

STREAMS = 50
PAUSE_SECONDS = float(os.environ.get("FAULTS_PAUSE_SECONDS", "1.5"))


# The proxy.


async def test_a_killed_proxy_cuts_its_streams_and_each_keeps_its_last_checkpoint_and_no_lease(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    async with (
        proxied(tmp_path, redis_server.url, stt.url) as proxy,  # type: ignore[attr-defined]
        fleet(http, proxy, customer, STREAMS) as streams,
    ):

        async def last() -> dict[str, UsageReading]:
            """By request, as PostgreSQL would keep them."""
            kept: dict[str, UsageReading] = {}
            for reading in await readings(redis_client):
                kept[reading.request_id] = max(kept.get(reading.request_id, reading), reading, key=lambda r: r.order)
            return kept

        async def checkpointed() -> bool:
            return all(reading.audio_ms > 0 for reading in (await last()).values())

        async def all_leased() -> bool:
            return await live_leases(redis_client, customer) == STREAMS

        await eventually(checkpointed)
        await eventually(all_leased)
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


async def test_a_proxy_that_gets_sigterm_finishes_every_stream_with_1012_and_an_exact_bill(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    async with (
        proxied(tmp_path, redis_server.url, stt.url) as proxy,  # type: ignore[attr-defined]
        fleet(http, proxy, customer, STREAMS) as streams,
    ):
        proxy.process.signal(signal.SIGTERM)
        await streams.all_ended()
        assert streams.codes == Counter({1012: STREAMS})
        bills = await finals(redis_client, streams.request_ids)
        assert {(bill.close_code, bill.audio_source) for bill in bills.values()} == {(1012, "stt")}
        # What the server received is what is billed, to the frame.
        heard_ms = stt.audio_bytes * 1000 // BYTES_PER_SECOND
        assert sum(bill.audio_ms for bill in bills.values()) == heard_ms
        assert await asyncio.to_thread(proxy.process.wait, 60) == 0
        assert await customer.leases() == 0
        assert '"level": "error"' not in proxy.logged()


# The STT server.


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, signal.SIGTERM],
    ids=["killed", "SIGTERM"],
)
async def test_an_engine_that_was_the_only_one_ends_its_streams_with_a_reason_and_what_it_heard_is_billed(
    http: ClientSession,
    redis_server: Process,
    redis_client: redis.Redis,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    customer = await Customer(redis_client).write()
    server = engine(tmp_path)
    try:
        async with proxied(tmp_path, redis_server.url, server.url) as proxy:  # type: ignore[attr-defined]
            async with fleet(http, proxy, customer, STREAMS) as streams:
                server.signal(number)
                await streams.all_ended()
                assert streams.codes == Counter({1011: STREAMS})
                assert {text[:8] for _, text in streams.endings.values()} == {"NET-0000"}
                bills = await finals(redis_client, streams.request_ids)
                assert {(bill.close_code, bill.audio_source) for bill in bills.values()} == {(1011, "stt")}
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
    quick = {"PING_SECONDS": "1", "PONG_SECONDS": "3"}
    try:
        async with proxied(tmp_path, redis_server.url, server.url, **quick) as proxy:  # type: ignore[attr-defined]
            async with fleet(http, proxy, customer, STREAMS) as streams:
                server.signal(signal.SIGSTOP)
                await streams.all_ended()
                assert streams.codes == Counter({1011: STREAMS})
                assert {text[:8] for _, text in streams.endings.values()} == {"NET-0000"}
                bills = await finals(redis_client, streams.request_ids)
                assert {(bill.close_code, bill.audio_source) for bill in bills.values()} == {(1011, "stt")}
            await eventually(lambda: "upstream did not reply to a ping" in proxy.logged())
            await nothing_is_left(http, proxy, redis_client, customer)
    finally:
        server.signal(signal.SIGCONT)
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
async def test_the_streams_of_a_lost_engine_go_on_at_the_lanes_fallback_and_new_ones_go_there_at_once(
    http: ClientSession,
    stt: FakeStt,
    redis_server: Process,
    redis_client: redis.Redis,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    customer = await Customer(redis_client).write()
    server = engine(tmp_path)
    servers = f"{server.url},{stt.url}"  # type: ignore[attr-defined]
    quick = {"PING_SECONDS": "1", "PONG_SECONDS": "3", "FAILOVER_HOLD_SECONDS": "60"}
    try:
        async with proxied(tmp_path, redis_server.url, servers, **quick) as proxy:  # type: ignore[attr-defined]
            async with fleet(http, proxy, customer, STREAMS) as streams:
                assert stt.requests == []
                server.signal(number)
                await eventually(lambda: stt.open == STREAMS, 60)
                await streams.all_hear_more()
                # Who comes now is not refused, and need not try the server that is lost: its own streams reported it.
                async with fleet(http, proxy, customer, STREAMS) as again:
                    assert stt.open == 2 * STREAMS
                    await again.finish()
                    assert again.codes == Counter({1000: STREAMS})
                assert streams.endings == {}
                await streams.finish()
                bills = await finals(redis_client, streams.request_ids + again.request_ids)
                assert Counter((bill.close_code, bill.failovers) for bill in bills.values()) == Counter(
                    {(1000, 1): STREAMS, (1000, 0): STREAMS}
                )
            await nothing_is_left(http, proxy, redis_client, customer)
            found = await measured(http, proxy)
            handshakes = {name: n for name, n in found.items() if name.startswith("aldea_ws_handshakes_total") and n}
            assert handshakes == {'aldea_ws_handshakes_total{status="101"}': 2 * STREAMS}
    finally:
        server.signal(signal.SIGCONT)
        server.stop()


async def test_a_client_that_hangs_is_found_although_it_is_idle_by_no_rule_and_its_audio_is_billed(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    quick = {"PING_SECONDS": "0.5", "PONG_SECONDS": "3"}  # the server replies in that time, however busy it is
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
        await eventually(lambda: "client did not reply to a ping" in proxy.logged())
        await nothing_is_left(http, proxy, redis_client, customer)


async def test_rounds_of_streams_that_end_in_every_bad_way_leave_memory_as_it_was(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    violation, half_frame, half_message = b"\x83\x80\0\0\0\0", frame_of(FRAME)[:100], b"\2" + frame_of(FRAME)[1:]
    ends = [("die", b""), ("garbage-later", b""), ("close", b""), ("never-finishes", b""), ("", violation)]
    ends += [("", half_frame), ("", half_message), ("deaf", b""), ("500", b""), ("wrong-key", b"")]

    async def stream(fault: str, last: bytes) -> None:
        async with raw_connection(proxy.port) as (reader, writer):
            writer.write(upgrade(customer, f"fault={fault}"))
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frame_of(FRAME) + last)
            await asyncio.wait_for(reader.read(100), 60)

    async def round_of(times: int) -> int:
        """So many streams of each kind, all at once; the proxy's memory once they are closed."""
        await asyncio.gather(*(stream(*end) for end in ends for _ in range(times)))
        await nothing_is_left(http, proxy, redis_client, customer)
        blocks: int = (await inspected(http, proxy))["blocks"]
        return blocks

    env = {"INSPECTED_REPEAT_SECONDS": "0", "FINISH_SECONDS": "0.1", "CLOSE_SECONDS": "0.1"}
    async with proxied(tmp_path, redis_server.url, stt.url, **env) as proxy:  # type: ignore[attr-defined]
        for _ in range(2):  # what a process keeps for good grows once
            kept = await round_of(10)
        # A single object that each stream left behind would be seen, in each growth; what else may be going on, in one.
        growths: list[int] = []
        while not growths or (growths[-1] >= 3 * 10 * len(ends) and len(growths) < 3):
            before = kept
            for _ in range(3):
                kept = await round_of(10)
            growths.append(kept - before)
        assert growths[-1] < 3 * 10 * len(ends), growths


# Redis.


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "SIGTERM"])
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

            async def all_wait() -> bool:
                return (await measured(http, proxy))["aldea_readings_waiting"] >= STREAMS

            # A customer has its close code before its bill has been tried.
            await eventually(all_wait)
            own_redis.start()
            await store.connection_pool.disconnect()  # the test's own link to the one that died
            bills = await finals(store, streams.request_ids)
            assert {(bill.close_code, bill.audio_source) for bill in bills.values()} == {(1000, "stt")}
        await nothing_is_left(http, proxy, store, customer)
        assert await refusal(http, proxy, stranger.headers) == 101


async def test_while_redis_is_paused_streams_go_on_and_afterwards_each_bill_is_stored_once(
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


async def test_with_the_default_settings_a_revoked_keys_streams_are_closed_within_fifteen_seconds(
    http: ClientSession, stt: FakeStt, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer, other = await Customer(redis_client).write(), await Customer(redis_client).write()
    usual = {name: str(Settings.model_fields[name.lower()].default) for name in ("RENEW_SECONDS", "LEASE_TTL_SECONDS")}
    assert Settings.model_fields["renew_seconds"].default + Settings.model_fields["finish_seconds"].default <= 15
    async with (
        proxied(tmp_path, redis_server.url, stt.url, **usual) as proxy,  # type: ignore[attr-defined]
        fleet(http, proxy, customer, STREAMS) as streams,
        fleet(http, proxy, other, 1) as untouched,
    ):
        await customer.write(key_state="revoked")
        await streams.all_ended()  # at the next renewal: after ten seconds at most, and five for last words
        assert streams.codes == Counter({1008: STREAMS})
        assert {reason for _, reason in streams.endings.values()} == {Verdict.REVOKED.close_reason}
        bills = await finals(redis_client, streams.request_ids)
        assert {(bill.close_code, bill.audio_source) for bill in bills.values()} == {(1008, "stt")}
        await untouched.all_hear_more()
