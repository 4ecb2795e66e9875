"""The small client against a server that refuses, in all the ways that a person meets."""

import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aldea.canary.client import StreamFailed, stream_file

KEY = "org_key"


class Server:
    """Refuses with these statuses, one after another, then takes the stream and closes it with `close_code`."""

    def __init__(self) -> None:
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.close_code = 1000
        self.audio = 0
        self.url = ""

    async def listen(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"Token {KEY}"
        if self.refusals:
            status, headers = self.refusals.pop(0)
            return web.Response(status=status, headers=headers)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if isinstance(message.data, str):
                await socket.send_json({"type": "Metadata", "duration": self.audio / 32_000})
                await socket.close(code=self.close_code)
            else:
                self.audio += len(message.data)
        return socket


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_get("/v1/listen", made.listen)
    async with TestServer(app) as running:
        made.url = str(running.make_url("/"))
        yield made


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "half-a-second.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    return path


async def test_a_server_that_says_when_to_come_back_gets_a_second_request(server: Server, recording: Path) -> None:
    server.refusals = [(503, {"Retry-After": "0"}), (503, {"Retry-After": "0"})]
    outcome = await stream_file(recording, server.url, KEY, fast=True)
    assert (outcome.duration, outcome.close_code) == (0.5, 1000)
    assert not server.refusals


@pytest.mark.parametrize(
    ("status", "headers"), [(401, {}), (503, {}), (503, {"Retry-After": "60"}), (429, {"Retry-After": "0"})]
)
async def test_any_other_refusal_is_reported_at_once(
    server: Server, recording: Path, status: int, headers: dict[str, str]
) -> None:
    server.refusals = [(status, {"dg-error": "why", **headers})]
    with pytest.raises(StreamFailed, match=f"status {status}. why"):
        await stream_file(recording, server.url, KEY, fast=True)


async def test_a_stream_that_ends_with_another_close_code_has_failed(server: Server, recording: Path) -> None:
    server.close_code = 1011
    with pytest.raises(StreamFailed, match="1011"):
        await stream_file(recording, server.url, KEY, fast=True)


async def test_what_is_no_recording_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(StreamFailed, match=r"nothing\.wav cannot be read"):
        await stream_file(tmp_path / "nothing.wav", server.url, KEY)
