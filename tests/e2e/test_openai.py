"""The official OpenAI SDK, unmodified, through the balancer: the same words and the same bill as any other client."""

from typing import Any

import openai
import pytest

from aldea.canary.accuracy import word_error_rate
from onebox.usage_row import final_usage_row
from tests.e2e.box import Box
from tests.e2e.test_recorded import SENTENCE, wav
from tests.e2e.test_sdk import SENTENCE_MS


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
        with pytest.raises(openai.BadRequestError) as refused:
            await client.audio.transcriptions.create(file=("a.wav", b"noise"), model="whisper-1")
        assert refused.value.type == "invalid_request_error"
    async with openai.AsyncOpenAI(api_key="org_wrong", base_url=f"{platform.http}/v1", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as unknown:
            await stranger.audio.transcriptions.create(file=("a.wav", wav()), model="whisper-1")
        assert unknown.value.code == "invalid_api_key"
