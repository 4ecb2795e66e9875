"""pipecat-ai: its service for live streams and its service for turns, each in a pipeline."""

import asyncio
import json
import os
import sys
import wave
from collections.abc import Callable

from loguru import logger
from pipecat.frames.frames import EndFrame, Frame, InputAudioRawFrame, TranscriptionFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.deepgram.flux.stt import DeepgramFluxSTTService
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.workers.runner import WorkerRunner

URL, KEY = os.environ["ALDEA_URL"], os.environ["ALDEA_KEY"]
WS = URL.replace("http", "ws", 1)
CHUNK_SECONDS = 0.1
PATIENCE_SECONDS = 200  # with a busy machine


class Heard(FrameProcessor):
    """What came out of the service."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[TranscriptionFrame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            self.frames.append(frame)
        await self.push_frame(frame, direction)


async def heard(service: FrameProcessor, complete: Callable[[str], bool]) -> list[TranscriptionFrame]:
    """The transcriptions of the sample, sent as fast as it was spoken."""
    found = Heard()
    worker = PipelineWorker(Pipeline([service, found]), params=PipelineParams(audio_in_sample_rate=16_000))

    async def speak() -> None:
        with wave.open("sample.wav") as audio:
            while samples := audio.readframes(int(audio.getframerate() * CHUNK_SECONDS)):
                await worker.queue_frame(InputAudioRawFrame(samples, audio.getframerate(), audio.getnchannels()))
                await asyncio.sleep(CHUNK_SECONDS)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not complete(" ".join(frame.text for frame in found.frames)):
                silence = bytes(int(16_000 * CHUNK_SECONDS) * 2)
                await worker.queue_frame(InputAudioRawFrame(silence, 16_000, 1))
                await asyncio.sleep(CHUNK_SECONDS)
        await worker.queue_frame(EndFrame())

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await asyncio.gather(runner.run(auto_end=True), speak())
    return found.frames


def show(wire: str, frames: list[TranscriptionFrame], **found: object) -> None:
    print(json.dumps({"wire": wire, "transcript": " ".join(frame.text for frame in frames), **found}), flush=True)


async def main() -> None:
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    last = sys.argv[1]
    live = DeepgramSTTService(api_key=KEY, base_url=WS)
    show("live", await heard(live, lambda text: last in text.lower()))
    flux = DeepgramFluxSTTService(api_key=KEY, url=f"{WS}/v2/listen")
    show("turn-based", await heard(flux, lambda text: last in text.lower()))


if __name__ == "__main__":
    asyncio.run(main())
