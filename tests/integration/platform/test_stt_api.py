"""The embedded engine as a process of its own: every format, every control message, and every way to come to an end."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestServer

from aldea.canary.accuracy import word_error_rate
from aldea.canary.client import stream_file
from aldea.tasks import spawn
from onebox.demo import SAMPLE
from onebox.process import Process
from onebox.stores import http_ok
from tests.recordings import FORMATS, encoded, speech
from tests.support.proxies import Customer, Service, eventually, final_of, running

TRUTH = SAMPLE.with_suffix(".txt").read_text()
SAMPLE_SECONDS = 18.725
SENTENCE = TRUTH.splitlines()[0]
SENTENCE_SECONDS = 5.3
BEGINNING = "the morning was"
BEGINNING_SECONDS = 2.0  # what else is heard in it depends on the codec
PCM = "encoding=linear16&sample_rate=16000"
CLOSE_STREAM = '{"type":"CloseStream"}'
SECOND = 32_000  # bytes of PCM


def ready(log: Path, **env: str) -> Iterator[Service]:
    """An engine whose recognition processes can work."""
    with running("stt_api", log, **env) as service:
        service.wait_until(lambda: http_ok(f"{service.url}/readyz"))
        yield service


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from ready(tmp_path_factory.mktemp("engine") / "log", ALLOW_LOOPBACK_URLS="true")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One process, one place, one request that may wait for it, and little patience with silence."""
    yield from ready(
        tmp_path_factory.mktemp("small") / "log",
        STT_WORKERS="1",
        STT_STREAMS_PER_WORKER="1",
        STT_WAITING_STREAMS="1",
        STT_WAITING_SECONDS="5",
        STT_SILENCE_SECONDS="2",
    )


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


def listen(http: ClientSession, engine: Service, query: str = PCM, **options: Any) -> Any:
    return http.ws_connect(f"{engine.url}/v1/listen?{query}", **options)


async def heard(socket: ClientWebSocketResponse) -> list[dict[str, Any]]:
    """Every message until the end."""
    async with asyncio.timeout(60):
        return [json.loads(message.data) async for message in socket if message.type is WSMsgType.TEXT]


async def heard_until(socket: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next message of this type."""
    async with asyncio.timeout(60):
        while (message := json.loads(await socket.receive_str()))["type"] != kind:
            pass
    found: dict[str, Any] = message
    return found


def words(messages: list[dict[str, Any]]) -> str:
    finals = [message for message in messages if message["type"] == "Results" and message["is_final"]]
    return " ".join(filter(None, (message["channel"]["alternatives"][0]["transcript"] for message in finals)))


async def stats(http: ClientSession, engine: Service) -> dict[str, Any]:
    async with http.get(f"{engine.url}/stats") as response:
        found: dict[str, Any] = await response.json()
        return found


async def idle(http: ClientSession, engine: Service) -> bool:
    return int((await stats(http, engine))["used"]) == 0


async def draining(http: ClientSession, engine: Service) -> bool:
    async with http.get(f"{engine.url}/healthz") as response:
        return response.status == 503


async def somebody_waits(http: ClientSession, engine: Service) -> bool:
    return bool((await stats(http, engine))["waiting"])


async def transcribed(http: ClientSession, engine: Service) -> str:
    async with http.post(f"{engine.url}/transcribe", data=encoded("wav", BEGINNING_SECONDS)) as response:
        assert response.status == 200
        return str((await response.json())["text"])


# The whole sample.


async def test_the_sample_streamed_live_is_understood_and_measured(engine: Service) -> None:
    outcome = await stream_file(SAMPLE, engine.url, "unused", fast=True)
    assert word_error_rate(TRUTH, outcome.transcript) <= 0.08
    assert outcome.duration == SAMPLE_SECONDS


async def test_the_sample_as_a_file_gives_the_same_words_and_duration(http: ClientSession, engine: Service) -> None:
    async with http.post(f"{engine.url}/v1/listen", data=SAMPLE.read_bytes()) as response:
        body = await response.json()
    assert response.status == 200
    assert body["metadata"]["duration"] == SAMPLE_SECONDS
    assert body["metadata"]["request_id"] == response.headers["dg-request-id"]
    assert word_error_rate(TRUTH, body["results"]["channels"][0]["alternatives"][0]["transcript"]) <= 0.08


async def test_two_streams_at_once_are_recognised_each_for_itself(http: ClientSession, engine: Service) -> None:
    async with listen(http, engine) as one, listen(http, engine) as two:
        for begin in range(0, 2 * SECOND, 3200):
            await one.send_bytes(speech(2.0)[begin : begin + 3200])
            await two.send_bytes(bytes(3200))
        for socket in (one, two):
            await socket.send_str(CLOSE_STREAM)
        assert words(await heard(one)).startswith(BEGINNING)
        assert words(await heard(two)) == ""


# Every format, live and as a file.


def understood(name: str, text: str, duration: float) -> None:
    """The sentence came through: telephone quality costs words, and AAC's encoder puts a tenth of a second before."""
    assert word_error_rate(SENTENCE, text) <= (0.4 if name == "wav-8k" else 0.2)
    assert abs(duration - SENTENCE_SECONDS) < 0.15


@pytest.mark.parametrize("name", FORMATS)
async def test_a_format_is_understood_live_in_pieces_as_they_come(
    http: ClientSession, engine: Service, name: str
) -> None:
    data = encoded(name, SENTENCE_SECONDS)
    async with listen(http, engine, "") as socket:
        for begin in range(0, len(data), 1000):
            await socket.send_bytes(data[begin : begin + 1000])
        await socket.send_bytes(b"")
        messages = await heard(socket)
    assert socket.close_code == 1000
    understood(name, words(messages), messages[-1]["duration"])


@pytest.mark.parametrize("name", ["flac", "mp3", "ogg-opus", "webm", "m4a"])  # the sample itself is a WAV
async def test_a_format_is_understood_as_a_file(http: ClientSession, engine: Service, name: str) -> None:
    async with http.post(f"{engine.url}/transcribe", data=encoded(name, SENTENCE_SECONDS)) as response:
        body = await response.json()
    assert response.status == 200
    understood(name, body["text"], body["duration"])
    assert "words" not in body


async def test_plain_text_has_its_words_times_where_the_header_requests_them(
    http: ClientSession, engine: Service
) -> None:
    audio = encoded("wav", BEGINNING_SECONDS)
    for value in ("true", "TRUE"):
        async with http.post(f"{engine.url}/transcribe", data=audio, headers={"timestamps": value}) as response:
            body = await response.json()
        assert " ".join(word["word"] for word in body["words"]) == body["text"]
        times = [at for word in body["words"] for at in (word["start"], word["end"])]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] <= body["duration"]
    async with http.post(f"{engine.url}/transcribe", data=audio, headers={"timestamps": "maybe"}) as response:
        assert response.status == 400
        assert "timestamps: got 'maybe', allowed: true or false" in (await response.json())["err_msg"]


