"""The whole platform, started once for the session by its own command, and oneboxes of a test's own."""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.box import Box, StartBox, start_box
from tests.e2e.browser import Platform, chromium
from tests.support.otlp_sink import Sink, otlp_sink


@pytest.fixture(scope="session")
def spans() -> Iterator[Sink]:
    """What the shared platform exports."""
    with otlp_sink() as sink:
        yield sink


@pytest.fixture(scope="session")
def platform(data_folder: Path, spans: Sink) -> Iterator[Box]:
    """The platform that most tests share. A test that breaks a part of it starts one of its own."""
    # Customers' servers, whose audio is fetched and which get callbacks, are the tests' own on loopback. Only a request
    # that brings a recorded trace is traced.
    box = start_box(
        data_folder / "platform",
        ALLOW_LOOPBACK_URLS="true",
        OTEL_EXPORTER_OTLP_ENDPOINT=spans.url,
        OTEL_TRACES_SAMPLER="parentbased_always_off",
        OTEL_BSP_SCHEDULE_DELAY="500",
    )
    box.wait_ready()
    yield box
    refused = box.refused_by_redis()
    status = box.end()
    # Its services sign in as production's roles: a right that one of them lacks shows here, whoever hid the refusal.
    assert not refused
    assert status == 0, box.said
    assert not box.left_behind()
    assert not box.errors()


@pytest.fixture
def start(data_folder: Path, request: pytest.FixtureRequest) -> Iterator[StartBox]:
    """Starts oneboxes of the test's own; whatever still runs at its end is stopped."""
    started: list[Box] = []

    def begin(*arguments: str, data: Path | None = None, port: int = 0, **extra: str) -> Box:
        box = start_box(data or data_folder / request.node.name[:40], *arguments, port=port, **extra)
        started.append(box)
        return box

    yield begin
    for box in started:
        box.end(signal.SIGTERM)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def console_browser() -> AsyncIterator[Browser]:
    """One Chromium for the session; each test has readers of its own in it."""
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def console_platform(console_browser: Browser, platform: Box) -> AsyncIterator[Platform]:
    """The shared platform, as the console's tests prepare it; not started where there is no browser."""
    async with aiohttp.ClientSession() as http:
        yield Platform(platform, http)
