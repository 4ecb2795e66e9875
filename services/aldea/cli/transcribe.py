"""`aldea transcribe`: files, one after another, as text, JSON or captions."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import aiohttp

from aldea.canary.client import Response, StreamFailed, call
from aldea.cli.access import Access
from aldea.cli.source import pieces
from aldea.cli.terminal import Terminal
from aldea.tasks import cancel, spawn

CHUNK_BYTES: Final = 256 * 1024
# The proxy gives a request an hour as a whole, and then responds itself.
RESPONSE_SECONDS: Final = 4000.0
# How often progress is written.
PROGRESS_SECONDS: Final = 0.2
CAPTIONS: Final = ("srt", "vtt")
STDIN: Final = "-"


async def transcribe(
    files: Sequence[str], form: str, parameters: Mapping[str, str], access: Access, terminal: Terminal
) -> int:
    """Transcribe the files; the exit status. `form`: text, json, srt, vtt. One that fails does not stop the others."""
    failed = 0
    for name in files:
        try:
            result = await _transcribed(name, form, parameters, access, terminal)
        except StreamFailed as failure:
            terminal.complain(f"{name}: {failure}")
            failed += 1
            continue
        if len(files) > 1 and form == "text":
            terminal.print(f"{name}:")
        terminal.print(result)
    return 1 if failed else 0


async def _transcribed(name: str, form: str, parameters: Mapping[str, str], access: Access, terminal: Terminal) -> str:
    with _opened(name) as file:
        upload = _Upload(file, name, terminal)
        showing = spawn(upload.show(), name="show-progress")
        try:
            response = await (
                _captions(upload, form, access) if form in CAPTIONS else _words(upload, parameters, access)
            )
        finally:
            await cancel(showing)
    if form == "text":
        return _text(response, name, terminal)
    return response.body.decode("utf-8", "replace").rstrip("\n")


async def _words(upload: "_Upload", parameters: Mapping[str, str], access: Access) -> Response:
    headers = {"Content-Type": "application/octet-stream"}
    if upload.size is not None:
        headers["Content-Length"] = str(upload.size)
    query = {"punctuate": "true", **parameters}
    return await call(
        "POST", "/v1/listen", access.url, access.key, query=query, data=upload.pieces(), headers=headers,
        seconds=RESPONSE_SECONDS,
    )  # fmt: skip


async def _captions(upload: "_Upload", form: str, access: Access) -> Response:
    """Captions are made by the API, of OpenAI's form."""
    body = aiohttp.MultipartWriter("form-data")
    part = body.append(form)
    part.set_content_disposition("form-data", name="response_format")
    part = body.append(upload.pieces(), {"Content-Type": "application/octet-stream"})
    part.set_content_disposition("form-data", name="file", filename="audio")
    return await call("POST", "/v1/audio/transcriptions", access.url, access.key, data=body, seconds=RESPONSE_SECONDS)


def _text(response: Response, name: str, terminal: Terminal) -> str:
    try:
        found: dict[str, Any] = json.loads(response.body)
        texts = [channel["alternatives"][0]["transcript"] for channel in found["results"]["channels"]]
        warnings = [warning["message"] for warning in found.get("metadata", {}).get("warnings", [])]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise StreamFailed("the response is not a transcript. Is the address the API's?") from None
    for text in warnings:
        terminal.complain(f"{name}: {text}")
    return "\n".join(texts)


def _opened(name: str) -> BinaryIO:
    if name == STDIN:
        return sys.stdin.buffer
    path = Path(name)
    try:
        if path.is_dir():
            raise StreamFailed("this is a folder. Name the files in it.")
        file = path.open("rb")
        if os.fstat(file.fileno()).st_size == 0 and path.is_file():
            file.close()
            raise StreamFailed("the file is empty.")
    except FileNotFoundError:
        raise StreamFailed("there is no such file.") from None
    except (OSError, ValueError) as error:
        raise StreamFailed(f"it cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    return file


class _Upload:
    """A file on its way. `size`: in bytes, None where it cannot be known."""

    def __init__(self, file: BinaryIO, name: str, terminal: Terminal) -> None:
        self._file = file
        self._name = name
        self._terminal = terminal
        self._sent = 0
        self._done: float | None = None  # monotonic time
        path = Path(name)
        self.size = path.stat().st_size if name != STDIN and path.is_file() else None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The file's bytes. Raises StreamFailed."""
        try:
            async for piece in pieces(self._file, CHUNK_BYTES):
                self._sent += len(piece)
                yield piece
        except OSError as error:
            raise StreamFailed(f"it cannot be read: {error.strerror}.") from None
        self._done = time.monotonic()

    async def show(self) -> None:
        """Write the progress until it is cancelled."""
        while True:
            if self._done is not None:
                text = f"{self._name}: transcribing, {time.monotonic() - self._done:.0f} s"
            elif self.size:
                text = f"{self._name}: sending, {100 * self._sent // self.size} % of {self.size / 1e6:.1f} MB"
            else:
                text = f"{self._name}: sending, {self._sent / 1e6:.1f} MB"
            self._terminal.progress(text)
            await asyncio.sleep(PROGRESS_SECONDS)