async def test_a_recording_by_url_is_fetched_and_understood(http: ClientSession, engine: Service) -> None:
    async def send(_request: web.Request) -> web.Response:
        return web.Response(body=encoded("flac", BEGINNING_SECONDS))

    host = web.Application()
    host.router.add_get("/speech.flac", send)
    async with TestServer(host) as server:
        url = str(server.make_url("/speech.flac"))
        async with http.post(f"{engine.url}/v1/listen?model=any", json={"url": url}) as response:
            body = await response.json()
    assert response.status == 200
    assert body["results"]["channels"][0]["alternatives"][0]["transcript"].startswith(BEGINNING)


async def test_a_url_to_this_machine_is_refused_unless_tests_allow_it(http: ClientSession, small: Service) -> None:
    async with http.post(f"{small.url}/v1/listen", json={"url": f"{small.url}/stats"}) as response:
        assert response.status == 400
        assert "public address" in (await response.json())["err_msg"]


async def test_what_is_no_audio_is_1008_live_and_400_as_a_file(http: ClientSession, engine: Service) -> None:
    nonsense = b"this is text and no audio" * 100
    async with listen(http, engine, "") as socket:
        await socket.send_bytes(nonsense)
        closing = await heard_close(socket)
    assert closing[0] == 1008
    assert closing[1].startswith("DATA-0000")
    async with http.post(f"{engine.url}/v1/listen", data=nonsense) as response:
        assert response.status == 400
        assert (await response.json())["err_code"] == "Bad Request"


async def heard_close(socket: ClientWebSocketResponse) -> tuple[int, str]:
    """The code and the reason with which the engine closes."""
    async with asyncio.timeout(60):
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            pass
    assert message.type is WSMsgType.CLOSE
    return int(message.data), str(message.extra)


# Control messages and events.


async def test_finalize_returns_what_was_heard_so_far(http: ClientSession, engine: Service) -> None:
    async with listen(http, engine, f"{PCM}&endpointing=false") as socket:
        await socket.send_bytes(speech(2.0))
        await socket.send_str('{"type":"Finalize"}')
        results = await heard_until(socket, "Results")
        assert results["from_finalize"] is True
        assert words([results]).startswith(BEGINNING)
        await socket.send_str(CLOSE_STREAM)
        assert not any(message.get("from_finalize") for message in await heard(socket))


async def test_speech_and_its_end_are_reported_when_requested(http: ClientSession, engine: Service) -> None:
    async with listen(http, engine, f"{PCM}&vad_events=true&utterance_end_ms=1000&interim_results=true") as socket:
        await socket.send_bytes(speech(2.0) + bytes(2 * SECOND))
        started = await heard_until(socket, "SpeechStarted")
        ended = await heard_until(socket, "UtteranceEnd")
        await socket.send_str(CLOSE_STREAM)
        await heard(socket)
    assert 0 <= started["timestamp"] < 1 < ended["last_word_end"] <= 2.1
    assert started["channel"] == ended["channel"] == [0, 1]


