"""A client of the speech API: a live stream, an upload; for the canary, the onebox and the command line."""

import asyncio
import json
import time
import wave
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from aldea.headers import REQUEST_ID_HEADER
from aldea.numbers import retry_after_seconds
from aldea.tasks import cancel, spawn

# Audio goes in pieces of a tenth of a second, as a microphone's would.
CHUNK_SECONDS: Final = 0.1
_CONNECT_SECONDS: Final = 15.0
# Without a message from the server for this long after the last audio, the stream is given up.
_SILENCE_SECONDS: Final = 60.0
# The contract's 300 s to the first byte, and some for the way.
_RESPONSE_SECONDS: Final = 310.0
# Of an error's text a person is shown this much.
_SHOWN_CHARACTERS: Final = 300

OnMessage = Callable[[dict[str, Any]], None]


class StreamFailed(RuntimeError):
    """The stream or upload could not be made or ended without its words; the message says why, for a person.

    `cause`: the same to be counted by, such as "status 503", "close 1011", "no connection", "timeout" or "other".
    `retry_after`: seconds that the server wants to be left alone, if it said so.
    """

    def __init__(self, message: str, cause: str = "other", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class StreamOutcome:
    """How a stream ended. `duration`: audio seconds that the server says it received.

    `connect_seconds`: to the server's 101. `first_words_seconds`: from the first audio to the first words, interim
    ones included; None if there were none. `last_words_seconds`: from CloseStream to the server's Close.
    """

    request_id: str
    transcript: str
    duration: float
    close_code: int
    connect_seconds: float
    first_words_seconds: float | None
    last_words_seconds: float


@dataclass(frozen=True, slots=True)
class UploadOutcome:
    """The response to an upload. `duration`: audio seconds; `seconds`: from the request to its whole response."""

    request_id: str
    transcript: str
    duration: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Response:
    """What the API responded with success."""

    request_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """16-bit PCM samples; `rate` in Hz."""

    pcm: bytes
    rate: int
    channels: int

    @property
    def bytes_per_second(self) -> int:
        """Of all channels together."""
        return self.rate * self.channels * 2

    @property
    def seconds(self) -> float:
        """The recording's length."""
        return len(self.pcm) / self.bytes_per_second


def read_recording(path: Path) -> Recording:
    """The samples of a 16-bit WAV file. Raises StreamFailed for any other file."""
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                raise StreamFailed(f"{path}: got {8 * file.getsampwidth()}-bit samples; 16-bit WAV is allowed.")
            return Recording(file.readframes(file.getnframes()), file.getframerate(), file.getnchannels())
    except (OSError, EOFError, wave.Error) as error:
        raise StreamFailed(f"{path} cannot be read as a WAV file: {error}") from None


def words(results: dict[str, Any]) -> str:
    """The words of a Results message."""
    text: str = results["channel"]["alternatives"][0]["transcript"]
    return text


async def stream_file(
    path: Path, url: str, key: str, *, fast: bool = False, on_message: OnMessage = lambda _message: None
) -> StreamOutcome:
    """Stream a 16-bit WAV file to `url` (http, https, ws or wss; host and port) in real time, or as fast as possible.

    `on_message` gets every message of the server. Raises StreamFailed.
    """
    recording = read_recording(path)
    query = {
        "encoding": "linear16",
        "sample_rate": str(recording.rate),
        "channels": str(recording.channels),
        "interim_results": "true",
    }
    return await stream_audio(_pieces(recording, fast=fast), query, url, key, on_message=on_message)


async def stream_audio(
    audio: AsyncIterator[bytes],
    query: Mapping[str, str],
    url: str,
    key: str,
    *,
    on_message: OnMessage = lambda _message: None,
    patient: bool = True,
) -> StreamOutcome:
    """Stream what `audio` yields to `url`'s `/v1/listen` with `query`, at its own pace. Raises StreamFailed.

    `patient`: a 503 that says when to come back is obeyed, for as long as a connection may take.
    """
    heard = _Heard(on_message)
    began = time.monotonic()
    async with _plain_failures(url), aiohttp.ClientSession() as session:
        socket = await _connect(session, f"{url.rstrip('/')}/v1/listen?{urlencode(query)}", key, patient=patient)
        async with socket:
            connected = time.monotonic()
            request_id = socket._response.headers.get(REQUEST_ID_HEADER, "")  # noqa: SLF001 - aiohttp shows it nowhere else
            sending = spawn(_send(socket, audio, heard), name="send-audio")
            try:
                while (message := await _receive(socket, sending)).type is aiohttp.WSMsgType.TEXT:
                    heard.take(json.loads(message.data))
            finally:
                ended = time.monotonic()
                sent = _sent_at(sending) or ended
                await cancel(sending)
    if heard.failure is not None:
        raise heard.failure
    if socket.close_code != 1000:
        said = f" ({message.extra})" if message.extra else ""
        raise StreamFailed(f"The stream ended with close code {socket.close_code}{said}.", f"close {socket.close_code}")
    return StreamOutcome(
        request_id=request_id,
        transcript=" ".join(filter(None, heard.finals)),
        duration=heard.duration,
        close_code=socket.close_code,
        connect_seconds=connected - began,
        first_words_seconds=None if heard.first_words is None else heard.first_words - heard.first_audio,
        last_words_seconds=ended - sent,
    )


async def upload_file(path: Path, url: str, key: str) -> UploadOutcome:
    """Send a recorded file to `url`'s `/v1/listen` and wait for its words. Raises StreamFailed."""
    try:
        audio = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise StreamFailed(f"{path} cannot be read: {error}") from None
    began = time.monotonic()
    response = await call("POST", "/v1/listen", url, key, data=audio, headers={"Content-Type": "audio/wav"})
    try:
        parsed = json.loads(response.body)
        return UploadOutcome(
            request_id=response.request_id,
            transcript=parsed["results"]["channels"][0]["alternatives"][0]["transcript"],
            duration=float(parsed["metadata"]["duration"]),
            seconds=time.monotonic() - began,
        )
    except (ValueError, LookupError, TypeError):
        raise StreamFailed(f"The upload's response is not a transcript: {_shown(response.body)}") from None


async def call(
    method: str,
    path: str,
    url: str,
    key: str,
    *,
    query: Mapping[str, str] | None = None,
    data: Any = None,
    json_body: Any = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = _RESPONSE_SECONDS,
) -> Response:
    """One request to `url`, its whole response within `seconds` after the upload. Raises StreamFailed if it is refused.

    `data`: the body as aiohttp takes it; `json_body`: one as JSON.
    """
    # An upload may take as long as it takes; then the server has its time.
    deadline = aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS, sock_read=seconds)
    async with (
        _plain_failures(url),
        aiohttp.ClientSession(timeout=deadline) as session,
        session.request(
            method, f"{_http(url)}{path}", params=dict(query or {}), data=data, json=json_body,
            headers={**_headers(key), **(headers or {})},
        ) as response,
    ):  # fmt: skip
        body = await response.read()
    if not 200 <= response.status < 300:
        raise StreamFailed(
            f"The response has status {response.status}. {_shown(body)}".strip(),
            f"status {response.status}",
            retry_after_seconds(response.headers.get("Retry-After", "")),
        )
    return Response(response.headers.get(REQUEST_ID_HEADER, ""), body)


