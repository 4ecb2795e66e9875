"""The STT server's parts for its unit tests: both engines, the sample, the whole application with one real process."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from aldea.settings import read
from stt_api.app import POOL, make_app
from stt_api.model import ENGINES, chosen, package_folder
from stt_api.recognition.engine import Engine, load
from stt_api.recognition.pool import WorkerPool
from stt_api.settings import SttSettings
from tests.recordings import speech as recorded_speech


@pytest.fixture(scope="session")
def sentence() -> bytes:
    """The sample's first sentence and the pause after it: 5.3 s, "the morning was quiet …"."""
    return recorded_speech(5.3)


@pytest.fixture(scope="session", params=ENGINES)
def recognition(request: pytest.FixtureRequest) -> Engine:
    """Each engine that is installed, as a recognition process has it."""
    return load(installed(request.param), None)


def installed(engine: str) -> str:
    """The engine, if it is installed: else the test is skipped."""
    if package_folder(engine) is None:
        pytest.skip(f"{engine} is not installed here")
    return engine


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ENGINES)
async def engine(request: pytest.FixtureRequest) -> AsyncIterator["TestClient[Any, Any]"]:
    """A client of the application with one recognition process, ready, of two places; nobody waits for one.

    The wire is the same with each engine, so each test of it runs with all. Starting one takes most of a second, so it
    serves the tests of a file, in one event loop.
    """
    settings = read(
        SttSettings,
        port=0,
        stt_engine=installed(request.param),
        stt_workers=1,
        stt_streams_per_worker=2,
        stt_waiting_streams=0,
        stt_silence_seconds=1,
    )
    app = make_app(settings)
    server = TestServer(app)
    await server.start_server(auto_decompress=False)  # as aldea.service.server.ServiceRunner has it
    async with TestClient(server) as client:
        async with asyncio.timeout(60):
            while not app[POOL].workers[0].ready:
                await asyncio.sleep(0.02)
        yield client


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    """One recognition process with one place, for which one request may wait."""
    made = WorkerPool(1, 1, chosen(), max_waiting=1, waiting_seconds=120)
    made.start()
    yield made
    await made.close()
