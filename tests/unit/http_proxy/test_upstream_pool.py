"""The pool of connections to STT servers: what is kept, for how long, and what is not used again."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from aldea.upstream import Upstreams
from http_proxy import upstream_pool
from http_proxy.upstream_connection import ConnectFailed, ConnectionBroken
from http_proxy.upstream_pool import MAX_IDLE, Pool
from tests.support.faults import server_certificate
from tests.unit.aldea.upstream.zones import Zone
from tests.unit.http_proxy.connections import exchange, plays, pool, target, whole
from tests.unit.http_proxy.servers import deaf_server, raw_server, read_request, response


async def test_a_connection_serves_one_request_after_another() -> None:
    seen: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append((await read_request(reader))[1])
            writer.write(response(b"{}"))

    async with raw_server(play) as port:
        server, connections = target(port), pool()
        first = await connections.acquire(server)
        for _ in range(5):
            connection = await connections.acquire(server) if seen else first
            assert connection is first
            _, body = await exchange(connection)
            assert await whole(body) == b"{}"
            connections.release(server, connection)
        assert seen == [b"audio"] * 5
        connections.close()


@pytest.mark.parametrize(
    "pieces",
    [
        (response(b"{}", headers=b"Connection: close\r\n"),),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",),
    ],
)
async def test_a_connection_that_the_server_will_close_is_not_kept(pieces: tuple[bytes, ...]) -> None:
    async with raw_server(plays(*pieces, close=False)) as port:
        server, connections = target(port), pool()
        connection = await connections.acquire(server)
        _, body = await exchange(connection)
        await whole(body)
        connections.release(server, connection)
        assert await connections.acquire(server) is not connection
        connections.close()


async def test_a_half_read_response_is_not_kept() -> None:
    async with raw_server(plays(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", close=False)) as port:
        server, connections = target(port), pool()
        connection = await connections.acquire(server)
        await exchange(connection)
        assert not connection.reusable
        connections.release(server, connection)
        assert await connections.acquire(server) is not connection
        connections.close()


async def test_a_connection_closed_while_idle_is_noticed_before_it_is_used() -> None:
    closed = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response(b"{}"))
        await closed.wait()

    async with raw_server(play) as port:
        server, connections = target(port), pool()
        connection = await connections.acquire(server)
        _, body = await exchange(connection)
        await whole(body)
        connections.release(server, connection)
        assert not connection.stale()
        closed.set()
        async with asyncio.timeout(60):
            while not connection.stale():
                await asyncio.sleep(0)
        assert await connections.acquire(server) is not connection
        connections.close()


async def test_a_loss_just_after_reuse_is_known_to_have_reached_nothing() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response(b"{}"))
        await reader.read(1)

    async with raw_server(play) as port:
        server, connections = target(port), pool()
        connection = await connections.acquire(server)
        _, body = await exchange(connection)
        await whole(body)
        connections.release(server, connection)
        with pytest.raises(ConnectionBroken) as caught:
            await exchange(await connections.acquire(server))
        assert caught.value.unused
        connections.close()


async def test_idle_connections_are_closed_after_their_time() -> None:
    async with raw_server(plays(response(b"{}"), close=False)) as port:
        server, connections = target(port), pool(idle_seconds=0.02)
        connection = await connections.acquire(server)
        _, body = await exchange(connection)
        await whole(body)
        connections.release(server, connection)
        async with asyncio.timeout(60):
            while connection.transport is not None:
                await asyncio.sleep(0.005)


async def test_no_more_than_so_many_idle_connections_are_kept() -> None:
    async with raw_server(plays(response(b"{}"), close=False)) as port:
        server, connections = target(port), pool()
        taken = [await connections.acquire(server) for _ in range(MAX_IDLE + 3)]
        for connection in taken:
            _, body = await exchange(connection)
            await whole(body)
        for connection in taken:
            connections.release(server, connection)
        await asyncio.sleep(0)
        assert len([c for c in taken if c.transport is not None and not c.transport.is_closing()]) == MAX_IDLE
        connections.close()


async def test_no_connection_is_one_clear_failure() -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    with pytest.raises(ConnectFailed, match="Refused"):
        await pool().acquire(target(port))
    with pytest.raises(ConnectFailed):
        await pool().acquire(Upstreams(["http://name.invalid:1"]).servers[0])


async def test_a_server_that_acknowledges_no_syn_is_given_up_at_the_connect_deadline() -> None:
    with deaf_server() as port:
        async with asyncio.timeout(60):
            with pytest.raises(ConnectFailed, match=r"^no connection within 0\.2 s$"):
                await Pool(connect_seconds=0.2, idle_seconds=5).acquire(target(port))


async def test_connections_go_to_the_address_of_each_server_and_are_kept_for_it() -> None:
    async with raw_server(plays(response(b"{}"), close=False)) as port:
        upstreams = Upstreams([f"http://stt:{port}"], lookup=Zone(stt=["127.0.0.1", "127.0.0.2"]))
        await upstreams.renew()
        one, two = upstreams.servers
        connections = pool()
        connection = await connections.acquire(one)
        assert connection.transport is not None
        assert connection.transport.get_extra_info("peername")[0] == "127.0.0.1"
        _, body = await exchange(connection)
        await whole(body)
        connections.release(one, connection)
        with pytest.raises(ConnectFailed):
            await connections.acquire(two)  # nobody listens there, and the other one's connection is not for it
        assert await connections.acquire(one) is connection
        connection.abort()
        connections.close()


async def test_a_certificate_has_to_be_for_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_side, certificate = server_certificate(tmp_path)
    monkeypatch.setattr(upstream_pool, "trust", lambda: ssl.create_default_context(cafile=str(certificate)))
    serving = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=server_side)
    async with serving:
        port = serving.sockets[0].getsockname()[1]
        for name in ("stt.test", "other.test"):
            upstreams = Upstreams([f"https://{name}:{port}"], lookup=Zone(**{name: ["127.0.0.1"]}))
            await upstreams.renew()
            if name == "stt.test":
                (await pool().acquire(upstreams.servers[0])).abort()
            else:
                with pytest.raises(ConnectFailed, match="certificate"):
                    await pool().acquire(upstreams.servers[0])
