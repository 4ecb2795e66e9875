"""The embedded engine as a process of its own: the whole sample, live and recorded."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from aldea.accuracy import word_error_rate
from aldea.speech_client import stream_file
from onebox.demo import SAMPLE
from tests.integration.proxies import Service, eventually, running

TRUTH = SAMPLE.with_suffix(".txt").read_text()
SAMPLE_SECONDS = 18.725


def workers_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running("stt_api", Path(tmp_path_factory.mktemp("stt_api")) / "log") as service:
        yield service


async def test_the_sample_streamed_live_is_understood_and_measured(engine: Service) -> None:
    await eventually(lambda: workers_ready(engine.url), 30)
    outcome = await stream_file(SAMPLE, engine.url, "unused", fast=True)
    assert word_error_rate(TRUTH, outcome.transcript) <= 0.08
    assert outcome.duration == SAMPLE_SECONDS


async def test_the_sample_as_a_file_gives_the_same_words_and_duration(engine: Service) -> None:
    await eventually(lambda: workers_ready(engine.url), 30)
    async with ClientSession() as session:
        answer = await session.post(f"{engine.url}/v1/listen", data=SAMPLE.read_bytes())
        body = await answer.json()
    assert answer.status == 200
    assert body["metadata"]["duration"] == SAMPLE_SECONDS
    assert body["metadata"]["request_id"] == answer.headers["dg-request-id"]
    words = body["results"]["channels"][0]["alternatives"][0]["transcript"]
    assert word_error_rate(TRUTH, words) <= 0.08
