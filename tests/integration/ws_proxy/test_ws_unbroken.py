"""Many live streams whose STT servers are killed, stopped and made to fail: no customer is to notice.

The proxy and both servers are processes of their own. The servers' words follow from the audio's bytes, so that each
can be checked; once more with the embedded STT server and speech. `FAULTS_STREAMS=50` takes more of them than a busy
machine carries in real time.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from aldea.canary.accuracy import word_error_rate, words_of
from aldea.canary.client import stream_file
from aldea.tasks import spawn
from onebox.demo import SAMPLE
from onebox.ports import free_port
from onebox.process import Process, ProcessSpec
from onebox.stores import http_ok
from tests.fakes.words import RATE, WORD_MS, WORD_SAMPLES, audio_of
from tests.support.faults import finals, measured, nothing_is_left, proxied
from tests.support.proxies import ROOT, Customer, Service, eventually, final_of, running

STREAMS = int(os.environ.get("FAULTS_STREAMS", "20"))
WORDS_A_FRAME = 2
FRAME_SECONDS = 0.1
PATIENCE = 60.0


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[list[Process]]:
    """Two of them."""
    found = []
    for number in range(2):
        port = free_port()
        spec = ProcessSpec(
            name=f"words-{number}",
            argv=(sys.executable, "-m", "tests.fakes.words", str(port)),
            env={"PYTHONPATH": f"{ROOT}/services:{ROOT}"},
            ready=lambda port=port: http_ok(f"http://127.0.0.1:{port}/stats"),  # type: ignore[misc]
        )
        process = Process(spec, log=tmp_path / f"words-{number}.log").start()
        process.url = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
        found.append(process)
    yield found
    for process in found:
        process.signal(signal.SIGCONT)
        process.stop()


class Talk:
    """A customer who says one number after the other."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.request_id = socket._response.headers["dg-request-id"]
        self.messages: list[dict[str, Any]] = []
        self.sent = self.heard = 0
        self.code: int | None = None
        self._goes_on = True
        self._tasks = [spawn(self._speak(), name="speak"), spawn(self._hear(), name="hear")]

    async def _speak(self) -> None:
        while self._goes_on:
            await self.socket.send_bytes(audio_of(self.sent + 1, self.sent + WORDS_A_FRAME))
            self.sent += WORDS_A_FRAME
            await asyncio.sleep(FRAME_SECONDS)
        await self.socket.send_str('{"type":"CloseStream"}')

    async def _hear(self) -> None:
        async for message in self.socket:
            assert message.type is WSMsgType.TEXT
            self.messages.append(found := json.loads(message.data))
            if found["type"] == "Results" and (words := found["channel"]["alternatives"][0]["words"]):
                self.heard = int(words[-1]["word"])
        self.code = self.socket.close_code

    async def finish(self) -> None:
        self._goes_on = False
        await asyncio.wait_for(asyncio.gather(*self._tasks), PATIENCE)

    def check(self) -> None:
        """Every word once and in order, at its time to a sample, and nothing seen of any server's end."""
        results = [one for one in self.messages if one["type"] == "Results" and one["is_final"]]
        words = [word for one in results for word in one["channel"]["alternatives"][0]["words"]]
        assert [int(word["word"]) for word in words] == list(range(1, self.sent + 1))
        assert [round(word["start"] * RATE, 4) for word in words] == [n * WORD_SAMPLES for n in range(self.sent)]
        metadata = [one["duration"] for one in self.messages if one["type"] == "Metadata"]
        assert metadata == [0.0, self.sent * WORD_MS / 1000]
        assert self.code == 1000


class Talks:
    """All of them."""

    def __init__(self, talks: list[Talk]) -> None:
        self.all = talks

    async def all_hear_more(self) -> None:
        """Wait until each has heard words that it had not sent yet."""
        sent = [talk.sent for talk in self.all]

        def heard() -> bool:
            assert all(talk.code is None for talk in self.all), [talk.code for talk in self.all]
            return all(talk.heard > before for talk, before in zip(self.all, sent, strict=True))

        await eventually(heard, PATIENCE)

    async def are_exact(self, store: redis.Redis, failovers: set[int]) -> None:
        for talk in self.all:
            await talk.finish()
        for talk in self.all:
            talk.check()
        bills = await finals(store, [talk.request_id for talk in self.all])
        assert {bill.failovers for bill in bills.values()} <= failovers
        assert {talk.request_id: talk.sent * WORD_MS for talk in self.all} == {
            request_id: bill.audio_ms for request_id, bill in bills.items()
        }


async def talks(http: ClientSession, proxy: Service, customer: Customer) -> Talks:
    url = f"{proxy.url}/v1/listen?encoding=linear16&sample_rate={RATE}"
    opening: list[Any] = [http.ws_connect(url, headers=customer.headers) for _ in range(STREAMS)]
    found = Talks([Talk(socket) for socket in await asyncio.gather(*opening)])
    await found.all_hear_more()
    return found


