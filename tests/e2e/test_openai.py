"""The official OpenAI SDK, unmodified, through the balancer: the same words and the same bill as any other client."""

import base64
import uuid
from typing import Any

import numpy as np
import openai
import pytest

from aldea.canary.accuracy import word_error_rate
from onebox.usage_row import final_usage_row
from tests.e2e.box import Box
from tests.e2e.test_recorded import SENTENCE, wav
from tests.e2e.test_sdk import SENTENCE_MS
from tests.recordings import speech


async def test_the_openai_sdk_transcribes_a_file_through_the_balancer(platform: Box) -> None:
    async with openai.AsyncOpenAI(api_key=platform.key, base_url=f"{platform.http}/v1", max_retries=0) as client:
        transcriptions: Any = client.audio.transcriptions.with_raw_response
        raw = await transcriptions.create(
            file=("a.wav", wav()), model="whisper-1", response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )  # fmt: skip
        found = raw.parse()
        assert word_error_rate(SENTENCE, found.text) <= 0.15
        assert found.duration == SENTENCE_MS / 1000
        assert [word.word for word in found.words] == found.text.split()
        assert " ".join(segment.text.strip() for segment in found.segments) == found.text
        row = await final_usage_row(platform.state["database_url"], raw.headers["dg-request-id"])
        assert (row["audio_ms"], row["service"], row["status"]) == (SENTENCE_MS, "prerecorded", 200)
        [model] = (await client.models.list()).data
        assert (await client.models.retrieve(model.id)).created == model.created
        with pytest.raises(openai.NotFoundError) as absent:
            await client.models.retrieve("whisper-1")
        # The Platform API's own shape: the SDK keeps it, and shows just the status.
        assert "any name is taken" in absent.value.response.json()["err_msg"]
        with pytest.raises(openai.BadRequestError) as refused:
            await client.audio.transcriptions.create(file=("a.wav", b"noise"), model="whisper-1")
        assert (refused.value.type, refused.value.param) == ("invalid_request_error", "file")
        with pytest.raises(openai.NotFoundError, match="Text to speech is not offered here"):
            await client.audio.speech.create(input="x", model="tts-1", voice="alloy")
    async with openai.AsyncOpenAI(api_key="org_wrong", base_url=f"{platform.http}/v1", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as unknown:
            await stranger.audio.transcriptions.create(file=("a.wav", wav()), model="whisper-1")
        assert unknown.value.code == "invalid_api_key"


async def test_the_openai_sdk_transcribes_a_live_stream_through_the_balancer(platform: Box) -> None:
    audio = resampled(speech(SENTENCE_MS / 1000) + bytes(32_000), 24_000)
    async with openai.AsyncOpenAI(api_key=platform.key, base_url=f"{platform.http}/v1", max_retries=0) as client:
        query: dict[str, object] = {"intent": "transcription"}
        async with client.realtime.connect(extra_query=query) as connection:
            event: Any
            created: Any = await connection.recv()
            assert created.type == "session.created"
            session: Any = {
                "type": "transcription",
                "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe", "language": "en"}}},
            }
            await connection.session.update(session=session)
            for at in range(0, len(audio), 9600):
                await connection.input_audio_buffer.append(audio=base64.b64encode(audio[at : at + 9600]).decode())
            seen: list[str] = []
            delta = ""
            async for event in connection:
                seen.append(event.type)
                assert event.type != "error", event
                if event.type == "conversation.item.input_audio_transcription.delta":
                    delta += event.delta or ""
                if event.type == "conversation.item.input_audio_transcription.completed":
                    break
            assert word_error_rate(SENTENCE, event.transcript) <= 0.15
            assert delta == event.transcript
            assert seen[:2] == ["session.updated", "input_audio_buffer.speech_started"]
            await connection.send({"type": "response.create"})
            refused = await connection.recv()
            assert refused.type == "error"
            request_id = str(uuid.UUID(created.session.id.removeprefix("sess_")))
        row = await final_usage_row(platform.state["database_url"], request_id)
        assert (row["audio_ms"], row["audio_source"], row["service"]) == (SENTENCE_MS + 1000, "stt", "streaming")


def resampled(samples: bytes, rate: int) -> bytes:
    """The recording's samples (16 kHz, 16 bit) at another rate, between two of them in a straight line."""
    found = np.frombuffer(samples, dtype="<i2")
    count = len(found) * rate // 16_000
    places = np.arange(count) * (16_000 / rate)
    return bytes(np.interp(places, np.arange(len(found)), found).astype("<i2").tobytes())
