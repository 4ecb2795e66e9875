"""Which server is used, and when a second one may be."""

import asyncio
from typing import Any

import pytest

from aldea import errors
from aldea.upstream import FAILURES_TO_OPEN, Upstreams
from http_proxy.failover import Failover
from http_proxy.upload import UploadBroken
from http_proxy.upstream_pool import Pool
from onebox.ports import free_port
from tests.unit.http_proxy.connections import whole
from tests.unit.http_proxy.servers import Play, raw_server, read_head, read_request, response, silent

HEAD = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"


class Body:
    """An upload in memory: pieces, each of which may be an error."""

    at_hand = False

    def __init__(self, *pieces: bytes | Exception, length: int | None = 5, replayable: bool = True) -> None:
        self._pieces = list(pieces)
        self.length = length
        self.replayable = replayable
        self.kept: list[bytes] = []
        self.complete = False

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        self.kept.append(piece)
        self.complete = not self._pieces
        return piece

    def interrupt(self) -> None:
        return

    def resume(self) -> None:
        return


class Interrupted(Body):
    """An upload of which no more comes before the server's response."""

    def __init__(self, *pieces: bytes, length: int | None) -> None:
        super().__init__(*pieces, length=length)
        self._responded = asyncio.Event()

    async def read(self) -> bytes:
        if self._pieces:
            piece = await super().read()
            self.complete = False
            return piece
        await self._responded.wait()
        return b""

    def interrupt(self) -> None:
        self._responded.set()


def failover(upstreams: Upstreams, body: Body, **deadlines: float) -> Failover:
    upload: Any = body
    pool = Pool(connect_seconds=5, idle_seconds=5)
    return Failover(
        upstreams, pool, upload, lambda _server: HEAD, **{"first_byte_seconds": 10, "stall_seconds": 10, **deadlines}
    )


def lane(*ports: int) -> Upstreams:
    return Upstreams([f"http://127.0.0.1:{port}" for port in ports])


def serves(reply: bytes, seen: list[bytes]) -> Play:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await read_request(reader))[1])
        writer.write(reply)

    return play


