"""A balance that is used up while streams run: what is billed beyond it, and what each stream's end is."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, WSMsgType

from aldea.admission import Verdict
from aldea.money import usd
from aldea.redis.schema import USAGE_FIELD, USAGE_STREAM, project_key, spent_key
from aldea.tasks import cancel, spawn
from aldea.usage.reading import Rank, UsageReading
from backend.usage.money import cost_micros
from onebox.process import Process
from tests.fakes.stt import FakeStt
from tests.support.proxies import Customer, Service, eventually, running
from tests.support.streams import SECOND, heard, listen, refused

# A tenth of the real thing: a renewal carries 1 s of audio instead of 10, the balance is worth 6 s instead of 60.
STREAMS = 100
WORTH_SECONDS = 6
RENEWAL_MS = 1000
MICROS_PER_HOUR = 3_600_000
DEADLINE_SECONDS = 120


@pytest.fixture
def paid_proxy(redis_server: Process, stt_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A ws-proxy that renews every half a second."""
    with running(
        "ws_proxy",
        tmp_path_factory.mktemp("ws_proxy") / "log",
        REDIS_URL=redis_server.url,  # type: ignore[attr-defined]
        STT_UPSTREAMS=f"http://127.0.0.1:{stt_port}",
        STT_UPSTREAM_TOKEN="upstream-secret",
        RENEW_SECONDS="0.5",
        FINISH_SECONDS="30",
    ) as service:
        yield service


class Booked:
    """What Redis has of each request: its newest reading, read as they come."""

    def __init__(self, store: redis.Redis) -> None:
        self._store = store
        self._after = "-"
        self.newest: dict[str, UsageReading] = {}

    async def follow(self) -> None:
        while True:
            entries: Any = await self._store.xrange(USAGE_STREAM, min=self._after)
            for entry_id, entry in entries:
                reading = UsageReading.from_json(entry[USAGE_FIELD])
                self.newest[reading.request_id] = reading
                self._after = f"({entry_id}"
            await asyncio.sleep(0.05)

    async def all_final(self, count: int) -> list[UsageReading]:
        def finals() -> list[UsageReading] | None:
            found = [one for one in self.newest.values() if one.rank is Rank.FINAL]
            return found if len(found) == count else None

        return list(await eventually(finals, DEADLINE_SECONDS))


async def speak(socket: Any, booked: Booked) -> None:
    """Send as much as one renewal carries, again each time that one has booked it, until the stream ends."""
    request_id, sent_ms = socket._response.headers["dg-request-id"], 0
    while not socket.closed:
        await socket.send_bytes(SECOND)
        sent_ms += RENEWAL_MS
        while request_id not in booked.newest or booked.newest[request_id].audio_ms < sent_ms:
            await asyncio.sleep(0.05)


async def last_heard(socket: Any) -> str:
    """The last transcript before the Close."""
    words = ""
    async for message in socket:
        if message.type is WSMsgType.TEXT and (said := json.loads(message.data)).get("type") == "Results":
            words = said["channel"]["alternatives"][0]["transcript"]
    return words


async def test_a_hundred_streams_use_at_most_one_renewal_each_beyond_their_balance_and_hear_their_last_words(
    http: ClientSession, paid_proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    granted = cost_micros(WORTH_SECONDS * 1000, MICROS_PER_HOUR)
    account_id = await customer.fund(granted, micros_per_hour=MICROS_PER_HOUR)
    booked = Booked(redis_client)
    opening: list[Any] = [http.ws_connect(f"{paid_proxy.url}/v1/listen?encoding=linear16&sample_rate=16000",
        headers=customer.headers) for _ in range(STREAMS)]  # fmt: skip
    async with asyncio.timeout(DEADLINE_SECONDS):
        # None has begun to speak before all are admitted.
        sockets = await asyncio.gather(*opening)
        talking = [spawn(booked.follow(), name="follow")]
        talking += [spawn(speak(socket, booked), name="speak") for socket in sockets]
        try:
            last = await asyncio.gather(*(last_heard(socket) for socket in sockets))
            finals = await booked.all_final(STREAMS)
        finally:
            await cancel(*talking)
    assert {(socket.close_code, words) for socket, words in zip(sockets, last, strict=True)} == {(1008, "last words")}
    billed_ms = sum(final.audio_ms for final in finals)
    assert WORTH_SECONDS * 1000 <= billed_ms <= WORTH_SECONDS * 1000 + STREAMS * RENEWAL_MS
    charged = sum(cost_micros(final.audio_ms, MICROS_PER_HOUR) for final in finals)
    assert await redis_client.hget(spent_key(account_id), "micros") == str(charged)
    status, _, body = await refused(http, paid_proxy, headers=customer.headers)
    assert (status, body["err_code"]) == (402, "ASR_PAYMENT_REQUIRED")
    assert f"{usd(granted - charged)} USD" in body["err_msg"]
    assert "Add credit" in body["err_msg"]


async def test_the_close_frame_says_that_the_balance_is_used_up(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    await customer.fund(1, micros_per_hour=MICROS_PER_HOUR)
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        async with asyncio.timeout(DEADLINE_SECONDS):
            messages = await heard(socket)
        assert socket.close_code == 1008
    # The server's last results and its summary came before.
    assert messages[-2]["channel"]["alternatives"][0]["transcript"] == "last words"
    assert messages[-1]["duration"] == 1.0
    assert "balance" in Verdict.BALANCE.close_reason


async def test_a_budget_that_is_spent_ends_a_stream_behind_its_last_words_and_refuses_the_next(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    await customer.fund(1_000_000, micros_per_hour=MICROS_PER_HOUR)
    await redis_client.hset(project_key(customer.project_id), "budget", "1")
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        async with asyncio.timeout(DEADLINE_SECONDS):
            messages = await heard(socket)
        assert socket.close_code == 1008
    assert messages[-2]["channel"]["alternatives"][0]["transcript"] == "last words"
    status, _, body = await refused(http, proxy, headers=customer.headers)
    assert (status, body["err_code"]) == (402, "ASR_PAYMENT_REQUIRED")
    assert "The project's monthly budget is spent" in body["err_msg"]
