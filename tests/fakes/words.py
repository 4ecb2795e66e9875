"""A stand-in for an STT server whose words follow from the audio's bytes, so that each can be checked.

Word n is 50 ms of samples that are all n, and zeros are silence: whatever part of a stream a server hears, it says the
numbers that are in it, and when they are; with `vad_events` and `utterance_end_ms` also where speech begins and ends.
`python -m tests.fakes.words PORT` runs it as a process of its own;
`POST /fault?kind=…` is for what a signal cannot do to it (`room`: it is full no longer).
"""

import asyncio
import json
import signal
import sys
from array import array
from bisect import bisect_left
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

RATE = 16_000
WORD_SAMPLES = 800
WORD_SECONDS = WORD_SAMPLES / RATE
WORD_MS = 50


def audio_of(first: int, last: int, channels: int = 1) -> bytes:
    """The audio of these words, the same on each channel."""
    words = (array("h", [number]) * (WORD_SAMPLES * channels) for number in range(first, last + 1))
    return b"".join(word.tobytes() for word in words)


class Channel:
    """What is heard on one channel. Places are in samples."""

    def __init__(self, number: int, every: int, pause: int = 0) -> None:
        """`every`: a Results becomes final at each word that can be divided by it. `pause`: that ends an utterance."""
        self.number = number
        self.every = every
        self.heard = 0
        self.final = 0  # where the next Results begins
        self.words: list[tuple[int, int, int]] = []  # number, start, end, since the last final
        self.events: list[tuple[str, int]] = []  # what is to be said of speech, and when it was
        self._pause = pause
        self._word = 0
        self._begun = 0
        self._spoken: int | None = None  # where the utterance's last word ended
        self._quiet = True

    def hear(self, samples: "array[int]") -> None:
        pos = 0
        while pos < len(samples):
            number = samples[pos]
            if not number:  # silence
                pos += 1
                self.heard += 1
                self._quiet = True
                if self._spoken is not None and self.heard - self._spoken == self._pause:
                    self.events.append(("UtteranceEnd", self._spoken))
                    self._spoken = None
                continue
            if self._quiet:
                self.events.append(("SpeechStarted", self.heard))
                self._quiet = False
            if number != self._word:
                self._word, self._begun = number, self.heard
            left = WORD_SAMPLES - (self.heard - self._begun)
            end = min(pos + left, len(samples))
            end = bisect_left(samples, number + 1, pos, end)  # the numbers only rise
            self.heard += end - pos
            pos = end
            if self.heard - self._begun == WORD_SAMPLES or pos < len(samples):
                self.words.append((number, self._begun, self.heard))
                self._word, self._spoken = 0, self.heard

    def cut(self) -> None:
        """A word that is under way ends here."""
        if self._word and self.heard > self._begun:
            self.words.append((self._word, self._begun, self.heard))
            self._word = 0


class Speech:
    """One stream's audio, and what is to be said of it."""

    def __init__(
        self, channels: int, *, multichannel: bool, vad_events: bool = False, pause: int = 0, rate: int = RATE
    ) -> None:
        """`pause`: the samples of silence that end an utterance; 0: nothing is said of that. `rate`: a second's."""
        self.width = channels
        self._rate = rate
        self._vad_events = vad_events
        self.channels = [Channel(number, 4 + 3 * number, pause) for number in range(channels if multichannel else 1)]
        self._rest = b""
        self.samples = 0

    def hear(self, data: bytes) -> list[dict[str, Any]]:
        data = self._rest + data
        whole = len(data) // (2 * self.width) * 2 * self.width
        self._rest = data[whole:]
        samples = array("h", data[:whole])
        self.samples += len(samples) // self.width
        said = []
        for channel in self.channels:
            before = len(channel.words)
            channel.hear(samples[channel.number :: self.width])
            events, channel.events = channel.events, []
            said += [
                self._event(channel, *event) for event in events if event[0] == "SpeechStarted" and self._vad_events
            ]
            if len(channel.words) > before:
                said += self._said(channel)
            said += [self._event(channel, *event) for event in events if event[0] == "UtteranceEnd"]
        return said

    def _event(self, channel: Channel, kind: str, at: int) -> dict[str, Any]:
        time = "timestamp" if kind == "SpeechStarted" else "last_word_end"
        return {"type": kind, "channel": [channel.number, len(self.channels)], time: at / self._rate}

    def _said(self, channel: Channel) -> list[dict[str, Any]]:
        ends = [at for at, (number, _, _) in enumerate(channel.words) if number % channel.every == 0]
        said = []
        if ends:
            rest = channel.words[ends[-1] + 1 :]
            channel.words = channel.words[: ends[-1] + 1]
            said.append(self.results(channel, channel.words[-1][2], final=True))
            channel.words = rest
        if channel.words:
            said.append(self.results(channel, channel.heard))
        return said

    def results(self, channel: Channel, end: int, *, final: bool = False, finalized: bool = False) -> dict[str, Any]:
        words = [
            {"word": f"{n}", "start": start / self._rate, "end": stop / self._rate} for n, start, stop in channel.words
        ]
        start = channel.final
        if final:
            channel.final, channel.words = end, []
        transcript = " ".join(str(word["word"]) for word in words)
        return {
            "type": "Results",
            "channel_index": [channel.number, len(self.channels)],
            "start": start / self._rate,
            "duration": (end - start) / self._rate,
            "is_final": final,
            "speech_final": final,
            "from_finalize": finalized,
            "channel": {"alternatives": [{"transcript": transcript, "confidence": 0.98760, "words": words}]},
        }

    def rest(self, *, finalized: bool = False) -> list[dict[str, Any]]:
        """Everything is final."""
        for channel in self.channels:
            channel.cut()
        return [self.results(channel, channel.heard, final=True, finalized=finalized) for channel in self.channels]

    def metadata(self, request_id: str) -> dict[str, Any]:
        return {
            "type": "Metadata",
            "request_id": request_id,
            "duration": self.samples / self._rate,
            "channels": len(self.channels),
        }