class _Heard:
    """What the server said so far."""

    def __init__(self, on_message: OnMessage) -> None:
        self._on_message = on_message
        self.finals: list[str] = []
        self.duration = 0.0
        self.first_audio = 0.0  # monotonic time
        self.first_words: float | None = None  # monotonic time
        self.failure: StreamFailed | None = None  # of the audio's source

    def take(self, message: dict[str, Any]) -> None:
        self._on_message(message)
        if message.get("type") == "Results":
            said = words(message)
            if said and self.first_words is None:
                self.first_words = time.monotonic()
            if message.get("is_final"):
                self.finals.append(said)
        elif message.get("type") == "Metadata":
            self.duration = float(message.get("duration", 0.0))


@asynccontextmanager
async def _plain_failures(url: str) -> AsyncIterator[None]:
    """Whatever fails inside becomes StreamFailed with a sentence for a person; no header or key is in it."""
    try:
        yield
    except aiohttp.WSServerHandshakeError as refused:
        said = refused.headers.get("dg-error", "") if refused.headers else ""
        raise StreamFailed(
            f"The stream was refused with status {refused.status}. {said}".strip(),
            f"status {refused.status}",
            _retry_after(refused),
        ) from None
    except TimeoutError:
        raise StreamFailed("The server did not respond in time.", "timeout") from None
    except (aiohttp.ClientError, OSError) as error:
        raise StreamFailed(f"No connection to {url}: {error}", "no connection") from None


