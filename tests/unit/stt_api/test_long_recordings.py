"""An hour takes no more memory than a minute, neither in the recognition process nor in the server."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from stt_api.options import ListenOptions
from stt_api.recognition.events import Ended, Event, Kind, Word
from stt_api.recognition.moonshine import MoonshineEngine, MoonshineRecognizer
from stt_api.recognition.pool import WorkerPool
from stt_api.recognition.worker import Stream
from stt_api.recorded import AHEAD_BYTES, transcribe
from tests.recordings import speech

MINUTE = speech(18.0) * 3 + bytes(6 * 32_000)
MIB = 1 << 20


class Understanding:
    """An engine that keeps an utterance's audio as moonshine does, and understands one word of any."""

    recorded_silence_ms: int | None = 800

    def recognizer(self) -> MoonshineRecognizer:
        return MoonshineRecognizer(cast("MoonshineEngine", self))

    def understand(self, audio: bytes, speech_start: int, speech_end: int) -> tuple[Word, ...]:
        assert speech_start < speech_end <= len(audio)
        return (Word("word", 0.0, 0.1, 1.0),)


def held_and_most(work: Callable[[], object]) -> tuple[int, int]:
    """Bytes that this work holds at its end, and the most that it held, in Python's and numpy's allocations."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_recognition_process_takes_no_more_for_four_minutes_than_for_one(channels: int) -> None:
    spoken = 0

    def count(event: Event) -> None:
        nonlocal spoken
        spoken += isinstance(event, Ended) or bool(getattr(event, "words", ()))

    def hear(minutes: int) -> None:
        options = ListenOptions(encoding="linear16", channels=channels, multichannel=channels > 1, recorded=True)
        stream = Stream(options, Understanding(), count, lambda: None)
        for _ in range(minutes):
            for at in range(0, len(MINUTE), 64_000):
                stream.command(Kind.AUDIO, MINUTE[at : at + 64_000])
                while stream.step():
                    pass
        stream.command(Kind.END, b"")
        while not stream.over:
            stream.step()

    hear(1)  # what is made once
    one, four = held_and_most(lambda: hear(1)), held_and_most(lambda: hear(4))
    assert spoken > 20
    # A minute of samples has 1.9 MB; one of the utterances 0.6 MB.
    assert four[0] - one[0] < MIB // 8
    assert four[1] - one[1] < MIB


async def test_what_a_slow_recognizer_has_not_had_waits_on_disk() -> None:
    size, sent = 64 * MIB, 0
    received, ended = asyncio.Event(), asyncio.Event()

    class Slow:
        """Takes nothing before all was received."""

        async def send(self, audio: bytes) -> None:
            nonlocal sent
            await received.wait()
            sent += len(audio)

        async def end(self) -> None:
            ended.set()

        async def next_event(self) -> Event:
            await ended.wait()
            return Ended(duration=1.0, channels=1)

    class Pool:
        @asynccontextmanager
        async def stream(self, _options: ListenOptions) -> AsyncIterator[Any]:
            yield Slow()

    async def body() -> AsyncIterator[bytes]:
        chunk = bytes(MIB // 4)
        for _ in range(size // len(chunk)):
            yield chunk
        received.set()

    tracemalloc.start()
    try:
        pool, stays = cast("WorkerPool", Pool()), asyncio.sleep(3600)
        found = await transcribe(pool, ListenOptions(recorded=True), body(), max_bytes=size, departure=stays)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found.duration, sent) == (1.0, size)
    assert most < 4 * AHEAD_BYTES
