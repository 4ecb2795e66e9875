import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from aldea.canary.client import Recording, StreamFailed, read_recording, stream_file, upload_file
from tests.fakes.platform import FakePlatform


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """One second of silence at 8 kHz."""
    return write(tmp_path / "second.wav", samples=8000)


def write(path: Path, *, samples: int, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(bytes(samples * width))
    return path


@asynccontextmanager
async def serving(platform: FakePlatform) -> AsyncIterator[str]:
    async with TestServer(platform.app()) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_a_stream_gives_the_words_the_duration_and_the_request_id(second: Path) -> None:
    platform = FakePlatform("good morning", 1.0)
    messages: list[dict[str, Any]] = []
    async with serving(platform) as url:
        outcome = await stream_file(second, url, "org_key", fast=True, on_message=messages.append)
    assert (outcome.transcript, outcome.duration, outcome.close_code) == ("good morning", 1.0, 1000)
    assert platform.rows.keys() == {outcome.request_id}
    assert [message["type"] for message in messages] == ["Results", "Metadata"]
    assert outcome.first_words_seconds is not None
    assert platform.keys == ["Token org_key"]


async def test_audio_goes_at_the_pace_of_a_microphone_unless_fast_is_chosen(tmp_path: Path) -> None:
    fifth = write(tmp_path / "fifth.wav", samples=1600)
    async with serving(FakePlatform("", 0.2)) as url:
        outcome = await stream_file(fifth, url, "org_key")
    assert outcome.first_words_seconds is None  # nothing was said
    assert read_recording(fifth).seconds == 0.2


async def test_another_close_code_than_1000_is_a_failure_that_names_it(second: Path) -> None:
    async with serving(FakePlatform("words", 1.0, close_code=1012)) as url:
        with pytest.raises(StreamFailed, match="close code 1012"):
            await stream_file(second, url, "org_key", fast=True)


async def test_a_refusal_is_reported_with_its_status_and_reason_but_without_the_key(second: Path) -> None:
    async with serving(FakePlatform("", 0, refuse=401)) as url:
        with pytest.raises(StreamFailed, match=r"status 401\. Said why\.") as live:
            await stream_file(second, url, "org_secret")
        with pytest.raises(StreamFailed, match=r"status 401.*Said why") as recorded:
            await upload_file(second, url, "org_secret")
    assert "org_secret" not in f"{live.value}{recorded.value}"


async def test_an_upload_gives_the_words_and_the_duration(second: Path) -> None:
    platform = FakePlatform("good morning", 1.0)
    async with serving(platform) as url:
        outcome = await upload_file(second, url.replace("http", "ws", 1), "org_key")
    assert (outcome.transcript, outcome.duration) == ("good morning", 1.0)
    assert platform.rows.keys() == {outcome.request_id}


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"metadata": {}, "results": {"channels": []}}', b"[]"])
async def test_a_response_that_is_no_transcript_is_shown_in_the_failure(second: Path, body: bytes) -> None:
    async with serving(FakePlatform("", 0, upload_body=body)) as url:
        with pytest.raises(StreamFailed, match="not a transcript"):
            await upload_file(second, url, "org_key")


async def test_an_address_that_nobody_serves_is_named(second: Path) -> None:
    for attempt in (stream_file, upload_file):
        with pytest.raises(StreamFailed, match=r"No connection to http://127\.0\.0\.1:1"):
            await attempt(second, "http://127.0.0.1:1", "org_key")


def test_only_16_bit_wav_is_read(tmp_path: Path) -> None:
    with pytest.raises(StreamFailed, match="8-bit samples; 16-bit WAV is allowed"):
        read_recording(write(tmp_path / "8.wav", samples=10, width=1))
    (tmp_path / "noise.wav").write_bytes(b"noise")
    for name in ("noise.wav", "absent.wav"):
        with pytest.raises(StreamFailed, match="cannot be read as a WAV file"):
            read_recording(tmp_path / name)


def test_a_recording_knows_its_length() -> None:
    assert Recording(bytes(32_000), 8000, 2).seconds == 1.0