def _retry_after(refused: aiohttp.WSServerHandshakeError) -> float | None:
    return retry_after_seconds(refused.headers.get("Retry-After", "") if refused.headers else "")


async def _connect(
    session: aiohttp.ClientSession, url: str, key: str, *, patient: bool
) -> aiohttp.ClientWebSocketResponse:
    """Open the stream; with `patient` a 503 that says when to come back is obeyed, as long as there is time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _CONNECT_SECONDS
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await session.ws_connect(url, headers=_headers(key), max_msg_size=0)
        except aiohttp.WSServerHandshakeError as refused:
            pause = _retry_after(refused)
            if not patient or refused.status != 503 or pause is None or loop.time() + pause >= deadline:
                raise
            await asyncio.sleep(pause)


async def _receive(socket: aiohttp.ClientWebSocketResponse, sending: asyncio.Task[float]) -> aiohttp.WSMessage:
    """The server's next message. It may be silent for as long as audio goes in, and some time after that."""
    while True:
        try:
            return await socket.receive(_SILENCE_SECONDS)
        except TimeoutError:
            if sending.done():
                raise


def _sent_at(sending: asyncio.Task[float]) -> float | None:
    """When everything was sent; None if it was not, or failed: the close code then says why."""
    finished = sending.done() and not sending.cancelled() and sending.exception() is None
    return sending.result() if finished else None


async def _send(socket: aiohttp.ClientWebSocketResponse, audio: AsyncIterator[bytes], heard: _Heard) -> float:
    """Send everything and CloseStream; the monotonic time at which that was done."""
    try:
        async for piece in audio:
            if not heard.first_audio:
                heard.first_audio = time.monotonic()
            await socket.send_bytes(piece)
    except StreamFailed as failure:
        heard.failure = failure
        await socket.close()  # whoever waits for its messages waits no longer
        raise
    await socket.send_str('{"type":"CloseStream"}')
    return time.monotonic()


async def _pieces(recording: Recording, *, fast: bool) -> AsyncIterator[bytes]:
    """A recording's samples, at the pace of a microphone unless `fast`."""
    loop = asyncio.get_running_loop()
    size = int(recording.bytes_per_second * CHUNK_SECONDS)
    due = loop.time()
    for begin in range(0, len(recording.pcm), size):
        yield recording.pcm[begin : begin + size]
        due += CHUNK_SECONDS
        if not fast:
            await asyncio.sleep(max(0.0, due - loop.time()))


def _http(url: str) -> str:
    """The address for plain requests: ws:// and wss:// are the same server's."""
    return ("http" + url[2:] if url.startswith("ws") else url).rstrip("/")


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Token {key}"}


def _shown(body: bytes) -> str:
    """An error for a person: its text, of either wire, else what came."""
    try:
        found = json.loads(body)
        return str(found["err_msg"] if "err_msg" in found else found["error"]["message"])[:_SHOWN_CHARACTERS]
    except (ValueError, LookupError, TypeError):
        return body[:_SHOWN_CHARACTERS].decode(errors="replace")
