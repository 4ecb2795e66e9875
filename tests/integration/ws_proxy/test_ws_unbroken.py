"""Many live streams whose STT servers are killed, stopped and made to fail: no customer is to notice.

The proxy and both servers are processes of their own. The servers' words follow from the audio's bytes, so that each
can be checked; once more with the embedded STT server and speech. `FAULTS_STREAMS=50` takes more of them than a busy
machine carries in real time.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession

from aldea.canary.accuracy import word_error_rate, words_of
from aldea.canary.client import read_recording, stream_audio, stream_file
from onebox.demo import SAMPLE
from onebox.process import Process
from onebox.stores import http_ok
from tests.support.faults import measured, nothing_is_left, proxied
from tests.support.proxies import Customer, eventually, final_of, running
from tests.support.talks import busy, talks

STREAMS = int(os.environ.get("FAULTS_STREAMS", "20"))


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
        streams = await talks(http, proxy, customer, STREAMS)
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
        streams = await talks(http, proxy, customer, STREAMS)
        engines[0].signal(signal.SIGSTOP)
        await streams.all_hear_more()
        await streams.are_exact(redis_client, {1, 2, 3})
        engines[0].signal(signal.SIGCONT)
        await nothing_is_left(http, proxy, redis_client, customer)


QUERY = {"encoding": "linear16", "sample_rate": "16000", "interim_results": "true"}


async def halved(go_on: asyncio.Event) -> AsyncIterator[bytes]:
    """The sample; its second half is not sent before `go_on`, and so no server has done with it all by then."""
    pcm = read_recording(SAMPLE).pcm
    for begin in range(0, len(pcm), 3200):
        if begin >= len(pcm) // 2:
            await go_on.wait()
        yield pcm[begin : begin + 3200]


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
            killed = asyncio.Event()

            def kill(message: dict[str, Any]) -> None:
                if message.get("is_final") and not killed.is_set():
                    one.process.kill()
                    killed.set()

            undisturbed, disturbed = await asyncio.gather(
                stream_file(SAMPLE, two.url, customer.key.text, fast=True),
                stream_audio(halved(killed), QUERY, proxy.url, customer.key.text, on_message=kill),
            )
            assert disturbed.close_code == 1000
            assert disturbed.duration == undisturbed.duration
            truth = SAMPLE.with_suffix(".txt").read_text()
            errors = [
                word_error_rate(truth, found.transcript) * len(words_of(truth)) for found in (undisturbed, disturbed)
            ]
            assert errors[1] <= errors[0] + 1.01, (undisturbed.transcript, disturbed.transcript)
            bill = await final_of(redis_client, disturbed.request_id)
            assert (bill.audio_ms, bill.failovers) == (round(undisturbed.duration * 1000), 1)
