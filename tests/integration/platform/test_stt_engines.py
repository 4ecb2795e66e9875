"""What a caller sees of the embedded STT server is the same with each engine, but for words and names."""

import asyncio
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType

from onebox.stores import http_ok
from stt_api.model import ENGINES, chosen, package_folder
from tests.recordings import encoded, speech
from tests.support.proxies import Service, running

WORDS = "the morning was quiet and the river moved slowly under the old bridge"
SECONDS = 5.3
QUERY = "encoding=linear16&sample_rate=16000&interim_results=true&vad_events=true&utterance_end_ms=1000"


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if package_folder(request.param) is None:
        pytest.skip(f"{request.param} is not installed here")
    return str(request.param)


@pytest.fixture(scope="module")
def server(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp(engine) / "log"
    with running("stt_api", log, STT_ENGINE=engine, STT_WORKERS="1") as service:
        service.wait_until(lambda: http_ok(f"{service.url}/readyz"))
        yield service


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def streamed(http: ClientSession, server: Service, query: str, audio: bytes, *texts: str) -> list[dict[str, Any]]:
    """All messages of a stream of this audio."""
    async with http.ws_connect(f"{server.url}/v1/listen?{query}") as socket, asyncio.timeout(60):
        for at in range(0, len(audio), 3200):
            await socket.send_bytes(audio[at : at + 3200])
        for text in (*texts, '{"type":"CloseStream"}'):
            await socket.send_str(text)
        messages = [json.loads(message.data) async for message in socket if message.type is WSMsgType.TEXT]
        assert socket.close_code == 1000
        return messages


def best(message: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = message["channel"]["alternatives"][0]
    return found


async def test_a_stream_has_its_events_in_order_and_names_the_engine(
    http: ClientSession, server: Service, engine: str
) -> None:
    messages = await streamed(http, server, QUERY, speech(SECONDS) + bytes(2 * 32_000))
    kinds = [message["type"] for message in messages]
    results = [message for message in messages if message["type"] == "Results"]
    finals = [message for message in results if message["is_final"]]
    assert kinds[0] == kinds[-1] == "Metadata"
    assert kinds.index("SpeechStarted") < kinds.index("Results") < kinds.index("UtteranceEnd")
    assert not results[0]["is_final"]
    assert " ".join(filter(None, (best(message)["transcript"] for message in finals))) == WORDS
    spoken = next(message for message in finals if best(message)["words"])
    assert spoken["speech_final"] is True
    words = best(spoken)["words"]
    assert all(word["start"] < word["end"] for word in words)
    assert all(before["end"] <= after["start"] + 0.011 for before, after in itertools.pairwise(words))
    model = chosen(engine)
    assert spoken["metadata"]["model_info"] == model.info
    assert messages[-1]["model_info"] == {model.uuid: model.info}
    async with http.get(f"{server.url}/stats") as response:
        stats = await response.json()
    assert (stats["engine"], stats["model"]) == (engine, model.name)


async def test_finalize_makes_all_that_was_sent_final(http: ClientSession, server: Service) -> None:
    query = "encoding=linear16&sample_rate=16000&endpointing=false"
    messages = await streamed(http, server, query, speech(2.0), '{"type":"Finalize"}')
    (flushed,) = [message for message in messages if message.get("from_finalize")]
    assert best(flushed)["transcript"].startswith("the morning was")
    assert flushed["start"] + flushed["duration"] == pytest.approx(2.0, abs=0.03)


async def test_punctuation_comes_only_when_it_is_requested(http: ClientSession, server: Service) -> None:
    body, shown = encoded("webm", SECONDS), {}
    for name, value in (("punctuate", "true"), ("smart_format", "false")):
        url = f"{server.url}/v1/listen?{name}={value}&timestamps=true"
        async with http.post(url, data=body) as response:
            assert response.status == 200
            (channel,) = (await response.json())["results"]["channels"]
            shown[value] = channel["alternatives"][0]
    assert shown["false"]["transcript"] == WORDS
    assert shown["true"]["transcript"] == f"{WORDS[0].upper()}{WORDS[1:]}."
    assert [word["word"] for word in shown["true"]["words"]] == WORDS.split()
    assert shown["true"]["words"][-1]["punctuated_word"] == "bridge."
    assert "punctuated_word" not in shown["false"]["words"][0]


async def test_a_crash_of_the_library_ends_its_stream_with_1011_and_is_counted(
    http: ClientSession, server: Service
) -> None:
    async with http.get(f"{server.url}/stats") as response:
        (worker,) = (await response.json())["workers"]
    async with http.ws_connect(f"{server.url}/v1/listen?{QUERY}") as socket, asyncio.timeout(60):
        await socket.send_bytes(speech(1.0))
        os.kill(worker["pid"], signal.SIGSEGV)
        async for _ in socket:
            pass
        assert socket.close_code == 1011
    server.wait_until(lambda: http_ok(f"{server.url}/readyz"))
    async with http.get(f"{server.url}/stats") as response:
        (again,) = (await response.json())["workers"]
    assert again["restarts"] == worker["restarts"] + 1
