import asyncio
from collections.abc import Awaitable, Callable

import pytest
from yarl import URL

from onebox.ports import free_port
from ws_proxy.websocket.connect import ConnectFailed, NoResponse, Refused, open_websocket
from ws_proxy.websocket.dns_cache import DnsCache
from ws_proxy.websocket.handshake import InvalidHandshake, upgrade_response

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def opened(handler: Handler) -> bytes:
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
            URL(f"ws://127.0.0.1:{port}/v1/listen?a=b"), {"X-A": "1"}, connect_seconds=2, response_seconds=0.3
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
        await opened(handler)


async def test_a_connection_closed_before_a_response_has_failed() -> None:
    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    with pytest.raises(ConnectFailed):
        await opened(handler)


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


async def test_a_server_that_moved_is_found_although_its_old_address_is_remembered() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(upgrade_response(key_in(await reader.readuntil(b"\r\n\r\n")), {}))
        await writer.drain()
        await reader.read()
        writer.close()

    responses = [["127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1"]]

    async def lookup(_host: str, _port: int) -> list[str]:
        return responses.pop(0)

    dns = DnsCache(600, lookup=lookup)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await dns.addresses("stt.internal", port)
        for _ in range(2):
            found = await open_websocket(
                URL(f"ws://stt.internal:{port}/"), {}, connect_seconds=2, response_seconds=2, dns=dns
            )
            assert found.transport.get_extra_info("peername")[0] == "127.0.0.1"
            found.transport.abort()
    assert len(responses) == 1


async def test_a_name_that_is_not_resolved_in_time_is_a_failed_connection() -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(ConnectFailed, match=r"within 0\.05 s"):
        await open_websocket(
            URL("ws://stt.internal:1/"), {}, connect_seconds=0.05, response_seconds=1, dns=DnsCache(lookup=lookup)
        )