class WordServer:
    """The server. `faulty` makes every stream that is open now end in that way."""

    def __init__(self, capacity: int = 1000) -> None:
        self.capacity = self._places = capacity
        self.draining = False
        self.silent: str = ""  # a fault for every stream to come: "full", "mute-commands"
        self.port = 0
        self.opened = 0
        self.cut = 0  # so many streams to come are cut as soon as they are open
        self.requests: list[web.Request] = []
        self.texts: list[str] = []
        self._open: dict[web.WebSocketResponse, web.Request] = {}
        self._runner: web.AppRunner | None = None
        self._awake = asyncio.Event()
        self._awake.set()

    @property
    def streams(self) -> int:
        return len(self._open)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/v1/listen", self._listen)
        app.router.add_get("/v1/listen/pcm", self._listen)
        app.router.add_get("/stats", self._stats)
        app.router.add_post("/fault", self._fault)
        return app

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> "WordServer":
        self._runner = web.AppRunner(self.app(), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port or self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        self._awake.set()
        await self.faulty("reset")
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _stats(self, _request: web.Request) -> web.Response:
        await self._awake.wait()
        return web.json_response({"capacity": self.capacity, "used": self.streams, "draining": self.draining})

    async def _fault(self, request: web.Request) -> web.Response:
        await self.faulty(request.query["kind"])
        return web.json_response({})

    async def faulty(self, kind: str) -> None:
        """Do this to every stream that is open."""
        if kind == "full":
            self.capacity = 0
        if kind == "room":
            self.capacity = self._places
        if kind == "hang":
            self._awake.clear()
        for socket, request in list(self._open.items()):
            transport = request.transport
            if transport is None:
                continue
            if kind in {"reset", "full"}:
                transport.abort()
            elif kind == "hang":
                transport.pause_reading()
            elif kind == "garbage":
                transport.write(b"\xff" * 64)
            elif kind == "half-close":
                transport.write_eof()
            elif kind == "half a message":
                transport.write(b'\x81\x7e\x10\0{"type":"Results","is_final":true,"duration":')
                transport.close()
            elif kind.isdigit():
                with suppress(Exception):
                    await socket.close(code=int(kind), message=b"a fault")

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        await self._awake.wait()
        if self.streams >= self.capacity:
            return web.json_response({"err_msg": "full"}, status=503)
        self.requests.append(request)
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        self._open[socket] = request
        self.opened += 1
        if self.cut:
            self.cut -= 1
            await self.faulty("reset")
        try:
            await self._stream(socket, request)
        except (ConnectionError, RuntimeError):
            pass  # a fault came between
        finally:
            self._open.pop(socket, None)
        return socket

    async def _stream(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        query, request_id = request.query, request.headers.get("dg-request-id", "")
        rate = int(query.get("sample_rate", RATE))
        speech = Speech(
            int(query.get("channels", "1")),
            rate=rate,
            multichannel=query.get("multichannel") == "true",
            vad_events=query.get("vad_events") == "true",
            pause=int(query.get("utterance_end_ms", "0")) * rate // 1000,
        )

        async def say(messages: list[dict[str, Any]]) -> None:
            for message in messages:
                await self._awake.wait()
                await socket.send_str(json.dumps(message))

        await say([speech.metadata(request_id)])
        async for message in socket:
            await self._awake.wait()
            if message.type is WSMsgType.BINARY and message.data:
                await say(speech.hear(message.data))
                continue
            command = json.loads(message.data)["type"] if message.type is WSMsgType.TEXT else "CloseStream"
            self.texts.append(command)
            if self.silent == "commands" and command in {"Finalize", "CloseStream"}:
                continue
            if command == "Finalize":
                await say(speech.rest(finalized=True))
            elif command == "CloseStream":
                await say([*speech.rest(), speech.metadata(request_id)])
                await socket.close(code=1000)
                return

    async def restart(self) -> None:
        """What SIGTERM does: everything heard becomes final, and each stream is closed with 1012."""
        self.draining = True
        await self.faulty("1012")


async def serve(server: WordServer, port: int) -> None:
    """Run it as a process does, until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await server.start(port)
    await stop.wait()
    await server.restart()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(serve(WordServer(), int(sys.argv[1])))
