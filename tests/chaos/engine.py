"""A stand-in for the STT server that says checkable words as fast as audio comes: a millisecond is 32 bytes.

The real recogniser would be the bottleneck of the machine. The wire is the same; uploads get their duration alone.
"""

import asyncio
import sys
from typing import Final

from aiohttp import ClientSession, web

from tests.fakes.words import WordServer, serve

BYTES_PER_MS: Final = 32  # 16 kHz, 16 bit, mono


class Engine(WordServer):
    """Live streams of words, and uploads."""

    def app(self) -> web.Application:
        app = super().app()
        app.router.add_post("/v1/listen", _transcribe)
        return app


async def _transcribe(request: web.Request) -> web.Response:
    heard = 0
    if request.content_type == "application/json":
        # As the real one: the proxy has judged the URL, the server fetches it.
        async with ClientSession() as session, session.get((await request.json())["url"]) as audio:
            heard = len(await audio.read())
    else:
        async for chunk in request.content.iter_any():
            heard += len(chunk)
    response = {"metadata": {"duration": heard // BYTES_PER_MS / 1000, "channels": 1}, "results": {"channels": []}}
    return web.json_response(response)


if __name__ == "__main__":
    asyncio.run(serve(Engine(), int(sys.argv[1])))
