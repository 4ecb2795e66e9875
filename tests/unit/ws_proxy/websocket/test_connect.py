import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest
from yarl import URL

from onebox.ports import free_port
from ws_proxy.websocket.connect import ConnectFailed, NoResponse, Refused, _Opening, open_websocket
from ws_proxy.websocket.handshake import InvalidHandshake, upgrade_response

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def opened(handler: Handler, response_seconds: float = 60.0) -> bytes:
    """Open a WebSocket to a scripted server; what came behind the handshake."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await open_websocket(
            URL(f"ws://127.0.0.1:{port}/v1/listen?a=b"),
            {"X-A": "1"},
            connect_seconds=60,
            response_seconds=response_seconds,
        )
        found.transport.abort()
        return found.early


def key_in(head: bytes) -> str:
    return next(line.split(": ")[1] for line in head.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key"))


async def test_an_open_websocket_hands_over_what_came_behind_the_response() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"X-A: 1" in head
        writer.write(upgrade_response(key_in(head), {}) + b"\x81\x02hi")
        await writer.drain()
        await reader.read()

    assert await opened(handler) == b"\x81\x02hi"


async def test_a_closed_port_is_a_failed_connection() -> None:
    url = URL(f"ws://127.0.0.1:{free_port()}/")
    with pytest.raises(ConnectFailed):
        await open_websocket(url, {}, connect_seconds=2, response_seconds=1)


async def test_silence_is_no_response() -> None:
    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(NoResponse):
        await opened(handler, response_seconds=0.3)


async def test_a_connection_closed_before_a_response_has_failed() -> None:
    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    with pytest.raises(ConnectFailed):
        await opened(handler)


async def test_a_connection_that_is_lost_when_nobody_waits_for_it_any_more_is_no_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    reported: list[object] = []
    monkeypatch.setattr(loop, "call_exception_handler", reported.append)
    opening = _Opening("key", loop)
    opening.connection_lost(None)
    await asyncio.sleep(0)  # callbacks of a future are scheduled
    del opening
    gc.collect()
    assert reported == []


async def test_another_status_is_a_refusal_and_nonsense_an_invalid_handshake() -> None:
    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()

    with pytest.raises(Refused) as refused:
        await opened(refuses)
    assert (refused.value.refusal.status, refused.value.refusal.body) == (503, b"no")

    async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00\x01\x02 what?\r\n\r\n")
        await writer.drain()

    with pytest.raises(InvalidHandshake):
        await opened(babbles)


async def test_the_connection_goes_to_the_given_address_and_the_request_to_the_name() -> None:
    seen = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.readuntil(b"\r\n\r\n")
        writer.write(upgrade_response(key_in(seen), {}))
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = URL(f"ws://stt.invalid:{port}/v1/listen")
        found = await open_websocket(url, {}, connect_seconds=5, response_seconds=5, host="127.0.0.1")
        found.transport.abort()
    assert f"Host: stt.invalid:{port}\r\n".encode() in seen


async def test_a_name_that_does_not_exist_is_a_failed_connection() -> None:
    with pytest.raises(ConnectFailed):
        await open_websocket(URL("ws://stt.invalid:1/"), {}, connect_seconds=5, response_seconds=1)
