import asyncio
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from aldea.canary.client import Recording, StreamFailed
from aldea.load.crowd import MAX_PAUSE_SECONDS, Crowd, Place, Stream
from aldea.load.plan import Plan
from aldea.load.tally import Tally
from tests.fakes.limited import BYTES_PER_SECOND, LimitedPlatform


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A fifth of a second of silence at 8 kHz."""
    path = tmp_path / "sample.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(BYTES_PER_SECOND // 5))
    return path


@asynccontextmanager
async def crowding(
    platform: LimitedPlatform, sample: Path, *, stream_seconds: float = 600.0, patience: float = 600.0
) -> AsyncIterator[tuple[Crowd, Tally]]:
    async with TestServer(platform.app()) as server:
        plan = Plan(str(server.make_url("")).rstrip("/"), 8, 0.0, 1.0, stream_seconds=stream_seconds)
        crowd, tally = Crowd(plan, "org_key", sample, patience), Tally()
        crowd.watch(tally)
        try:
            yield crowd, tally
        finally:
            await crowd.close()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.01)


async def test_it_grows_to_a_number_of_streams_and_shrinks_with_last_words(sample: Path) -> None:
    platform = LimitedPlatform(carries=100)
    async with crowding(platform, sample) as (crowd, tally):
        await crowd.grow(5, 0.0)
        await until(lambda: crowd.open == platform.running == 5)
        await crowd.shrink(2)
        assert (crowd.open, platform.running, tally.ended, tally.failed) == (2, 2, 3, 0)
        await until(lambda: tally.first_words.count == 5)
        assert tally.connect.count == tally.attempts == 5
    assert (platform.running, tally.ended, crowd.most_open) == (0, 5, 5)
    assert platform.keys == {"Token org_key"}


async def test_a_stream_that_has_had_its_time_makes_room_for_the_next_one(sample: Path) -> None:
    async with crowding(LimitedPlatform(carries=1), sample, stream_seconds=0.1) as (crowd, tally):
        await crowd.grow(1, 0.0)
        await until(lambda: tally.ended >= 2)
        assert tally.failed == 0


@pytest.mark.parametrize(
    ("platform", "cause"),
    [(LimitedPlatform(carries=0), "status 503"), (LimitedPlatform(carries=9, closes=1011), "close 1011")],
)
async def test_failures_are_counted_by_status_or_close_code(
    sample: Path, platform: LimitedPlatform, cause: str
) -> None:
    async with crowding(platform, sample) as (crowd, tally):
        await crowd.grow(3, 0.0)
        await until(lambda: tally.failures[cause] >= 3)
        assert crowd.tried
        assert set(tally.failures) == {cause}


async def test_nobody_at_the_address_is_a_cause_too(sample: Path) -> None:
    crowd, tally = Crowd(Plan("http://127.0.0.1:1", 1, 0.0, 1.0), "org_key", sample, 1.0), Tally()
    crowd.watch(tally)
    await crowd.grow(1, 0.0)
    crowd.upload(1)
    await until(lambda: bool(tally.failures and tally.upload_failures))
    await crowd.close()
    assert tally.failures.keys() == tally.upload_failures.keys() == {"no connection"}


async def test_a_stream_without_words_counts_as_one_whose_words_never_came(sample: Path) -> None:
    platform = LimitedPlatform(carries=1, speechless=True)
    async with crowding(platform, sample, stream_seconds=0.2, patience=0.1) as (crowd, tally):
        await crowd.grow(1, 0.0)
        await until(lambda: tally.ended >= 1)
        assert tally.first_words.within(3600.0) == 0
        assert tally.first_words.count >= 1


async def test_uploads_run_beside_the_streams(sample: Path) -> None:
    platform = LimitedPlatform(carries=1)
    async with crowding(platform, sample) as (crowd, tally):
        crowd.upload(2)
        await until(lambda: tally.uploads >= 4)
        assert crowd.open == 0
        assert tally.upload.count == tally.uploads


async def test_a_final_is_late_from_the_end_of_its_audio_on() -> None:
    tally = Tally()
    stream = Stream(Recording(bytes(3200), 8000, 1), 600.0, Place(uploads=False), lambda count: count(tally))
    audio = stream.audio()
    await anext(audio)
    loop = asyncio.get_running_loop()
    stream._began = loop.time() - 100.0
    stream.sent_seconds = 90.0
    final = {"type": "Results", "is_final": True, "channel": {"alternatives": [{"transcript": "words"}]}}
    stream.take({**final, "start": 30.0, "duration": 10.0})
    assert tally.final_lag.percentile(50) == pytest.approx(60.0, rel=0.05)
    assert tally.first_words.percentile(50) == pytest.approx(100.0, rel=0.05)
    stream.take({**final, "start": 0.0, "duration": 95.0})  # more than was sent: counted as all of it
    assert tally.final_lag.percentile(1) == pytest.approx(10.0, rel=0.05)
    await audio.aclose()


async def test_a_place_obeys_the_server_but_not_for_ever() -> None:
    place = Place(uploads=False)
    place.stopped.set()
    await place.pause(StreamFailed("", "status 503", retry_after=86_400.0))  # given up: it waits no longer
    assert MAX_PAUSE_SECONDS == 30.0
