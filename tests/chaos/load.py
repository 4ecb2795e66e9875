"""Customers: streams and uploads of known length, each behind a tag of its own, drawn from the run's seed."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from itertools import count
from typing import Any, Final

import aiohttp
from aiohttp import WSMsgType

from aldea.tasks import cancel, spawn
from tests.chaos.book import Book, Driven, Kind
from tests.chaos.engine import BYTES_PER_MS
from tests.chaos.plan import Scale
from tests.fakes.words import WORD_MS, WORD_SECONDS, audio_of

# Half a second of audio a message, as fast clients send it.
CHUNK_MS: Final = 500
# Audio of a request, milliseconds; not whole chunks, so that every bill has odd milliseconds.
SHORTEST_MS: Final = 300
LONGEST_STREAM_MS: Final = 60_000
LONGEST_UPLOAD_MS: Final = 15_000
# Share of the streams whose client vanishes without a Close.
VANISHING: Final = 0.08
# A client of a stream that hangs (its proxy may be paused, its STT servers lost) gives up after its length and this.
PATIENCE_SECONDS: Final = 90.0
REFUSED_PAUSE_SECONDS: Final = 0.2
# Of the words of a stream that are wrong, so many are named.
SHOWN_FAULTS: Final = 3
SILENCE: Final = bytes(CHUNK_MS * BYTES_PER_MS)
SPEECH: Final = audio_of(1, LONGEST_STREAM_MS // WORD_MS)


class Load:
    """Keeps as many requests running as the scale says, until it is stopped."""

    def __init__(
        self, scale: Scale, book: Book, key: str, proxies: dict[str, list[tuple[str, str]]], customer_url: str
    ) -> None:
        """`proxies`: for streams and for uploads, each proxy's name and base URL. `customer_url`: see `receiver`."""
        self._customer_url = customer_url
        self._scale = scale
        self._book = book
        self._headers = {"Authorization": f"Token {key}"}
        self._proxies = proxies
        self._numbers = count()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        scale = self._scale
        kinds: list[tuple[Kind, int]] = [
            ("stream", scale.streams), ("upload", scale.uploads), ("url", scale.urls), ("callback", scale.callbacks)
        ]  # fmt: skip
        for kind, many in kinds:
            self._tasks += [spawn(self._customer(kind), name=f"{kind}-{number}") for number in range(many)]

    async def finish(self) -> None:
        """Begin nothing new, and wait for the end of what runs."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def abort(self) -> None:
        """End at once."""
        await cancel(*self._tasks)

    async def _customer(self, kind: Kind) -> None:
        while not self._stopping:
            number = next(self._numbers)
            rng = random.Random(f"request-{self._scale.seed}-{number}")
            name, url = rng.choice(self._proxies["stream" if kind == "stream" else "upload"])
            longest = LONGEST_STREAM_MS if kind == "stream" else LONGEST_UPLOAD_MS
            length = rng.randint(SHORTEST_MS, longest)
            one = Driven(f"{kind}-{number}", kind, name, time.monotonic(), length)
            self._book.driven[one.tag] = one
            lasts = self._scale.stream_seconds * rng.uniform(0.1, 1)
            try:
                async with (
                    asyncio.timeout(lasts + PATIENCE_SECONDS),
                    aiohttp.ClientSession(headers=self._headers) as session,
                ):
                    if kind == "stream":
                        await _Stream(session, one, rng, lasts).run(url)
                        self._book.spoiled += [f"{one.tag}: {fault}" for fault in one.faults]
                    elif kind == "url":
                        await _upload_by_url(session, one, url, self._customer_url)
                    else:
                        await _upload(session, one, url, lasts / 4, self._customer_url)
            except aiohttp.ClientConnectorError as error:
                one.outcome, one.detail = "refused", str(error)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                one.outcome, one.detail = "broken", f"{type(error).__name__}: {error}"
            finally:
                one.ended = time.monotonic()
            if one.outcome == "refused":
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)


class _Stream:
    def __init__(self, session: aiohttp.ClientSession, one: Driven, rng: random.Random, lasts: float) -> None:
        self._session = session
        self._one = one
        self._lasts = lasts
        self._words = 0  # final ones
        self._vanishes_after = rng.randint(0, one.length_ms) if rng.random() < VANISHING else None

    async def run(self, url: str) -> None:
        one = self._one
        query = {"encoding": "linear16", "sample_rate": "16000", "tag": one.tag}
        try:
            socket = await self._session.ws_connect(
                f"{url}/v1/listen", params=query, autoping=True, heartbeat=None, max_msg_size=0
            )
        except aiohttp.WSServerHandshakeError as error:
            one.outcome, one.detail = "refused", f"HTTP {error.status}"
            return
        sending = spawn(self._send(socket), name=f"send {one.tag}")
        try:
            finished = False
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    finished = self._heard(json.loads(message.data))
            if one.outcome != "vanished":
                code = socket.close_code
                one.detail = f"close code {code}"
                if code == 1000 and finished and one.sent_ms == one.length_ms:
                    one.outcome = "clean"
                    if self._words != (due := -(-one.length_ms // WORD_MS)):
                        one.faults.append(f"{self._words} words, not {due}")
                else:
                    closed_by_server = code is not None and code != aiohttp.WSCloseCode.ABNORMAL_CLOSURE
                    one.outcome = "closed" if closed_by_server else "broken"
        finally:
            await cancel(sending)
            self._cut(socket)

    def _heard(self, message: dict[str, Any]) -> bool:
        """Note the audio that the server reports; whether this was its last word."""
        duration = round((message.get("start", 0) + message.get("duration", 0)) * 1000)
        self._one.reported_ms = max(self._one.reported_ms, duration)
        if message.get("is_final"):
            for word in message["channel"]["alternatives"][0]["words"]:
                due = f"{self._words + 1} at {self._words * WORD_SECONDS:.4f}"
                if (said := f"{word['word']} at {word['start']:.4f}") != due and len(self._one.faults) < SHOWN_FAULTS:
                    self._one.faults.append(f"the word {said}, not {due}")
                self._words += 1
        return bool(message["type"] == "Metadata" and duration > 0)

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        one = self._one
        pause = self._lasts / max(1, one.length_ms / CHUNK_MS)
        try:
            while one.sent_ms < one.length_ms:
                if self._vanishes_after is not None and one.sent_ms >= self._vanishes_after:
                    one.outcome, one.detail = "vanished", "the client vanished"
                    self._cut(socket)
                    return
                ms = min(CHUNK_MS, one.length_ms - one.sent_ms)
                one.sent_ms += ms  # before the write: it may arrive even if the write fails
                end = one.sent_ms * BYTES_PER_MS
                await socket.send_bytes(SPEECH[end - ms * BYTES_PER_MS : end])
                await asyncio.sleep(pause)
            await socket.send_str('{"type":"CloseStream"}')
        except (aiohttp.ClientError, OSError):
            return  # the reading side notes how it ended

    @staticmethod
    def _cut(socket: aiohttp.ClientWebSocketResponse) -> None:
        """End the connection as a client that lost its network does: no Close frame."""
        transport = socket._response.connection and socket._response.connection.transport
        if transport is not None:
            transport.abort()


async def _upload(session: aiohttp.ClientSession, one: Driven, url: str, lasts: float, customer_url: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        pause = lasts / max(1, one.length_ms / CHUNK_MS)
        while one.sent_ms < one.length_ms:
            ms = min(CHUNK_MS, one.length_ms - one.sent_ms)
            one.sent_ms += ms
            yield SILENCE[: ms * BYTES_PER_MS]
            await asyncio.sleep(pause)

    query = {"tag": one.tag}
    if one.kind == "callback":
        query["callback"] = f"{customer_url}/callback/{one.tag}"
    headers = {"Content-Type": "audio/raw", "Content-Length": str(one.length_ms * BYTES_PER_MS)}
    async with session.post(f"{url}/v1/listen", params=query, data=body(), headers=headers) as response:
        await _note(one, response)


async def _upload_by_url(session: aiohttp.ClientSession, one: Driven, url: str, customer_url: str) -> None:
    one.sent_ms = one.length_ms
    body = {"url": f"{customer_url}/audio/{one.length_ms}"}
    async with session.post(f"{url}/v1/listen", params={"tag": one.tag}, json=body) as response:
        await _note(one, response)


async def _note(one: Driven, response: aiohttp.ClientResponse) -> None:
    one.detail = f"HTTP {response.status}"
    if response.status != 200:
        one.outcome = "refused"
        return
    found = await response.json()
    if one.kind == "callback":
        one.request_id = found["request_id"]
    else:
        one.reported_ms = round(found["metadata"]["duration"] * 1000)
    one.outcome = "clean" if one.sent_ms == one.length_ms else "closed"