async def test_keepalives_hold_a_silent_stream_open_and_without_them_it_is_closed_with_net_0001(
    http: ClientSession, small: Service
) -> None:
    loop = asyncio.get_running_loop()
    async with listen(http, small) as socket:
        until = loop.time() + 2.5  # the engine's patience is 2 s
        while loop.time() < until:
            await socket.send_str('{"type":"KeepAlive"}')
            await asyncio.sleep(0.1)
        assert (await heard_until(socket, "Metadata"))["duration"] == 0
        await socket.send_bytes(speech(1.0))
        assert (await heard_until(socket, "Metadata"))["duration"] == 1.0
        code, reason = await heard_close(socket)
    assert code == 1011
    assert reason.startswith("NET-0001")
    assert "timeout window" in reason


# Capacity and faults.


async def test_a_stream_without_a_place_is_refused_in_words_and_not_left_waiting(
    http: ClientSession, small: Service
) -> None:
    await eventually(lambda: idle(http, small))
    async with listen(http, small) as socket:
        # One waits its five seconds in vain, the other finds that somebody waits.
        for refused in await asyncio.gather(*(listen(http, small) for _ in range(2)), return_exceptions=True):
            assert isinstance(refused, WSServerHandshakeError)
            assert refused.status == 503
            assert refused.headers is not None
            assert int(refused.headers["Retry-After"]) >= 1
            assert "places" in refused.headers["dg-error"]
        waiting = spawn(transcribed(http, small), name="waiting")
        await eventually(lambda: somebody_waits(http, small))
        await socket.send_str(CLOSE_STREAM)
        await heard(socket)
    assert (await waiting).startswith(BEGINNING)


async def test_a_client_that_vanishes_mid_word_gives_its_place_back(http: ClientSession, small: Service) -> None:
    await eventually(lambda: idle(http, small))
    async with listen(http, small, f"{PCM}&interim_results=true") as socket:
        await socket.send_bytes(speech(1.5))
        await heard_until(socket, "Results")
        socket._response.connection.transport.abort()
    await eventually(lambda: idle(http, small))


async def test_a_killed_recognition_process_closes_its_stream_in_words_and_another_one_takes_over(
    http: ClientSession, small: Service
) -> None:
    await eventually(lambda: idle(http, small))
    async with listen(http, small, f"{PCM}&interim_results=true") as socket:
        await socket.send_bytes(speech(1.5))
        await heard_until(socket, "Results")
        (worker,) = (await stats(http, small))["workers"]
        os.kill(worker["pid"], signal.SIGKILL)
        code, reason = await heard_close(socket)
    assert code == 1011
    assert reason.startswith("NET-0000")

    await eventually(lambda: http_ok(f"{small.url}/readyz"), 60)
    assert (await transcribed(http, small)).startswith(BEGINNING)


async def test_sigterm_lets_streams_finish_and_sends_those_that_do_not_a_close_to_retry(
    http: ClientSession, tmp_path: Path
) -> None:
    for leaving in ready(tmp_path / "log", STT_WORKERS="1", DRAIN_SECONDS="6"):
        async with listen(http, leaving) as socket:
            await socket.send_bytes(speech(2.0))
            leaving.process.signal(signal.SIGTERM)
            await eventually(partial(draining, http, leaving))
            assert (await stats(http, leaving))["draining"] is True
            with pytest.raises(WSServerHandshakeError) as refused:
                await listen(http, leaving)
            assert refused.value.status == 503
            messages = await heard(socket)
        assert socket.close_code == 1012
        assert words(messages).startswith(BEGINNING)
        assert (messages[-1]["type"], messages[-1]["duration"]) == ("Metadata", 2.0)
        assert await asyncio.to_thread(leaving.process.wait, 60) == 0


async def test_an_engine_that_is_killed_mid_stream_is_1011_for_the_customer_and_what_it_heard_is_billed(
    http: ClientSession, redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    for doomed in ready(tmp_path / "engine.log", STT_WORKERS="1"):
        env = {"REDIS_URL": redis_server.url, "STT_UPSTREAMS": doomed.url, "FAILOVER_HOLD_SECONDS": "0.5"}  # type: ignore[attr-defined]
        with running("ws_proxy", tmp_path / "ws_proxy.log", **env) as proxy:
            query = f"{PCM}&interim_results=true"
            async with listen(http, proxy, query, headers=customer.headers) as socket:
                await socket.send_bytes(speech(1.5))
                await heard_until(socket, "Results")
                doomed.process.kill()
                code, reason = await heard_close(socket)
            assert code == 1011
            assert reason.startswith("NET-0000")
            final = await final_of(redis_client)
            assert (final.close_code, final.status, final.audio_source) == (1011, 101, "stt")
            assert 0 < final.audio_ms <= 1500
            assert await customer.leases() == 0
