"""A stand-in for an STT server, for faults that a real one would not show on demand.

It speaks the live wire with durations counted from PCM bytes (16 kHz, 16 bit), and misbehaves as the stream's query
says: `?fault=…`. `python -m tests.fakes.stt PORT [PLACES]` runs it as a process of its own.
"""

import asyncio
import base64
import hashlib
import json
import signal
import ssl
import sys
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

BYTES_PER_SECOND = 32_000


class FakeStt:
    """The server and what it saw: requests' headers, messages, close codes."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.texts: list[str] = []
        self.close_codes: list[int | None] = []
        self.audio_bytes = 0
        self.open = 0
        self.url = ""
        self.stats: dict[str, Any] = {}  # what it says of itself beside its open streams
        self.places: int | None = None  # its capacity, if it says so
        self.probes = 0
        self._runner: web.AppRunner | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._stopping = asyncio.Event()  # who reads nothing does not notice that its peer has left

    async def start(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> "FakeStt":
        app = web.Application()
        for path in ("/v1/listen", "/v1/listen/pcm", "/v2/listen"):
            app.router.add_get(path, self._listen)
        app.router.add_get("/stats", self._stats)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls).start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.sleep(0)
        for socket in list(self._sockets):
            with suppress(Exception):
                closing = socket.close(code=WSCloseCode.GOING_AWAY)
                await asyncio.wait_for(closing, 1)  # a peer that does not reply is left
        if self._runner is not None:
            await self._runner.cleanup()

    async def _stats(self, _request: web.Request) -> web.Response:
        self.probes += 1
        places = {} if self.places is None else {"capacity": self.places, "used": self.open}
        return web.json_response({"streams": self.open, **places, **self.stats})

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        fault = request.query.get("fault", "")
        if fault == "500":
            return web.Response(status=500)
        if fault == "busy":
            wait = request.query.get("wait", "7")
            return web.json_response({"err_msg": "busy"}, status=503, headers={"Retry-After": wait})
        if fault == "bad-parameters":
            return web.json_response({"err_msg": "sample_rate: got 7"}, status=400)
        if fault == "no-response":
            while request.transport is not None and not request.transport.is_closing():
                await asyncio.sleep(0.01)
            return web.Response()
        if fault == "slow-response":
            await asyncio.sleep(0.3)
        if fault in {"wrong-key", "garbage", "garbage-later"}:
            return await self._raw(request, fault)
        socket = web.WebSocketResponse(autoping=True, max_msg_size=0, compress=False)
        await socket.prepare(request)
        self._sockets.add(socket)
        self.open += 1
        try:
            await self._stream(socket, request, fault)
        finally:
            self.open -= 1
            self._sockets.discard(socket)
            self.close_codes.append(socket.close_code)
        return socket

    async def _stream(self, socket: web.WebSocketResponse, request: web.Request, fault: str) -> None:
        heard = 0
        await socket.send_str(json.dumps(self._metadata(0, request)))
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data:
                heard += len(message.data)
                self.audio_bytes += len(message.data)
                if fault == "die":
                    assert request.transport is not None
                    request.transport.abort()
                    return
                if fault == "close":
                    await socket.close(code=1008, message=b"DATA-0000 undecodable")
                    return
                if fault == "deaf":
                    assert request.transport is not None
                    request.transport.pause_reading()
                    await self._stopping.wait()
                    request.transport.abort()
                    return
                if fault == "flood":
                    while not socket.closed:
                        await socket.send_str(json.dumps(self._results(heard, "x" * 4000)))
                if request.path == "/v2/listen":
                    await socket.send_str(json.dumps(self._turn_info(heard, "words")))
                elif fault != "mute":
                    await socket.send_str(json.dumps(self._results(heard, "words")))
            elif message.type is WSMsgType.BINARY or message.data == '{"type":"CloseStream"}':
                self.texts.append("CloseStream")
                if fault != "never-finishes":
                    await socket.send_str(json.dumps(self._results(heard, "last words")))
                    await socket.send_str(json.dumps(self._metadata(heard, request)))
                    await socket.close(code=1000)
                    return
            elif message.type is WSMsgType.TEXT:
                self.texts.append(message.data)
                if message.data == '{"type":"Finalize"}':
                    await socket.send_str(json.dumps(self._results(heard, "words") | {"from_finalize": True}))

    def _metadata(self, heard: int, request: web.Request) -> dict[str, Any]:
        return {
            "type": "Metadata",
            "request_id": request.headers.get("dg-request-id", ""),
            "duration": heard / BYTES_PER_SECOND,
            "channels": 1,
        }

    def _results(self, heard: int, words: str) -> dict[str, Any]:
        alternatives = [{"transcript": words, "confidence": 1.0, "words": []}]
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "start": 0.0,
            "duration": heard / BYTES_PER_SECOND,
            "is_final": True,
            "channel": {"alternatives": alternatives},
        }

    def _turn_info(self, heard: int, words: str) -> dict[str, Any]:
        return {
            "type": "TurnInfo",
            "event": "Update",
            "audio_window_start": 0.0,
            "audio_window_end": heard / BYTES_PER_SECOND,
            "transcript": words,
        }

    async def _raw(self, request: web.Request, fault: str) -> web.StreamResponse:
        """Writes below aiohttp: what no honest server would send."""
        transport = request.transport
        assert transport is not None
        accept = hashlib.sha1(request.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        key = base64.b64encode(accept.digest()) if fault == "garbage-later" else b"d3Jvbmc="
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        response = b"\xff\xfe nonsense \x00" * 20 if fault == "garbage" else head + b"Sec-WebSocket-Accept: " + key
        transport.write(response + b"\r\n\r\n")
        if fault == "garbage-later":
            transport.write(b"\xff" * 64)
        await asyncio.sleep(0.2)
        transport.abort()
        return web.Response()


async def _serve(port: int, *places: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await FakeStt().start(port)
    server.places = places[0] if places else None
    await stop.wait()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:])))
