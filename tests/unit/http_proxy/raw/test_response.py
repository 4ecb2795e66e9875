"""Whole responses are what aiohttp would send."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from aldea import errors
from aldea.service.server import ServiceRunner
from http_proxy.raw.response import as_bytes

ID = "0190a5e2-0000-7000-8000-00000000000a"


def closing() -> web.Response:
    response = errors.BadRequest("no").response(ID)
    response.force_close()
    return response


@pytest.mark.parametrize(
    "make",
    [
        lambda: errors.ServiceUnavailable("Try again.", retry_after=3).response(ID),
        lambda: web.json_response({"request_id": ID}, headers={"dg-request-id": ID}),
        lambda: web.Response(status=422, body=b"\xff", headers={"Content-Type": "audio/wav", "Server": "x"}),
        lambda: web.Response(status=400, body=b"x"),
        lambda: web.Response(status=400),
        closing,
    ],
)  # fmt: skip
async def test_it_is_what_aiohttp_sends(make: Callable[[], web.Response]) -> None:
    async def handler(_request: web.Request) -> web.Response:
        response = make()
        response.headers.setdefault("Server", "aldea")
        response.headers["Date"] = "now"
        return response

    app = web.Application()
    app.router.add_post("/", handler)
    runner = ServiceRunner(app, handle_signals=False, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        writer.write_eof()
        sent = await reader.read()
        writer.close()
    finally:
        await runner.cleanup()
    response = make()
    response.headers.setdefault("Server", "aldea")
    response.headers["Date"] = "now"
    assert as_bytes(response, keep_alive=response.keep_alive is not False) == sent


def test_a_date_and_a_server_are_added() -> None:
    found = as_bytes(web.Response(text="x"), keep_alive=True)
    assert b"\r\nDate: " in found
    assert b"\r\nServer: aldea\r\n" in found
    assert b"Connection" not in found
