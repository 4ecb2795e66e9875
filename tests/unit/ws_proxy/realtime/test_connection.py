import json

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from ws_proxy.realtime.connection import KEEP_ALIVE, KEEP_ALIVE_SECONDS, Socket
from ws_proxy.realtime.translator import Translator


@pytest.mark.parametrize("size", [1001, 1 << 23])
async def test_an_event_that_is_too_large_is_named_before_the_close(size: int) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        socket = Socket(Translator("0192f0c1-0000-7000-8000-000000000001"), protocol=None, most=1000, close_seconds=5)
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    async with TestClient(TestServer(app)) as client, client.ws_connect("/") as socket:
        await socket.send_str("x" * size)
        message = await socket.receive()
        assert message.type is WSMsgType.TEXT
        assert json.loads(message.data)["error"]["code"] == "message_too_large"
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1009


def test_a_stream_is_kept_alive_well_within_the_servers_ten_seconds() -> None:
    assert KEEP_ALIVE_SECONDS * 2 < 10
    assert json.loads(KEEP_ALIVE) == {"type": "KeepAlive"}
