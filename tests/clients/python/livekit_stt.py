"""livekit-plugins-deepgram for Python: live (`STT`), turn-based (`STTv2`), recorded."""

import asyncio
import json
import os
import wave
from collections.abc import Iterator

import aiohttp
from livekit import rtc
from livekit.agents import stt
from livekit.plugins import deepgram

URL, KEY = os.environ["ALDEA_URL"], os.environ["ALDEA_KEY"]
WS = URL.replace("http", "ws", 1)
FRAME_SAMPLES = 800


def show(wire: str, **found: object) -> None:
    print(json.dumps({"wire": wire, **found}), flush=True)


def frames() -> Iterator[rtc.AudioFrame]:
    with wave.open("sample.wav") as audio:
        rate, channels = audio.getframerate(), audio.getnchannels()
        while samples := audio.readframes(FRAME_SAMPLES):
            yield rtc.AudioFrame(samples, rate, channels, len(samples) // (2 * channels))


async def streamed(service: stt.STT) -> tuple[str, str]:
    """The request's id and the transcript of all final events."""
    words, request_id = [], ""
    async with service.stream() as stream:
        for frame in frames():
            stream.push_frame(frame)
        stream.end_input()
        async for event in stream:
            request_id = event.request_id or request_id
            if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                [heard] = event.alternatives[:1]
                words.append(heard.text)
                assert heard.words, "no word times"
    return request_id, " ".join(words)


async def main() -> None:
    async with aiohttp.ClientSession() as session:
        live = deepgram.STT(api_key=KEY, base_url=f"{URL}/v1/listen", http_session=session)
        request_id, transcript = await streamed(live)
        show("live", request_id=request_id, transcript=transcript)
        turns = deepgram.STTv2(api_key=KEY, base_url=f"{WS}/v2/listen", http_session=session, eager_eot_threshold=0.4)
        request_id, transcript = await streamed(turns)
        # Silence of its own making follows the audio, and is billed.
        show("turn-based", transcript=transcript)
        recorded = await live.recognize(list(frames()))
        show("recorded", transcript=recorded.alternatives[0].text)


if __name__ == "__main__":
    asyncio.run(main())
