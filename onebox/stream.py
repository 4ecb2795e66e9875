"""`python -m onebox.stream FILE --url … --key …`: stream recorded speech and see its words as they come."""

import argparse
import asyncio
import json
import sys
import wave
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from aldea.headers import REQUEST_ID_HEADER
from aldea.tasks import cancel, spawn

# Audio goes in pieces of a tenth of a second, as a microphone's would.
CHUNK_SECONDS: Final = 0.1
_CONNECT_SECONDS: Final = 15.0
# Without a message from the server for this long after the last audio, the stream is given up.
_SILENCE_SECONDS: Final = 60.0

OnMessage = Callable[[dict[str, Any]], None]


class StreamFailed(RuntimeError):
    """The stream could not be opened or ended without its words; the message says why, for a person."""


@dataclass(frozen=True, slots=True)
class StreamOutcome:
    """How a stream ended. `duration`: audio seconds that the server says it heard."""

    request_id: str
    transcript: str
    duration: float
    close_code: int


async def stream_file(
    path: Path, url: str, key: str, *, fast: bool = False, on_message: OnMessage = lambda _message: None
) -> StreamOutcome:
    """Stream a 16-bit WAV file to `url` (http, https, ws or wss; host and port) in real time, or as fast as possible.

    `on_message` gets every message of the server. Raises StreamFailed.
    """
    audio, rate, channels = _read(path)
    query = urlencode({"encoding": "linear16", "sample_rate": rate, "channels": channels, "interim_results": "true"})
    transcript: list[str] = []
    duration = 0.0
    try:
        async with (
            aiohttp.ClientSession() as session,
            await _connect(session, f"{url.rstrip('/')}/v1/listen?{query}", key) as socket,
        ):
            request_id = socket._response.headers.get(REQUEST_ID_HEADER, "")  # noqa: SLF001 - aiohttp shows it nowhere else
            sending = spawn(_send(socket, audio, rate * channels * 2, fast=fast), name="send-audio")
            try:
                while (message := await socket.receive(_SILENCE_SECONDS)).type is aiohttp.WSMsgType.TEXT:
                    said = json.loads(message.data)
                    on_message(said)
                    if said.get("type") == "Results" and said.get("is_final"):
                        transcript.append(words(said))
                    elif said.get("type") == "Metadata":
                        duration = float(said.get("duration", 0.0))
            finally:
                await cancel(sending)
    except aiohttp.WSServerHandshakeError as refused:
        said_error = refused.headers.get("dg-error", "") if refused.headers else ""
        raise StreamFailed(f"The stream was refused with status {refused.status}. {said_error}".strip()) from None
    except TimeoutError:
        raise StreamFailed("The server did not answer in time.") from None
    except (aiohttp.ClientError, OSError) as error:
        raise StreamFailed(f"No stream to {url}: {error}") from None
    if socket.close_code != 1000:
        raise StreamFailed(f"The stream ended with close code {socket.close_code}.")
    return StreamOutcome(request_id, " ".join(filter(None, transcript)), duration, socket.close_code)


def words(results: dict[str, Any]) -> str:
    """The words of a Results message."""
    text: str = results["channel"]["alternatives"][0]["transcript"]
    return text


def _read(path: Path) -> tuple[bytes, int, int]:
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                raise StreamFailed(f"{path}: got {8 * file.getsampwidth()}-bit samples; 16-bit WAV is allowed.")
            return file.readframes(file.getnframes()), file.getframerate(), file.getnchannels()
    except (OSError, EOFError, wave.Error) as error:
        raise StreamFailed(f"{path} cannot be read as a WAV file: {error}") from None


async def _connect(session: aiohttp.ClientSession, url: str, key: str) -> aiohttp.ClientWebSocketResponse:
    """Open the stream; a 503 that says when to come back is obeyed, as long as there is time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _CONNECT_SECONDS
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await session.ws_connect(url, headers={"Authorization": f"Token {key}"}, max_msg_size=0)
        except aiohttp.WSServerHandshakeError as refused:
            pause = refused.headers.get("Retry-After", "") if refused.headers else ""
            if refused.status != 503 or not pause.isdecimal() or loop.time() + int(pause) >= deadline:
                raise
            await asyncio.sleep(int(pause))


async def _send(socket: aiohttp.ClientWebSocketResponse, audio: bytes, bytes_per_second: int, *, fast: bool) -> None:
    loop = asyncio.get_running_loop()
    size = int(bytes_per_second * CHUNK_SECONDS)
    due = loop.time()
    for begin in range(0, len(audio), size):
        await socket.send_bytes(audio[begin : begin + size])
        due += CHUNK_SECONDS
        if not fast:
            await asyncio.sleep(max(0.0, due - loop.time()))
    await socket.send_str('{"type":"CloseStream"}')


class WordPrinter:
    """Shows words as they come: on a terminal interim words turn into final ones in place, elsewhere finals only."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()

    def __call__(self, message: dict[str, Any]) -> None:
        if message.get("type") != "Results" or not (text := words(message)):
            return
        if message.get("is_final"):
            self._stream.write(("\r\x1b[2K" if self._live else "") + f"  {text}\n")
        elif self._live:
            self._stream.write(f"\r\x1b[2K  \x1b[2m{text[-100:]}\x1b[0m")
        self._stream.flush()


def main(arguments: Sequence[str]) -> int:
    """Stream the file that the arguments name; the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m onebox.stream", description=__doc__)
    parser.add_argument("file", type=Path, help="a 16-bit WAV file")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the platform's address")
    parser.add_argument("--key", required=True, help="an API key, org_…")
    parser.add_argument("--fast", action="store_true", help="as fast as possible instead of in real time")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON and no words")
    chosen = parser.parse_args(arguments)
    try:
        show: OnMessage = (lambda _message: None) if chosen.json else WordPrinter()
        outcome = asyncio.run(stream_file(chosen.file, chosen.url, chosen.key, fast=chosen.fast, on_message=show))
    except StreamFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        print(json.dumps(asdict(outcome)))
    else:
        print(f"{outcome.duration:.3f} s heard, close code {outcome.close_code}, request {outcome.request_id}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
