from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestServer

from tests.fakes.platform import FakePlatform
from tests.unit.aldea.cli.commands import Command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform("good morning", 1.0)


@pytest.fixture
async def url(platform: FakePlatform) -> AsyncIterator[str]:
    async with TestServer(platform.app()) as server:
        yield str(server.make_url("")).rstrip("/")
