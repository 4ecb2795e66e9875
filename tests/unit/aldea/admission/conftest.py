"""A link to a staged Redis, for what admission does without a real one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from aldea.admission import Grant
from aldea.ids import new_request_id
from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import Script

PROJECT = "0190a5e2-0000-7000-8000-00000000000a"
KEY_ID = "0190a5e2-0000-7000-8000-00000000000b"


class FakeLink:
    """Records what is sent; `responses` maps a script to its response (or an error); `unavailable` is what it says."""

    def __init__(self) -> None:
        self.sent: list[tuple[Script, Sequence[str], Sequence[str | int]]] = []
        self.responses: dict[Script, Any] = {}
        self.unavailable = False
        self.unsent = False
        self.callbacks: list[Callable[[], None]] = []

    @property
    def available(self) -> bool:
        return not self.unavailable

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def come_back(self) -> None:
        self.unavailable = False
        for callback in self.callbacks:
            callback()

    def submit(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> "asyncio.Future[Any]":
        if self.unavailable:
            raise RedisUnavailable("unavailable", sent=not self.unsent)
        self.sent.append((script, keys, args))
        response: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        outcome = self.responses.get(script, 1)
        if isinstance(outcome, Exception):
            response.set_exception(outcome)
        elif outcome is not None:
            response.set_result(outcome)
        return response

    async def call(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        return await self.submit(script, keys, args)

    async def run(self, _command: object) -> int:
        if self.unavailable:
            raise RedisUnavailable("unavailable")
        return 0

    async def ping(self) -> None:
        await self.run(None)

    def scripts(self) -> list[Script]:
        return [script for script, _, _ in self.sent]


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def make_grant() -> Callable[[], Grant]:
    def make() -> Grant:
        return Grant(
            request_id=new_request_id(),
            started_ms=1_764_547_200_000,
            project_id=PROJECT,
            key_id=KEY_ID,
            credential_sha256="ab",
            service="streaming",
            lane="main",
            path="/v1/listen",
        )

    return make