async def busy(http: ClientSession, engines: list[Process]) -> Process:
    """The one that has streams."""
    for engine in engines:
        async with http.get(f"{engine.url}/stats") as response:  # type: ignore[attr-defined]
            if (await response.json())["used"]:
                return engine
    raise AssertionError("no engine has a stream")


async def hurt(http: ClientSession, engine: Process, fault: str) -> None:
    if fault.startswith("SIG"):
        engine.signal(signal.Signals[fault])
        await eventually(lambda: not engine.running)
        await asyncio.to_thread(engine.start)
    else:
        async with http.post(f"{engine.url}/fault?kind={fault}"):  # type: ignore[attr-defined]
            pass


@pytest.mark.parametrize(
    "seed",
    [1, 2],
)
async def test_whatever_happens_to_their_servers_no_stream_is_closed_and_every_word_comes_once(
    http: ClientSession,
    engines: list[Process],
    own_redis: Process,
    tmp_path: Path,
    seed: int,
) -> None:
    order = ["SIGKILL", "SIGTERM", "garbage", "1011", "half-close", "reset"]
    random.Random(seed).shuffle(order)
    env = {"FAILOVER_HOLD_SECONDS": "60", "DRAIN_SECONDS": "60"}
    urls = ",".join(engine.url for engine in engines)  # type: ignore[attr-defined]
    url: str = own_redis.url  # type: ignore[attr-defined]
    async with redis.from_url(url, decode_responses=True) as store, proxied(tmp_path, url, urls, **env) as proxy:
        customer = await Customer(store).write()
        streams = await talks(http, proxy, customer)
        for number, fault in enumerate(order[:3]):  # a stream is given three other servers in a minute
            if number == 1:
                own_redis.signal(signal.SIGSTOP)
            await hurt(http, await busy(http, engines), fault)
            await streams.all_hear_more()
            own_redis.signal(signal.SIGCONT)
        await streams.are_exact(store, {1, 2, 3})
        figures = await measured(http, proxy)
        assert figures["aldea_ws_failover_gap_seconds_count"] >= STREAMS
        assert figures["aldea_ws_replay_window_bytes"] == 0
        await nothing_is_left(http, proxy, store, customer)


async def test_streams_of_a_server_that_hangs_go_on_at_the_other_one(
    http: ClientSession, engines: list[Process], redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    urls = ",".join(engine.url for engine in engines)  # type: ignore[attr-defined]
    env = {"FAILOVER_HOLD_SECONDS": "60", "PING_SECONDS": "1", "PONG_SECONDS": "3"}
    async with proxied(tmp_path, redis_server.url, urls, **env) as proxy:  # type: ignore[attr-defined]
        streams = await talks(http, proxy, customer)
        engines[0].signal(signal.SIGSTOP)
        await streams.all_hear_more()
        await streams.are_exact(redis_client, {1, 2, 3})
        engines[0].signal(signal.SIGCONT)
        await nothing_is_left(http, proxy, redis_client, customer)


async def test_words_of_real_speech_go_on_when_the_embedded_stt_server_is_killed(
    http: ClientSession, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    env = {"STT_WORKERS": "1"}
    with running("stt_api", tmp_path / "one.log", **env) as one, running("stt_api", tmp_path / "two.log", **env) as two:
        for engine in (one, two):
            engine.wait_until(lambda engine=engine: http_ok(f"{engine.url}/readyz"))  # type: ignore[misc]
        redis_url: str = redis_server.url  # type: ignore[attr-defined]
        patient = {"FAILOVER_HOLD_SECONDS": "60", "FINISH_SECONDS": "60"}
        async with proxied(tmp_path, redis_url, f"{one.url},{two.url}", **patient) as proxy:
            killed = False

            def kill(message: dict[str, Any]) -> None:
                nonlocal killed
                if message.get("is_final") and not killed:
                    killed = True
                    one.process.kill()

            undisturbed, disturbed = await asyncio.gather(
                stream_file(SAMPLE, two.url, customer.key.text, fast=True),
                stream_file(SAMPLE, proxy.url, customer.key.text, fast=True, on_message=kill),
            )
            assert killed
            assert disturbed.close_code == 1000
            assert disturbed.duration == undisturbed.duration
            truth = SAMPLE.with_suffix(".txt").read_text()
            errors = [
                word_error_rate(truth, found.transcript) * len(words_of(truth)) for found in (undisturbed, disturbed)
            ]
            assert errors[1] <= errors[0] + 1.01, (undisturbed.transcript, disturbed.transcript)
            bill = await final_of(redis_client, disturbed.request_id)
            assert (bill.audio_ms, bill.failovers) == (round(undisturbed.duration * 1000), 1)
