"""Callbacks: kept in Redis, signed, delivered with retries, by another process if the one that accepted them died."""

import asyncio
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis.asyncio as redis
from aiohttp import web
from aiohttp.test_utils import TestServer

from aldea.redis_schema import month, used_key
from aldea.usage import Rank
from http_proxy import callback, deliveries
from http_proxy.deliveries import Deliveries, Delivery
from tests.integration.proxied import (
    KEY,
    PROJECT,
    RESULT,
    ask,
    final,
    load_key,
    plays,
    post,
    proxy_process,
    proxying,
    readings,
    well,
)
from tests.integration.proxies import patient_link
from tests.unit.http_proxy.servers import answer, raw_server
from tests.unit.http_proxy.test_bill import GRANT


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Couriers need not be waited for."""
    monkeypatch.setattr(callback, "LOOK_SECONDS", 0.02)


@dataclass
class Receiver:
    """A customer's server: notes what it gets, answers with the next of `statuses` (200 after the last)."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    hang: bool = False
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.got) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(statuses=list(statuses))

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        receiver.got.append((request.method, {name.lower(): v for name, v in request.headers.items()}, body))
        if receiver.hang:
            await asyncio.sleep(30)
        return web.Response(status=receiver.statuses.pop(0) if receiver.statuses else 200)

    app = web.Application(client_max_size=1 << 25)
    app.router.add_route("*", "/hook", receive)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/hook"))
        yield receiver


def target(receiver: Receiver, more: str = "") -> str:
    return f"/v1/listen?model=a&callback={quote(receiver.url, safe='')}{more}"


async def until_empty(client: redis.Redis) -> None:
    raw: Any = client
    async with asyncio.timeout(20):
        while await raw.exists(deliveries.DUE):
            await asyncio.sleep(0.01)


