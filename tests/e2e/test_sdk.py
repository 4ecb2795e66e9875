"""The official SDK, unmodified, against the platform: its environment is set to the balancer and nothing else."""

from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1.socket_client import AsyncV1SocketClient, V1SocketClient
from deepgram.listen.v1.types.listen_v1metadata import ListenV1Metadata
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from deepgram.listen.v2.types import ListenV2ConfigureSuccess, ListenV2Connected, ListenV2TurnInfo

from aldea.canary.accuracy import word_error_rate
from onebox.usage_row import final_usage_row
from tests.e2e.box import SAMPLE, SAMPLE_MS, Box
from tests.recordings import speech

TRUTH = SAMPLE.with_suffix(".txt").read_text()
SENTENCE_MS = 5_300  # the first one and the pause after it
CHUNK = 3200  # a tenth of a second, as a microphone's driver hands it out


def environment(http: str) -> DeepgramClientEnvironment:
    ws = http.replace("http", "ws", 1)
    return DeepgramClientEnvironment(base=http, production=ws, agent=ws, agent_rest=http)


def chunks(audio: bytes) -> Iterator[bytes]:
    return (audio[start : start + CHUNK] for start in range(0, len(audio), CHUNK))


def found_at(words: Sequence[Any], text: str) -> float | None:
    return next((word.start for word in words if word.word == text), None)


def engine_of(box: Box) -> tuple[str, str]:
    """The STT server's own address and the token that its callers send."""
    return f"http://127.0.0.1:{box.state['ports']['stt_api']}", (box.data / "stt.secret").read_text().strip()


class Heard:
    """What the SDK made of the server's messages."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.interims = 0
        self.closing: ListenV1Metadata | None = None

    def take(self, message: object) -> None:
        assert isinstance(message, ListenV1Results | ListenV1Metadata), message
        if isinstance(message, ListenV1Metadata):
            self.closing = message
        elif message.is_final:
            self.words.append(message.channel.alternatives[0].transcript)
        else:
            self.interims += 1

    async def holds(self, box: Box, truth: str, milliseconds: int) -> None:
        """The words are right, and so is the bill."""
        assert word_error_rate(truth, " ".join(self.words)) <= 0.15
        assert self.interims
        assert self.closing is not None
        assert self.closing.duration == milliseconds / 1000
        row = await final_usage_row(box.state["database_url"], self.closing.request_id)
        assert (row["audio_ms"], row["audio_source"], row["close_code"]) == (milliseconds, "stt", 1000)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


@pytest.fixture
async def async_http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60) as client:
        yield client


async def test_the_sdk_streams_the_sample_through_the_balancer(platform: Box, http: httpx.Client) -> None:
    client = DeepgramClient(api_key=platform.key, environment=environment(platform.http), httpx_client=http)
    heard = Heard()

    def send(socket: V1SocketClient) -> None:
        for chunk in chunks(speech()):
            socket.send_media(chunk)
        socket.send_close_stream()

    with (
        client.listen.v1.connect(
            model="nova-3", encoding="linear16", sample_rate=16_000, interim_results=True
        ) as socket,
        ThreadPoolExecutor(1) as sender,
    ):
        sending = sender.submit(send, socket)
        for message in socket:
            heard.take(message)
        sending.result(60)
    await heard.holds(platform, TRUTH, SAMPLE_MS)


async def test_the_asynchronous_sdk_streams_a_sentence_through_the_balancer(
    platform: Box, async_http: httpx.AsyncClient
) -> None:
    client = AsyncDeepgramClient(api_key=platform.key, environment=environment(platform.http), httpx_client=async_http)
    heard = Heard()
    socket: AsyncV1SocketClient
    async with client.listen.v1.connect(
        model="nova-3", encoding="linear16", sample_rate=16_000, interim_results=True, smart_format=True
    ) as socket:
        await socket.send_keep_alive()
        for chunk in chunks(speech(SENTENCE_MS / 1000)):
            await socket.send_media(chunk)
        await socket.send_finalize()
        await socket.send_close_stream()
        async for message in socket:
            heard.take(message)
    await heard.holds(platform, TRUTH.splitlines()[0], SENTENCE_MS)


async def test_the_sdk_streams_turns_through_the_balancer(platform: Box, async_http: httpx.AsyncClient) -> None:
    client = AsyncDeepgramClient(api_key=platform.key, environment=environment(platform.http), httpx_client=async_http)
    turns: list[ListenV2TurnInfo] = []
    async with client.listen.v2.connect(
        model="flux-general-en", encoding="linear16", sample_rate=16_000, eager_eot_threshold=0.4, tag="agent"
    ) as socket:
        connected = await socket.recv()
        assert isinstance(connected, ListenV2Connected)
        await socket.send_configure({"type": "Configure", "thresholds": {"eot_threshold": 0.6}})
        for chunk in chunks(speech(SENTENCE_MS / 1000) + bytes(32_000)):
            await socket.send_media(chunk)
        await socket.send_close_stream()
        configured = None
        async for message in socket:
            if isinstance(message, ListenV2TurnInfo):
                turns.append(message)
            elif isinstance(message, ListenV2ConfigureSuccess):
                configured = message
    assert configured is not None
    assert configured.thresholds.eot_threshold == 0.6
    events = [turn.event for turn in turns if turn.event != "Update"]
    assert (events[0], events[-1]) == ("StartOfTurn", "EndOfTurn")
    assert "EagerEndOfTurn" in events
    ended = next(turn for turn in turns if turn.event == "EndOfTurn")
    assert word_error_rate(TRUTH.splitlines()[0], ended.transcript) <= 0.15
    row = await final_usage_row(platform.state["database_url"], connected.request_id)
    assert (row["audio_ms"], row["audio_source"], row["close_code"]) == (SENTENCE_MS + 1000, "stt", 1000)
    with pytest.raises(ApiError) as refused:
        async with client.listen.v2.connect(model="flux-general-en", encoding="linear16", eot_threshold=7):
            pass
    assert refused.value.status_code == 400


async def test_the_sdk_names_a_wrong_key_as_such(platform: Box, async_http: httpx.AsyncClient) -> None:
    client = AsyncDeepgramClient(api_key="org_wrong", environment=environment(platform.http), httpx_client=async_http)
    with pytest.raises(ApiError) as refused:
        async with client.listen.v1.connect(model="nova-3"):
            pass
    assert refused.value.status_code == 401


def test_the_sdk_transcribes_a_file_at_the_engine_itself(platform: Box, http: httpx.Client) -> None:
    address, token = engine_of(platform)
    client = DeepgramClient(api_key=token, environment=environment(address), httpx_client=http)
    response = client.listen.v1.media.transcribe_file(
        request=SAMPLE.read_bytes(), model="nova-3", smart_format=True, utterances=True, paragraphs=True, search="river"
    )
    assert response.metadata.duration == SAMPLE_MS / 1000
    [channel] = response.results.channels
    [alternative] = channel.alternatives or []
    assert alternative.transcript is not None
    assert word_error_rate(TRUTH, alternative.transcript) <= 0.15
    # In the shapes that the SDK's own models have.
    assert " ".join(str(found.transcript) for found in response.results.utterances or []) == alternative.transcript
    assert alternative.paragraphs is not None
    assert " ".join(str(alternative.paragraphs.transcript).split()) == alternative.transcript
    [hit] = [hit for found in channel.search or [] for hit in found.hits or []]
    assert (hit.snippet, found_at(alternative.words or [], "river")) == ("river", hit.start)
