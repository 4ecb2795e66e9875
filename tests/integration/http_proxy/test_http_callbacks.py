"""Callbacks: kept in Redis, signed, delivered with retries, by another process if the one that accepted them died."""

import asyncio
import gzip
import hashlib
import hmac
import json
import signal
from collections import Counter
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

from aldea.redis.schema import month, used_key
from aldea.usage.reading import Rank
from http_proxy.callbacks import delivery as callback
from http_proxy.callbacks import store as deliveries
from http_proxy.callbacks.store import RECORD_BYTES, Deliveries, Delivery, Room, Taken
from tests.support.proxied import (
    KEY,
    PROJECT,
    RESULT,
    call,
    final,
    load_key,
    plays,
    post,
    proxy_process,
    proxying,
    readings,
    well,
)
from tests.support.proxies import patient_link
from tests.unit.http_proxy.servers import raw_server, response
from tests.unit.http_proxy.test_metering import GRANT


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The callback workers need not be waited for."""
    monkeypatch.setattr(callback, "LOOK_SECONDS", 0.02)


@dataclass
class Receiver:
    """A customer's server: notes what it gets, responds with the next of `statuses` (200 after the last)."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    hang: bool = False
    seconds: float = 0.0
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.got) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(statuses=list(statuses))

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        receiver.got.append((request.method, {name.lower(): v for name, v in request.headers.items()}, body))
        if receiver.hang:
            await asyncio.sleep(600)
        await asyncio.sleep(receiver.seconds)
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
    async with asyncio.timeout(60):
        while await raw.exists(deliveries.DUE):
            await asyncio.sleep(0.01)


async def test_a_result_is_delivered_signed_and_billed_once(redis_url: str, redis_client: redis.Redis) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with receiving() as receiver, raw_server(well(seen)) as stt, proxying(redis_url, stt) as proxy:
        reply = await call(proxy, post(b"audio", target(receiver, "&metadata=%7B%22job%22%3A1%7D&callback_method=put")))
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
    compressed = plays(response(gzip.compress(RESULT), headers=b"Content-Encoding: gzip\r\n"))
    async with receiving() as receiver, raw_server(compressed) as stt:
        async with proxying(redis_url, stt) as proxy:
            assert (await call(proxy, post(b"audio", target(receiver)))).status == 200
            await receiver.wait_for(1)
            assert receiver.got[0][2] == RESULT
            assert (await final(redis_client)).audio_ms == 5000
        await redis_client.flushall()
        bomb = plays(response(gzip.compress(RESULT + b" " * 10_000), headers=b"Content-Encoding: gzip\r\n"))
        async with raw_server(bomb) as other, proxying(redis_url, other, callback_max_bytes=5_000) as proxy:
            reply = await call(proxy, post(b"audio", target(receiver)))
            assert (reply.status, reply.json["err_code"]) == (502, "BAD_GATEWAY")
            assert (await final(redis_client)).audio_ms == 0


async def test_a_failed_delivery_is_tried_again(redis_url: str, redis_client: redis.Redis) -> None:
    async with (
        receiving(500, 302, 404) as receiver,
        raw_server(well()) as stt,
        proxying(redis_url, stt, callback_retry_seconds=0.02) as proxy,
    ):
        await call(proxy, post(b"audio", target(receiver)))
        await receiver.wait_for(4)
        await until_empty(redis_client)
        assert len({body for _, _, body in receiver.got}) == 1


async def test_a_delivery_is_given_up_after_its_last_retry(redis_url: str, redis_client: redis.Redis) -> None:
    async with (
        receiving(*[500] * 20) as receiver,
        raw_server(well()) as stt,
        proxying(redis_url, stt, callback_retry_seconds=0.02, callback_retries=2) as proxy,
    ):
        await call(proxy, post(b"audio", target(receiver)))
        await until_empty(redis_client)
        assert len(receiver.got) == 3
        assert (await final(redis_client)).audio_ms == 5000, "the transcription was done"


async def test_a_failed_transcription_is_reported_and_not_delivered(redis_url: str, redis_client: redis.Redis) -> None:
    refusal = plays(response(b'{"err_code":"Bad Request"}', status="400 Bad Request"))
    async with receiving() as receiver, raw_server(refusal) as stt, proxying(redis_url, stt) as proxy:
        assert (await call(proxy, post(b"audio", target(receiver)))).status == 400
        assert await redis_client.zcard(deliveries.DUE) == 0
        assert receiver.got == []