async def dies_late(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def test_the_first_server_is_used_and_its_connection_kept() -> None:
    seen: list[bytes] = []
    async with raw_server(serves(response(b"{}"), seen)) as port:
        upstreams = lane(port)
        subject = failover(upstreams, Body(b"au", b"dio"))
        found = await subject.request()
        assert (found.head.code, await whole(found.body)) == (200, b"{}")
        assert subject.server is upstreams.servers[0]
        assert seen == [b"audio"]
        subject.close()
        subject.close()


async def test_a_chunked_body_ends_with_its_last_chunk() -> None:
    received: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        received.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(response(b"{}"))

    async with raw_server(play) as port:
        upstreams = lane(port)
        subject = failover(upstreams, Body(b"aud", b"io", length=None))
        assert (await subject.request()).head.code == 200
        assert received == [b"3\r\naud\r\n2\r\nio\r\n0\r\n\r\n"]
        subject.close()


async def test_a_server_lost_in_the_body_is_replaced_only_while_the_body_can_be_sent_again() -> None:
    seen: list[bytes] = []

    class Waiting(Body):
        async def read(self) -> bytes:
            if len(self.kept) == 1:
                await asyncio.wait_for(lost.wait(), 60)
                await asyncio.sleep(0.05)  # the loss must reach the transport; if it has not, nothing fails falsely
            return await super().read()

    lost = asyncio.Event()

    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.transport.abort()
        lost.set()

    async with raw_server(dies) as first, raw_server(serves(response(b"{}"), seen)) as second:
        upstreams = lane(first, second)
        subject = failover(upstreams, Waiting(b"au", b"dio"))
        assert (await subject.request()).head.code == 200
        assert seen == [b"audio"]
        subject.close()
        with pytest.raises(errors.BadGateway):
            await failover(upstreams, Waiting(b"au", b"dio", replayable=False)).request()
        assert seen == [b"audio"]


async def test_a_server_lost_with_the_whole_body_is_not_replaced() -> None:
    seen: list[bytes] = []
    async with raw_server(dies_late) as first, raw_server(serves(response(b"{}"), seen)) as second:
        upstreams = lane(first, second)
        with pytest.raises(errors.BadGateway, match="lost"):
            await failover(upstreams, Body(b"audio")).request()
        assert seen == []


@pytest.mark.parametrize("status", ["503 Full", "429 Full"])
async def test_a_server_without_a_place_is_replaced_if_there_is_another_and_does_not_count_as_failing(
    status: str,
) -> None:
    seen: list[bytes] = []
    full = serves(response(b"{}", status=status), [])
    code = int(status[:3])
    async with raw_server(full) as first, raw_server(serves(response(b"{}"), seen)) as second:
        for _ in range(FAILURES_TO_OPEN + 1):
            upstreams = lane(first, second)
            subject = failover(upstreams, Body(b"audio"))
            assert (await subject.request()).head.code == 200
            subject.close()
            assert upstreams.servers[0].healthy
            assert upstreams.candidates()[0] is upstreams.servers[1], "the next request goes past the full one"
        subject = failover(lane(first), Body(b"audio"))
        assert (await subject.request()).head.code == code, "the last one's own word"
        subject.close()
        subject = failover(lane(first, second), Body(b"audio", replayable=False))
        assert (await subject.request()).head.code == code
        subject.close()


async def test_a_server_without_a_place_before_one_that_is_down_means_come_back_and_not_that_all_are_down() -> None:
    full = serves(response(b"{}", status="503 Full", headers=b"Retry-After: 7\r\n"), [])
    async with raw_server(full) as first:
        subject = failover(lane(first, free_port()), Body(b"audio"))
        with pytest.raises(errors.ServiceUnavailable, match="busy") as caught:
            await subject.request()
        subject.close()
    assert caught.value.retry_after == 7


async def test_a_request_counts_as_work_of_its_server_until_it_is_closed() -> None:
    async with raw_server(dies_late) as first, raw_server(serves(response(b"{}"), [])) as second:
        upstreams = lane(second, first)
        subject = failover(upstreams, Body(b"audio"))
        await subject.request()
        assert [server.held for server in upstreams.servers] == [1, 0]
        subject.close()
        subject.close()
        assert [server.held for server in upstreams.servers] == [0, 0]
        upstreams = lane(first)
        subject = failover(upstreams, Body(b"audio"))
        with pytest.raises(errors.BadGateway):
            await subject.request()
        subject.close()
        assert [server.held for server in upstreams.servers] == [0]


async def test_a_server_without_a_response_is_a_timeout() -> None:
    async with raw_server(silent) as port:
        upstreams = lane(port)
        with pytest.raises(errors.GatewayTimeout, match="callback"):
            await failover(upstreams, Body(b"audio"), first_byte_seconds=0.02).request()


async def test_a_server_that_takes_nothing_is_a_timeout() -> None:
    hold = asyncio.Event()

    async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await hold.wait()

    async with raw_server(deaf) as port:
        upstreams = lane(port)
        body = Body(*[b"x" * 1_000_000] * 30, length=30_000_000, replayable=False)
        with pytest.raises(errors.GatewayTimeout, match="took nothing"):
            await failover(upstreams, body, stall_seconds=0.05).request()


async def test_an_early_response_ends_the_wait_for_a_server_that_takes_no_more() -> None:
    body = Body(*[b"x" * 1_000_000] * 30, length=30_000_000, replayable=False)
    hold = asyncio.Event()

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        left = -1
        while left != len(body._pieces):  # until no more of it fits into any buffer
            left = len(body._pieces)
            await asyncio.sleep(0.1)
        writer.write(response(b"{}", status="413 Too Large"))
        await hold.wait()

    async with raw_server(early) as port:
        upstreams = lane(port)
        subject = failover(upstreams, body)
        async with asyncio.timeout(60):
            found = await subject.request()
        assert found.head.code == 413
        assert not body.complete
        subject.close()


async def test_a_connection_that_waits_for_the_rest_of_a_body_carries_no_other_request() -> None:
    seen: list[bytes] = []

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_head(reader))
        writer.write(response(b"{}", status="400 Bad"))
        seen.append(await reader.read())

    async with raw_server(early) as port:
        upstreams = lane(port)
        pool = Pool(connect_seconds=5, idle_seconds=5)
        for _ in range(2):
            upload: Any = Interrupted(b"au", length=5)
            subject = Failover(upstreams, pool, upload, lambda _server: HEAD, first_byte_seconds=10, stall_seconds=10)
            found = await subject.request()
            assert await whole(found.body) == b"{}"
            subject.close()
        async with asyncio.timeout(60):
            while len(seen) < 4:
                await asyncio.sleep(0)
        assert sorted(seen) == sorted([HEAD, b"au", HEAD, b"au"])
        pool.close()


async def test_a_fault_of_the_upload_passes_and_is_not_held_against_the_server() -> None:
    async with raw_server(dies_late) as port:
        upstreams = lane(port)
        subject = failover(upstreams, Body(b"au", UploadBroken("gone")))
        with pytest.raises(UploadBroken):
            await subject.request()
        assert upstreams.servers[0].healthy
        assert subject.connection is not None
        assert not subject.connection.reusable


async def test_no_server_at_all_is_a_bad_gateway() -> None:
    upstreams = Upstreams(["http://127.0.0.1:1"])
    with pytest.raises(errors.BadGateway) as caught:
        await failover(upstreams, Body(b"audio")).request()
    assert caught.value.retry_after
