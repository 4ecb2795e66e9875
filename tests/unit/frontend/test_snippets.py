"""The snippets as a reader runs them: a large file arrives whole; whatever fails is said, and ends with a failure."""

import ast
import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from frontend.snippets import KEY_PLACEHOLDER, snippets
from tests.unit.frontend.conftest import settings

KEY = "org_the-right-one"
# What ws_proxy takes in one message.
MAX_MESSAGE = 1 << 20
LARGE = bytes(range(256)) * 16 * 1024  # 4 MiB
WORDS = "the morning was quiet"
RESULT = {"channel": {"alternatives": [{"transcript": WORDS, "confidence": 1.0, "words": []}]}}


@dataclass
class Service:
    """A stand-in for the proxies. `closes`: a close code and reason to end a stream with at its first message."""

    closes: tuple[int, bytes] | None = None
    heard: bytearray = field(default_factory=bytearray)
    longest: int = 0
    ended: bool = False

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application(client_max_size=len(LARGE) + 1)
        app.router.add_get("/v1/listen", self._stream)
        app.router.add_post("/v1/listen", self._upload)
        async with TestServer(app) as server:
            yield str(server.make_url("")).rstrip("/")

    async def _upload(self, request: web.Request) -> web.Response:
        self.heard += await request.read()
        if request.headers["Authorization"] != f"Token {KEY}":
            return _refused()
        metadata = {
            "request_id": "r", "sha256": "", "created": "2026-01-01T00:00:00Z", "duration": 1.0, "channels": 1,
            "models": [], "model_info": {}, "transaction_key": "deprecated",
        }  # fmt: skip
        return web.json_response({"metadata": metadata, "results": {"channels": [RESULT["channel"]]}})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if request.headers["Sec-WebSocket-Protocol"] != f"token, {KEY}":
            return _refused()
        socket = web.WebSocketResponse(protocols=["token"], max_msg_size=MAX_MESSAGE)
        await socket.prepare(request)
        async for message in socket:
            if self.closes is not None:
                await socket.close(code=self.closes[0], message=self.closes[1])
            elif message.type is WSMsgType.BINARY:
                self.heard += message.data
                self.longest = max(self.longest, len(message.data))
            elif json.loads(message.data)["type"] == "CloseStream":
                self.ended = True
                await socket.send_json({"type": "Results", "is_final": True, **RESULT})
                await socket.close()
        return socket


def _refused() -> web.Response:
    return web.json_response({"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."}, status=401)


def texts(url: str = "https://api.example.com") -> dict[str, str]:
    return {snippet.name: snippet.text for snippet in snippets(settings(public_api_url=url))}


async def run(
    folder: Path, name: str, url: str, *, key: str = KEY, audio: bytes | None = LARGE
) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a snippet that runs beside its file."""
    if audio is not None:
        (folder / "speech.wav").write_bytes(audio)
    text = texts(url)[name].replace(KEY_PLACEHOLDER, key)
    program = {"curl": "curl", "javascript": "node", "python": sys.executable}[name]
    if (found := shutil.which(program)) is None:
        pytest.skip(f"{program} is not installed here: the snippet for it was not run")
    if name == "curl":
        command = ["sh", "-c", text]
    else:
        file = folder / ("snippet.mjs" if name == "javascript" else "snippet.py")
        file.write_text(text)
        command = [found, str(file)]
    if name == "javascript":
        version = int((await _output(found, "--version"))[1].removeprefix("v").partition(".")[0])
        if version < 20:
            pytest.skip(f"Node.js {version} is installed, which has no WebSocket: the snippet for 22 was not run")
        command[1:1] = ["--experimental-websocket", "--no-warnings"] if version < 22 else []
    return await _output(*command, folder=folder)


async def _output(*command: str, folder: Path | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdin=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def test_every_snippet_has_this_deployments_address_and_a_place_for_the_key() -> None:
    for name, text in texts().items():
        assert "//api.example.com" in text, name
        assert KEY_PLACEHOLDER in text, name
        assert "{{" not in text, name
    ast.parse(texts()["python"])


@pytest.mark.parametrize("name", ["curl", "python", "javascript"])
async def test_a_large_file_arrives_whole_and_its_words_are_printed(tmp_path: Path, name: str) -> None:
    service = Service()
    async with service.serving() as url:
        status, out, err = await run(tmp_path, name, url)
    assert (status, err if name != "curl" else "") == (0, "")
    assert WORDS in out
    assert bytes(service.heard) == LARGE
    assert service.longest <= 64 * 1024
    assert service.ended is (name == "javascript")


@pytest.mark.parametrize("name", ["curl", "python", "javascript"])
async def test_a_wrong_key_is_said_and_ends_with_a_failure(tmp_path: Path, name: str) -> None:
    async with Service().serving() as url:
        status, out, err = await run(tmp_path, name, url, key="org_another", audio=LARGE[:1000])
    assert status != 0
    assert ("is the API key right?" if name == "javascript" else "INVALID_AUTH") in out + err


@pytest.mark.parametrize("name", ["curl", "python", "javascript"])
async def test_a_file_that_is_not_there_is_said_and_ends_with_a_failure(tmp_path: Path, name: str) -> None:
    service = Service()
    async with service.serving() as url:
        status, out, err = await run(tmp_path, name, url, audio=None)
    assert status != 0
    assert "speech.wav" in err
    assert (out, bytes(service.heard)) == ("", b"")


@pytest.mark.parametrize("name", ["curl", "python", "javascript"])
async def test_a_service_that_is_not_there_is_said_and_ends_with_a_failure(tmp_path: Path, name: str) -> None:
    status, _, err = await run(tmp_path, name, "http://127.0.0.1:9", audio=b"x")
    assert status != 0
    assert err


async def test_a_stream_that_the_service_ends_says_why_also_in_the_middle_of_a_file(tmp_path: Path) -> None:
    async with Service(closes=(1011, b"DATA-0000: not audio")).serving() as url:
        status, _, err = await run(tmp_path, "javascript", url)
    assert status == 1
    assert "Closed with code 1011: DATA-0000: not audio" in err