async def test_a_result_is_delivered_signed_and_billed_once(redis_url: str, redis_client: redis.Redis) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with receiving() as receiver, raw_server(well(seen)) as stt, proxying(redis_url, stt) as proxy:
        reply = await ask(proxy, post(b"audio", target(receiver, "&metadata=%7B%22job%22%3A1%7D&callback_method=put")))
        assert (reply.status, reply.json) == (200, {"request_id": reply.headers["dg-request-id"]})
        assert seen[0][0].startswith(b"POST /v1/listen?model=a HTTP/1.1\r\n"), "the server sees nothing of the callback"
        await receiver.wait_for(1)
        method, headers, body = receiver.got[0]
        assert method == "PUT"
        assert json.loads(body) == {"callback_metadata": {"job": 1}, **json.loads(RESULT)}
        assert headers["content-type"] == "application/json"
        assert headers["dg-request-id"] == reply.json["request_id"]
        parts = dict(part.split("=") for part in headers["aldea-signature"].split(","))
        key = hashlib.sha256(KEY.text.encode()).hexdigest().encode()
        assert parts["v1"] == hmac.new(key, parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        await until_empty(redis_client)
        assert int((await redis_client.get(deliveries.BYTES)) or 0) == 0
        assert (await final(redis_client)).audio_ms == 5000
        assert len(receiver.got) == 1


async def test_a_compressed_result_is_delivered_unpacked_and_only_up_to_the_cap(
    redis_url: str, redis_client: redis.Redis
) -> None:
    packed = plays(answer(gzip.compress(RESULT), headers=b"Content-Encoding: gzip\r\n"))
    async with receiving() as receiver, raw_server(packed) as stt:
        async with proxying(redis_url, stt) as proxy:
            assert (await ask(proxy, post(b"audio", target(receiver)))).status == 200
            await receiver.wait_for(1)
            assert receiver.got[0][2] == RESULT
            assert (await final(redis_client)).audio_ms == 5000
        await redis_client.flushall()
        bomb = plays(answer(gzip.compress(RESULT + b" " * 10_000), headers=b"Content-Encoding: gzip\r\n"))
        async with raw_server(bomb) as other, proxying(redis_url, other, callback_max_bytes=5_000) as proxy:
            reply = await ask(proxy, post(b"audio", target(receiver)))
            assert (reply.status, reply.json["err_code"]) == (502, "BAD_GATEWAY")
            assert (await final(redis_client)).audio_ms == 0


async def test_a_failed_delivery_is_tried_again(redis_url: str, redis_client: redis.Redis) -> None:
    async with (
        receiving(500, 302, 404) as receiver,
        raw_server(well()) as stt,
        proxying(redis_url, stt, callback_retry_seconds=0.02) as proxy,
    ):
        await ask(proxy, post(b"audio", target(receiver)))
        await receiver.wait_for(4)
        await until_empty(redis_client)
        assert len({body for _, _, body in receiver.got}) == 1


async def test_a_delivery_is_given_up_after_its_last_retry(redis_url: str, redis_client: redis.Redis) -> None:
    async with (
        receiving(*[500] * 20) as receiver,
        raw_server(well()) as stt,
        proxying(redis_url, stt, callback_retry_seconds=0.02, callback_retries=2) as proxy,
    ):
        await ask(proxy, post(b"audio", target(receiver)))
        await until_empty(redis_client)
        assert len(receiver.got) == 3
        assert (await final(redis_client)).audio_ms == 5000, "the transcription was done"


async def test_a_failed_transcription_is_answered_and_not_delivered(redis_url: str, redis_client: redis.Redis) -> None:
    refusal = plays(answer(b'{"err_code":"Bad Request"}', status="400 Bad Request"))
    async with receiving() as receiver, raw_server(refusal) as stt, proxying(redis_url, stt) as proxy:
        assert (await ask(proxy, post(b"audio", target(receiver)))).status == 400
        assert await redis_client.zcard(deliveries.DUE) == 0
        assert receiver.got == []


async def test_a_result_beyond_the_cap_is_413_and_costs_nothing(redis_url: str, redis_client: redis.Redis) -> None:
    async with (
        receiving() as receiver,
        raw_server(well()) as stt,
        proxying(redis_url, stt, callback_max_bytes=10) as proxy,
    ):
        reply = await ask(proxy, post(b"audio", target(receiver)))
        assert (reply.status, reply.json["err_code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert (await final(redis_client)).audio_ms == 0


async def test_when_too_much_waits_a_callback_is_refused_before_any_work(
    redis_url: str, redis_client: redis.Redis
) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with (
        receiving() as receiver,
        raw_server(well(seen)) as stt,
        proxying(redis_url, stt, callback_pending_bytes=1000) as proxy,
    ):
        await redis_client.set(deliveries.BYTES, "1000")
        reply = await ask(proxy, post(b"audio", target(receiver)))
        assert (reply.status, reply.json["err_code"]) == (503, "SERVICE_UNAVAILABLE")
        assert not [body for _, body in seen if body]


@dataclass(frozen=True)
class Port:
    port: int


async def test_a_result_is_delivered_after_the_process_that_accepted_it_was_killed(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    await load_key(redis_client)
    async with receiving() as receiver, raw_server(well()) as stt:
        receiver.hang = True
        accepting, port = proxy_process(redis_url, stt, tmp_path / "a.log")
        other, _ = proxy_process(redis_url, stt, tmp_path / "b.log")
        try:
            accepting.launch()
            await asyncio.to_thread(accepting.wait_ready)
            reply = await ask(Port(port), post(b"audio", target(receiver)))  # type: ignore[arg-type]
            assert reply.status == 200
            await receiver.wait_for(1)
            accepting.kill()
            receiver.hang = False
            other.launch()
            await asyncio.to_thread(other.wait_ready)
            await receiver.wait_for(2)
            await until_empty(redis_client)
        finally:
            accepting.stop()
            other.stop()
        assert receiver.got[0][2] == receiver.got[-1][2]
        finals = [reading for reading in await readings(redis_client) if reading.rank is Rank.FINAL]
        assert {(reading.request_id, reading.audio_ms) for reading in finals} == {(reply.json["request_id"], 5000)}
        booked = used_key(PROJECT, month(finals[0].started_ms))
        assert int(await redis_client.get(booked) or 0) == 5000


async def test_a_delivery_carries_the_bill_of_a_process_that_died_before_it_wrote_it(
    redis_url: str, redis_client: redis.Redis
) -> None:
    async with (
        receiving() as receiver,
        raw_server(well()) as stt,
        patient_link(redis_url) as link,
    ):
        reading = GRANT.reading(Rank.FINAL, 1)
        left = replace(delivery(GRANT.request_id, "{}"), url=receiver.url, reading=reading.to_json())
        await Deliveries(link, most_bytes=100).put(left)
        async with proxying(redis_url, stt):
            await receiver.wait_for(1)
            await until_empty(redis_client)
        assert await final(redis_client) == reading


async def test_a_result_of_eight_mebibytes_is_delivered_whole_and_one_byte_more_is_413(
    redis_url: str, redis_client: redis.Redis
) -> None:
    most = 8 << 20
    for size, status in ((most, 200), (most + 1, 413)):
        await redis_client.flushall()
        result = RESULT[:-1] + b',"x":"' + b"y" * (size - len(RESULT) - 7) + b'"}'
        assert len(result) == size
        async with receiving() as receiver, raw_server(plays(answer(result))) as stt, proxying(redis_url, stt) as proxy:
            reply = await ask(proxy, post(b"audio", target(receiver)))
            assert reply.status == status
            if status == 200:
                await receiver.wait_for(1)
                assert receiver.got[0][2] == result
            await until_empty(redis_client)


# The store alone.


def delivery(request_id: str = "id-1", body: str = "{}") -> Delivery:
    return Delivery(
        request_id=request_id,
        url="https://example.com/",
        method="POST",
        body=body,
        content_type="application/json",
        secret="s",
        reading='{"r":1}',
    )


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Deliveries]:
    async with patient_link(redis_url) as link:
        yield Deliveries(link, most_bytes=100)


async def test_only_one_taker_gets_a_delivery_until_its_time_is_over(store: Deliveries) -> None:
    assert await store.put(delivery())
    assert await store.put(delivery()), "twice is as once"
    assert await store.take(5, 0.05) == ["id-1"]
    assert await store.take(5, 10) == []
    async with asyncio.timeout(10):
        while not await store.take(5, 10):
            await asyncio.sleep(0.01)
    assert await store.read("id-1") == delivery()


async def test_a_failed_delivery_keeps_its_count(store: Deliveries) -> None:
    await store.put(delivery())
    await store.take(1, 10)
    await store.again(delivery(), 3, 0)
    assert await store.take(1, 10) == ["id-1"]
    found = await store.read("id-1")
    assert found is not None
    assert found.attempts == 3


async def test_a_finished_delivery_leaves_only_its_reading(store: Deliveries, redis_client: redis.Redis) -> None:
    await store.put(delivery())
    await store.done("id-1")
    await store.done("id-1")
    await store.again(delivery(), 1, 0)
    assert await store.read("id-1") is None
    keys = sorted(await redis_client.keys("*"))
    assert keys == [deliveries.BYTES, "usage:readings"]
    assert int(await redis_client.get(deliveries.BYTES) or -1) == 0
    assert await redis_client.xlen("usage:readings") == 1


async def test_results_together_have_a_bound(store: Deliveries) -> None:
    assert await store.room()
    assert await store.put(delivery("id-1", "x" * 60))
    assert not await store.put(delivery("id-2", "x" * 60))
    assert await store.put(delivery("id-3", "x" * 40))
    assert not await store.room()
