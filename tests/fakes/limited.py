"""A stand-in deployment that carries a known number of streams and refuses every further one."""

import json
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

BYTES_PER_SECOND = 16_000


@dataclass
class LimitedPlatform:
    """`carries` streams at a time; `closes`: the code that a stream is closed with at its first audio, if any."""

    carries: int
    closes: int = 0
    speechless: bool = False
    running: int = 0
    most: int = 0
    refused: int = 0
    uploads: int = 0
    keys: set[str] = field(default_factory=set)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/listen", self._live)
        app.router.add_post("/v1/listen", self._upload)
        return app

    async def _live(self, request: web.Request) -> web.StreamResponse:
        self.keys.add(request.headers["Authorization"])
        if self.running >= self.carries:
            self.refused += 1
            return web.Response(status=503, headers={"Retry-After": "1", "dg-error": "No room."})
        self.running += 1
        self.most = max(self.most, self.running)
        released = False
        socket = web.WebSocketResponse()
        try:
            await socket.prepare(request)
            heard = 0
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    heard += len(message.data)
                    if self.closes:
                        break
                    if not self.speechless:
                        await socket.send_json(_results(heard))
                elif json.loads(message.data)["type"] == "CloseStream":
                    await socket.send_json({"type": "Metadata", "duration": heard / BYTES_PER_SECOND})
                    break
            # The place is free before the client knows that its stream has ended.
            self.running -= 1
            released = True
            await socket.close(code=self.closes or 1000)
        finally:
            if not released:
                self.running -= 1
        return socket

    async def _upload(self, request: web.Request) -> web.Response:
        await request.read()
        self.uploads += 1
        alternatives = [{"transcript": "words"}]
        return web.json_response(
            {"metadata": {"duration": 1.0}, "results": {"channels": [{"alternatives": alternatives}]}}
        )


def _results(heard: int) -> dict[str, object]:
    return {
        "type": "Results",
        "is_final": True,
        "start": 0.0,
        "duration": heard / BYTES_PER_SECOND,
        "channel": {"alternatives": [{"transcript": "words"}]},
    }