async def test_a_result_beyond_the_cap_is_413_and_costs_nothing(redis_url: str, redis_client: redis.Redis) -> None:
    async with (
        receiving() as receiver,
        raw_server(well()) as stt,
        proxying(redis_url, stt, callback_max_bytes=10) as proxy,
    ):
        reply = await call(proxy, post(b"audio", target(receiver)))
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
        reply = await call(proxy, post(b"audio", target(receiver)))
        assert (reply.status, reply.json["err_code"]) == (503, "SERVICE_UNAVAILABLE")
        assert not [body for _, body in seen if body]


async def test_a_project_that_has_filled_its_own_share_is_refused_and_others_go_on(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """It is the customer's doing: no 5xx, which would look like ours."""
    seen: list[tuple[bytes, bytes]] = []
    async with (
        receiving() as receiver,
        raw_server(well(seen)) as stt,
        proxying(redis_url, stt, callback_pending_bytes=100_000) as proxy,
    ):
        await redis_client.set(deliveries.BYTES, "50000")
        await redis_client.set(f"{deliveries.BYTES}:{PROJECT}", "50000")
        reply = await call(proxy, post(b"audio", target(receiver)))
        assert (reply.status, reply.json["err_code"]) == (429, "TOO_MANY_REQUESTS")
        assert int(reply.headers["retry-after"]) > 0
        assert not [body for _, body in seen if body]
        await redis_client.set(f"{deliveries.BYTES}:{PROJECT}", "0")  # held by others instead
        assert (await call(proxy, post(b"audio", target(receiver)))).status == 200
        await receiver.wait_for(1)


async def test_results_are_delivered_promptly_while_another_projects_hundred_receivers_hang(
    redis_url: str, redis_client: redis.Redis
) -> None:
    async with (
        receiving() as hanging,
        receiving() as receiver,
        raw_server(well()) as stt,
        patient_link(redis_url) as link,
    ):
        hanging.hang = True
        store = Deliveries(link, most_bytes=1 << 20)
        for number in range(100):
            reading = replace(GRANT.reading(Rank.FINAL, 1), project_id="another")
            left = replace(delivery(f"id-{number}"), url=hanging.url, reading=reading.to_json())
            assert await store.put(left) is Room.FREE
        async with proxying(redis_url, stt, callback_attempt_seconds=60) as proxy:
            await hanging.wait_for(callback.PROJECT_ATTEMPTS)
            for number in range(20):
                assert (await call(proxy, post(b"audio", target(receiver)))).status == 200
                await receiver.wait_for(number + 1)
            assert len(hanging.got) == callback.PROJECT_ATTEMPTS


async def test_a_delivery_under_way_is_finished_when_the_process_is_stopped(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    """However long the receiver takes to respond, within an attempt's time: here longer than shutdowns used to."""
    await load_key(redis_client)
    async with receiving() as receiver, raw_server(well()) as stt:
        receiver.seconds = 6.0
        process, port = proxy_process(redis_url, stt, tmp_path / "log", CALLBACK_ATTEMPT_SECONDS="20")
        try:
            await asyncio.to_thread(process.start)
            reply = await call(Port(port), post(b"audio", target(receiver)))  # type: ignore[arg-type]
            assert reply.status == 200
            await receiver.wait_for(1)
            process.signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 60) == 0
        finally:
            process.stop()
        assert not await redis_client.exists(deliveries.DUE)
        assert "callback delivered" in (tmp_path / "log").read_text()
        assert len(receiver.got) == 1


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
            reply = await call(Port(port), post(b"audio", target(receiver)))  # type: ignore[arg-type]
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
        await Deliveries(link, most_bytes=1 << 20).put(left)
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
        async with (
            receiving() as receiver,
            raw_server(plays(response(result))) as stt,
            proxying(redis_url, stt) as proxy,
        ):
            reply = await call(proxy, post(b"audio", target(receiver)))
            assert reply.status == status
            if status == 200:
                await receiver.wait_for(1)
                assert receiver.got[0][2] == result
            await until_empty(redis_client)


# The store alone.


def delivery(request_id: str = "id-1", body: str = "{}", project: str = "p") -> Delivery:
    return Delivery(
        request_id=request_id,
        url="https://example.com/",
        method="POST",
        body=body,
        content_type="application/json",
        secret="s",
        reading=f'{{"project_id":"{project}"}}',
    )


MOST = 100 * RECORD_BYTES


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Deliveries]:
    async with patient_link(redis_url) as link:
        yield Deliveries(link, most_bytes=MOST)


async def taken(store: Deliveries, most: int = 5, seconds: float = 3600, **changes: Any) -> list[str]:
    return [
        found.request_id
        for found in await store.take(most, seconds, **{"most_bytes": 1 << 40, "one_at_least": False, **changes})
    ]


