"""`aldea listen`: a live stream from the microphone or stdin; words as they are spoken."""

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final

from aldea.canary.client import StreamFailed, stream_audio, words
from aldea.cli.access import Access
from aldea.cli.source import pieces
from aldea.cli.terminal import Terminal
from aldea.tasks import cancel, spawn

# A tenth of a second of raw audio at 16 kHz.
CHUNK_BYTES: Final = 3200
RATE: Final = 16_000
# Programs that record 16-bit samples from the default microphone to stdout, in the order in which they are looked for.
RECORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "arecord": ("arecord", "-q", "-f", "S16_LE", "-r", str(RATE), "-c", "1", "-t", "raw"),
    "rec": ("rec", "-q", "-t", "raw", "-e", "signed", "-b", "16", "-r", str(RATE), "-c", "1", "-"),
    "ffmpeg": (
        *("ffmpeg", "-loglevel", "error", "-f", "avfoundation" if sys.platform == "darwin" else "pulse"),
        *("-i", ":default" if sys.platform == "darwin" else "default"),
        *("-f", "s16le", "-ar", str(RATE), "-ac", "1", "-"),
    ),
}


async def listen(
    source: str | None, as_json: bool, parameters: Mapping[str, str], access: Access, terminal: Terminal
) -> int:
    """Stream until the source ends, or a first Ctrl-C; the exit status. `source`: "-" for stdin, None: microphone."""
    stopped = asyncio.Event()
    # The first Ctrl-C ends the audio: its last words still come. Another one ends everything.
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: _stop(loop, stopped))
    gone: list[BaseException] = []
    warned: set[str] = set()

    def show(message: dict[str, Any]) -> None:
        try:
            _show(message, as_json, terminal)
            for warning in [] if as_json else message.get("warnings", []):
                if warning["message"] not in warned:
                    warned.add(warning["message"])
                    terminal.complain(warning["message"])
        except BrokenPipeError as error:
            gone.append(error)
            raise StreamFailed("nobody reads the words any more.") from None

    try:
        if source is None:
            query = {"encoding": "linear16", "sample_rate": str(RATE)}
            audio = _microphone(stopped)
            terminal.complain("listening; Ctrl-C ends it.")
        else:
            query, audio = {}, _until(stopped, pieces(sys.stdin.buffer, CHUNK_BYTES))
        query |= {"interim_results": "true", "punctuate": "true", **parameters}
        outcome = await stream_audio(audio, query, access.url, access.key, on_message=show)
    except StreamFailed:
        if gone:
            raise BrokenPipeError from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    if not as_json:
        terminal.complain(f"{outcome.duration:.3f} s heard, request {outcome.request_id}")
    return 0


def _stop(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    stopped.set()
    loop.remove_signal_handler(signal.SIGINT)


def _show(message: dict[str, Any], as_json: bool, terminal: Terminal) -> None:
    if as_json:
        terminal.print(json.dumps(message, ensure_ascii=False))
    elif message.get("type") == "Results" and (text := words(message)):
        if message.get("is_final"):
            terminal.print(text)
        else:
            terminal.progress(text)


async def _until(stopped: asyncio.Event, audio: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What comes until the person stops it."""
    stopping = spawn(stopped.wait(), name="await-stop")
    try:
        while not stopped.is_set():
            coming = spawn(_next(audio), name="next-audio")
            await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                await cancel(coming)
                return
            piece = coming.result()
            if not piece:
                return
            yield piece
    finally:
        await cancel(stopping)


async def _next(audio: AsyncIterator[bytes]) -> bytes:
    return await anext(audio, b"")


async def _microphone(stopped: asyncio.Event) -> AsyncIterator[bytes]:
    command = next((found for name, found in RECORDERS.items() if shutil.which(name)), None)
    if command is None:
        raise StreamFailed(
            f"no program that records is installed ({', '.join(RECORDERS)}). Install one, or pipe audio in: "
            "aldea listen - < speech.wav"
        )
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    sent = False
    try:
        async for piece in _until(stopped, _read(process.stdout)):
            sent = True
            yield piece
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        while await process.stdout.read(CHUNK_BYTES):  # a full pipe would keep asyncio from seeing its end
            pass
        await process.wait()
    if not sent and not stopped.is_set():
        raise StreamFailed(f"{command[0]} recorded nothing. Is there a microphone?")


async def _read(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await reader.read(CHUNK_BYTES):
        yield piece
