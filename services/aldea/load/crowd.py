"""Crowd: keeps a number of streams and uploads running against a deployment and counts what they see."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from aldea.canary.client import (
    CHUNK_SECONDS,
    Recording,
    StreamFailed,
    read_recording,
    stream_audio,
    upload_file,
    words,
)
from aldea.load.plan import Plan
from aldea.load.tally import Distribution, Tally
from aldea.tasks import cancel, spawn

# After a failure a place waits so long, or as long as the server says, but not for ever.
PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 30.0
# Streams that are ended get so long for their last words; then they are dropped.
LAST_WORDS_SECONDS: Final = 30.0
# How often the generator looks how late it runs itself.
_LAG_SECONDS: Final = 0.1


class Crowd:
    """Each stream and each upload has a place, a task that begins the next one when one has ended.

    `key`: the API key; `patience`: after so many seconds of audio a stream should have had words.
    """

    def __init__(self, plan: Plan, key: str, sample: Path, patience: float) -> None:
        self._plan = plan
        self._key = key
        self._sample = sample
        self._recording = read_recording(sample)
        if self._recording.seconds < CHUNK_SECONDS:
            raise StreamFailed(
                f"{sample}: got {self._recording.seconds:g} s of audio; at least {CHUNK_SECONDS:g} s are needed."
            )
        self._patience = patience
        self._tallies: list[Tally] = []
        self._places: dict[asyncio.Task[None], Place] = {}
        self.own_lag = Distribution()
        self.most_open = 0
        self._busy = spawn(self._watch_own_lag(), name="load-own-lag")

    # What its owner does.

    def watch(self, tally: Tally) -> None:
        """Count in this one too, from now on."""
        self._tallies.append(tally)

    def unwatch(self, tally: Tally) -> None:
        """Count no more in this one."""
        self._tallies.remove(tally)

    @property
    def open(self) -> int:
        """Streams that are open now."""
        return sum(place.open for place in self._places.values() if not place.uploads)

    @property
    def tried(self) -> bool:
        """Whether every place's stream was opened, or refused, at least once."""
        return all(place.tried for place in self._places.values() if not place.uploads)

    async def grow(self, streams: int, every: float) -> None:
        """Have so many places for streams; a new one begins every so many seconds."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for _ in range(streams - self._count(uploads=False)):
            self._begin(uploads=False)
            due += every
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def shrink(self, streams: int) -> None:
        """End streams until there are so many places, those that are not open first; waits for their last words."""
        places = [(task, place) for task, place in self._places.items() if not place.uploads]
        places.sort(key=lambda each: each[1].open)
        await self._end(places[: max(0, len(places) - streams)])

    def upload(self, uploads: int) -> None:
        """Have so many uploads at a time."""
        for _ in range(uploads - self._count(uploads=True)):
            self._begin(uploads=True)

    async def close(self) -> None:
        """End everything, each stream with its last words."""
        await cancel(self._busy)
        await self._end(list(self._places.items()))

    # The places.

    def _count(self, *, uploads: bool) -> int:
        return sum(place.uploads is uploads for place in self._places.values())

    def _begin(self, *, uploads: bool) -> None:
        place = Place(uploads=uploads)
        task = spawn(self._uploads(place) if uploads else self._streams(place), name="load-place")
        self._places[task] = place

    async def _end(self, places: "list[tuple[asyncio.Task[None], Place]]") -> None:
        for _, place in places:
            place.stopped.set()
        tasks = [task for task, _ in places]
        if tasks:
            # An upload is not waited for: what it would still show does not count.
            await asyncio.gather(*(cancel(task) for task, place in places if place.uploads))
            _, late = await asyncio.wait(tasks, timeout=LAST_WORDS_SECONDS)
            for task in late:
                self._count_in(lambda tally: tally.fail("timeout"))
                await cancel(task)
        for task in tasks:
            del self._places[task]

    async def _streams(self, place: "Place") -> None:
        while not place.stopped.is_set():
            failure = await self._stream(place)
            place.open, place.tried = False, True
            if failure is not None:
                await place.pause(failure)

    async def _stream(self, place: "Place") -> StreamFailed | None:
        """One stream to its end; what it failed by."""
        recording, patience = self._recording, self._patience
        stream = Stream(recording, self._plan.stream_seconds, place, self._count_in)
        stream.on_open = self._note_open
        query = {
            "encoding": "linear16",
            "sample_rate": str(recording.rate),
            "channels": str(recording.channels),
            "interim_results": "true",
        }
        self._count_in(_attempted)
        failure: StreamFailed | None = None
        try:
            await stream_audio(stream.audio(), query, self._plan.url, self._key, on_message=stream.take, patient=False)
        except StreamFailed as failed:
            failure = failed
        except (ValueError, LookupError, TypeError, AttributeError):
            failure = StreamFailed("a message of another shape than the contract's", "malformed message")
        if stream.wordless and stream.sent_seconds >= patience:
            self._count_in(lambda tally: tally.first_words.add(math.inf))
        if failure is None:
            self._count_in(_ended)
        else:
            self._count_in(partial(Tally.fail, cause=failure.cause))
        return failure

    async def _uploads(self, place: "Place") -> None:
        while not place.stopped.is_set():
            try:
                outcome = await upload_file(self._sample, self._plan.url, self._key)
            except StreamFailed as failure:
                self._count_in(partial(Tally.fail_upload, cause=failure.cause))
                await place.pause(failure)
            else:
                self._count_in(partial(_uploaded, seconds=outcome.seconds))

    def _note_open(self) -> None:
        self.most_open = max(self.most_open, self.open)

    def _count_in(self, count: Callable[[Tally], None]) -> None:
        for tally in self._tallies:
            count(tally)

    async def _watch_own_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_SECONDS
            await asyncio.sleep(_LAG_SECONDS)
            self.own_lag.add(max(0.0, loop.time() - due))


class Place:
    """Where one stream or upload after the other runs."""

    def __init__(self, *, uploads: bool) -> None:
        self.uploads = uploads
        self.open = False
        self.tried = False
        self.stopped = asyncio.Event()

    async def pause(self, failure: StreamFailed) -> None:
        """Leave the server alone for a while, or until the place is given up."""
        seconds = min(max(failure.retry_after or 0.0, PAUSE_SECONDS), MAX_PAUSE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopped.wait()


class Stream:
    """One stream's audio at the pace of a microphone, and what its words say about the time they took."""

    def __init__(
        self, recording: Recording, seconds: float, place: Place, count_in: Callable[[Callable[[Tally], None]], None]
    ) -> None:
        self._recording = recording
        self._seconds = seconds
        self._place = place
        self._count_in = count_in
        self._loop = asyncio.get_running_loop()
        self._requested = self._loop.time()
        self._began: float | None = None
        self.on_open: Callable[[], None] = lambda: None
        self.sent_seconds = 0.0
        self.wordless = True

    async def audio(self) -> AsyncGenerator[bytes, None]:
        """The sample again and again, until its time or its place is over."""
        pcm, size = self._recording.pcm, int(self._recording.bytes_per_second * CHUNK_SECONDS)
        frame = 2 * self._recording.channels
        size -= size % frame
        self._began = began = self._loop.time()
        connect = began - self._requested
        self._count_in(lambda tally: _opened(tally, connect))
        self._place.open = self._place.tried = True
        self.on_open()
        at = 0
        while self.sent_seconds < self._seconds and not self._place.stopped.is_set():
            piece = pcm[at : at + size]
            at = at + size if at + size < len(pcm) else 0
            yield piece
            self.sent_seconds += len(piece) / self._recording.bytes_per_second
            await asyncio.sleep(max(0.0, began + self.sent_seconds - self._loop.time()))

    def take(self, message: dict[str, Any]) -> None:
        """A message of the server."""
        began = self._began
        if began is None or message.get("type") != "Results" or not words(message):
            return
        now = self._loop.time()
        if self.wordless:
            self.wordless = False
            self._count_in(lambda tally: tally.first_words.add(now - began))
        if message.get("is_final") and "duration" in message:
            heard = float(message.get("start", 0.0)) + float(message["duration"])
            # A server may count the whole of a piece that it has the beginning of.
            lag = max(0.0, now - began - min(heard, self.sent_seconds))
            self._count_in(lambda tally: tally.final_lag.add(lag))


def _attempted(tally: Tally) -> None:
    tally.attempts += 1


def _opened(tally: Tally, connect: float) -> None:
    tally.opened += 1
    tally.connect.add(connect)


def _ended(tally: Tally) -> None:
    tally.ended += 1


def _uploaded(tally: Tally, seconds: float) -> None:
    tally.uploads += 1
    tally.upload.add(seconds)