async def test_only_one_taker_gets_a_delivery_until_its_time_is_over(store: Deliveries) -> None:
    assert await store.put(delivery()) is Room.FREE
    assert await store.put(delivery()) is Room.FREE, "twice is as once"
    assert await taken(store, seconds=0.05) == ["id-1"]
    async with asyncio.timeout(60):
        while not await taken(store, seconds=3600):
            await asyncio.sleep(0.01)
    assert await taken(store) == []
    assert await store.read("id-1") == delivery()


async def test_a_failed_delivery_keeps_its_count(store: Deliveries) -> None:
    await store.put(delivery())
    [found] = await store.take(1, 10, most_bytes=1 << 40, one_at_least=False)
    assert found == Taken("id-1", "p", int(delivery().to_hash()["size"]), "https://example.com/", 0)
    await store.again(found, 3, 0)
    [found] = await store.take(1, 10, most_bytes=1 << 40, one_at_least=False)
    assert found.attempts == 3
    again = await store.read("id-1")
    assert again is not None
    assert again.attempts == 3


async def test_a_finished_delivery_leaves_only_its_reading(store: Deliveries, redis_client: redis.Redis) -> None:
    await store.put(delivery())
    [found] = await store.take(1, 0, most_bytes=1 << 40, one_at_least=False)
    await store.done(found)
    await store.done(found)
    await store.again(found, 1, 0)
    assert await store.read("id-1") is None
    keys = sorted(await redis_client.keys("*"))
    assert keys == [deliveries.BYTES, "usage:readings"]
    assert int(await redis_client.get(deliveries.BYTES) or -1) == 0
    assert await redis_client.xlen("usage:readings") == 1


async def test_results_together_have_a_bound_and_each_project_leaves_others_as_much_as_it_holds(
    store: Deliveries,
) -> None:
    kept: Counter[str] = Counter()
    for number in range(500):
        for project in ("a", "b", "c"):
            if await store.put(delivery(f"{project}-{number}", "x" * 500, project)) is Room.FREE:
                kept[project] += 1
    size = int(delivery("a-1", "x" * 500, "a").to_hash()["size"])
    assert max(kept.values()) - min(kept.values()) <= 1
    assert abs(kept["a"] * size - MOST / 4) <= 2 * size, "the fourth quarter is free for the next project"
    assert await store.put(delivery("a-500", "x" * 500, "a")) is Room.SHARE
    assert await store.room("new") is Room.FREE
    assert await store.put(delivery("new-1", "x" * 500, "new")) is Room.FREE
    assert await store.put(delivery("new-2", "x" * MOST, "new")) is Room.FULL


async def test_projects_take_turns_however_much_of_one_is_due(store: Deliveries) -> None:
    for number in range(30):
        await store.put(delivery(f"a-{number}", project="a"))
    await store.put(delivery("b-0", project="b"))
    await store.put(delivery("b-1", project="b"))
    first, second, third = [await taken(store, 8) for _ in range(3)]
    assert [sorted(name[0] for name in found) for found in (first, second, third)] == [["a", "b"], ["a", "b"], ["a"]]
    await store.put(delivery("c-0", project="c"))
    assert await taken(store, passed_over=["a"]) == ["c-0"]
    assert await taken(store, most_bytes=10) == []
    assert len(await taken(store, most_bytes=10, one_at_least=True)) == 1
    rest = [name for _ in range(40) for name in await taken(store, 1)]
    assert len(rest) == len(set(rest)) == 26


async def test_what_a_process_of_an_older_version_left_is_delivered_too(
    store: Deliveries, redis_client: redis.Redis
) -> None:
    raw: Any = redis_client
    for request_id, reading in (("id-1", '{"project_id":"p"}'), ("id-2", "no JSON")):
        left = replace(delivery(request_id), reading='{"project_id":"p"}').to_hash()
        del left["project_id"]
        await raw.hset(deliveries.record_key(request_id), mapping={**left, "reading": reading})
        await raw.incrby(deliveries.BYTES, left["size"])
        await raw.zadd(deliveries.FORMER_DUE, {request_id: 1})
    await raw.zadd(deliveries.FORMER_DUE, {"finished long ago": 1})
    found = [
        *await store.take(9, 10, most_bytes=1 << 40, one_at_least=False),
        *await store.take(9, 10, most_bytes=1 << 40, one_at_least=False),
    ]
    assert {one.request_id: one.project_id for one in found} == {"id-1": "p", "id-2": "", "finished long ago": ""}
    for one in found:
        await store.done(one)
    assert sorted(await redis_client.keys("callback*")) == [deliveries.BYTES]
    assert int(await redis_client.get(deliveries.BYTES) or -1) == 0
