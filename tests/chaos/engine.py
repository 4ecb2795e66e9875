"""A stand-in for the STT server that reports exact durations as fast as audio comes: a millisecond is 32 bytes.

The real recogniser would be the bottleneck of the machine, and its words do not matter here. The wire is the same.
"""

import json
import os
from typing import Any, Final

from aiohttp import ClientSession, WSMsgType, web

BYTES_PER_MS: Final = 32  # 16 kHz, 16 bit, mono


def make_app() -> web.Application:
    """The live wire, uploads and the health that proxies look at."""
    app = web.Application(client_max_size=64 << 20)
    app.router.add_get("/v1/listen", _listen)
    app.router.add_post("/v1/listen", _transcribe)
    for path in ("/stats", "/healthz"):
        app.router.add_get(path, _stats)
    return app


async def _stats(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _listen(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=0, compress=False)
    await socket.prepare(request)
    heard = 0
    await socket.send_str(_metadata(0))
    async for message in socket:
        if message.type is WSMsgType.BINARY and message.data:
            heard += len(message.data)
            await socket.send_str(_results(heard))
        elif message.type is WSMsgType.BINARY or message.data == '{"type":"CloseStream"}':
            await socket.send_str(_metadata(heard))
            await socket.close(code=1000)
    return socket


async def _transcribe(request: web.Request) -> web.Response:
    heard = 0
    if request.content_type == "application/json":
        # As the real one: the proxy has judged the URL, the server fetches it.
        async with ClientSession() as session, session.get((await request.json())["url"]) as audio:
            heard = len(await audio.read())
    else:
        async for chunk in request.content.iter_any():
            heard += len(chunk)
    response = {"metadata": {"duration": seconds(heard), "channels": 1}, "results": {"channels": []}}
    return web.json_response(response)


def seconds(heard: int) -> float:
    """The duration of this many bytes, whole milliseconds."""
    return heard // BYTES_PER_MS / 1000


def _metadata(heard: int) -> str:
    return json.dumps({"type": "Metadata", "duration": seconds(heard), "channels": 1})


def _results(heard: int) -> str:
    alternatives: list[Any] = [{"transcript": "words", "confidence": 1.0, "words": []}]
    return json.dumps(
        {
            "type": "Results",
            "channel_index": [0, 1],
            "start": 0.0,
            "duration": seconds(heard),
            "is_final": True,
            "channel": {"alternatives": alternatives},
        }
    )


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(os.environ["PORT"]), print=lambda *_: None, access_log=None)
