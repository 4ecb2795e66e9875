import asyncio

from aldea.websocket.frames import BINARY, PING, PONG, TEXT, close_frame, frame
from aldea.websocket.leg import MAX_BUFFERED_BYTES
from aldea.websocket.relay import CLOSE_STREAM
from tests.unit.aldea.websocket.streams import Peer, relayed


def audio(payload: bytes = b"audio") -> bytes:
    return frame(BINARY, payload, masked=True)


async def answer(upstream: Peer, code: int = 1000, reason: str = "") -> None:
    """Do what a server does on CloseStream: last words, then its Close."""
    assert await upstream.frame() == (TEXT, CLOSE_STREAM)
    upstream.send(frame(TEXT, b'{"duration":1}', masked=False) + close_frame(code, reason, masked=False))


async def test_bytes_travel_both_ways_as_they_came() -> None:
    async with relayed() as (_, client, upstream):
        data = audio() + frame(TEXT, b"hello", masked=True)
        client.send(data)
        assert await upstream.reader.readexactly(len(data)) == data
        back = frame(TEXT, b"words", masked=False)
        upstream.send(back)
        assert await client.reader.readexactly(len(back)) == back


async def test_the_servers_close_reaches_the_client_behind_its_last_words() -> None:
    async with relayed() as (relay, client, upstream):
        upstream.send(frame(TEXT, b"last", masked=False) + close_frame(4000, "done", masked=False))
        assert await client.frame() == (TEXT, b"last")
        assert await client.closed_with() == (4000, "done")
        client.send(close_frame(4000, "done", masked=True))
        assert await upstream.closed_with() == (4000, "done")
        ending = await asyncio.wait_for(relay.ended, 5)
        assert (ending.initiator, ending.client_code, ending.reason) == ("upstream", 4000, "done")


async def test_a_clients_close_is_answered_and_the_server_finishes_first() -> None:
    async with relayed() as (relay, client, upstream):
        client.send(audio() + close_frame(4001, "bye", masked=True))
        assert await client.closed_with() == (4001, "bye")
        assert await upstream.frame() == (BINARY, b"audio")
        await answer(upstream)
        assert await upstream.closed_with() == (4001, "bye")
        ending = await asyncio.wait_for(relay.ended, 5)
        assert (ending.initiator, ending.client_code) == ("client", 4001)
        assert relay.upstream.scanner.report == b'{"duration":1}'


async def test_a_server_that_does_not_finish_gets_the_clients_close_after_the_deadline() -> None:
    async with relayed() as (relay, client, upstream):
        client.send(close_frame(1001, "", masked=True))
        assert await upstream.frame() == (TEXT, CLOSE_STREAM)
        assert (await upstream.closed_with())[0] == 1001
        await asyncio.wait_for(relay.ended, 5)


async def test_a_drain_waits_for_the_message_to_end_and_closes_with_its_own_code() -> None:
    async with relayed(boundary=5.0) as (relay, client, upstream):
        client.send(audio(b"x" * 300)[:100])
        await upstream.reader.readexactly(100)
        relay.drain(1012, "restart", 5.0)
        client.send(audio(b"x" * 300)[100:] + audio(b"too late"))
        await upstream.reader.readexactly(208)
        await answer(upstream)
        assert await client.frame() == (TEXT, b'{"duration":1}')
        assert await client.closed_with() == (1012, "restart")
        client.send(close_frame(1012, "", masked=True))
        ending = await asyncio.wait_for(relay.ended, 5)
        assert (ending.initiator, ending.client_code, ending.upstream_code) == ("proxy", 1012, 1000)


async def test_without_a_boundary_in_time_the_connections_are_cut() -> None:
    async with relayed() as (relay, client, upstream):
        client.send(audio(b"x" * 300)[:100])
        await upstream.reader.readexactly(100)
        relay.drain(1012, "restart", 5.0)
        ending = await asyncio.wait_for(relay.ended, 5)
        assert ending.initiator == "proxy"


async def test_our_own_end_tells_the_client_at_once_and_lets_the_server_report() -> None:
    async with relayed() as (relay, client, upstream):
        relay.end(1008, "revoked")
        assert await client.closed_with() == (1008, "revoked")
        await answer(upstream)
        client.send(close_frame(1008, "", masked=True))
        ending = await asyncio.wait_for(relay.ended, 5)
        assert (ending.initiator, ending.client_code, ending.reason) == ("proxy", 1008, "revoked")


async def test_a_violation_closes_both_sides() -> None:
    async with relayed() as (relay, client, upstream):
        client.send(audio() + b"\x83\x80\0\0\0\0")
        assert (await client.closed_with())[0] == 1002
        assert await upstream.frame() == (BINARY, b"audio")
        assert (await upstream.closed_with())[0] == 1002
        ending = await asyncio.wait_for(relay.ended, 5)
        assert (ending.initiator, ending.client_code) == ("client", 1002)


async def test_a_lost_server_is_1011_for_the_client() -> None:
    async with relayed() as (relay, client, upstream):
        upstream.abort()
        assert (await client.closed_with())[0] == 1011
        client.send(close_frame(1011, "", masked=True))
        ending = await asyncio.wait_for(relay.ended, 5)
        assert (ending.initiator, ending.client_code) == ("upstream", 1011)


async def test_a_lost_client_lets_the_server_finish() -> None:
    async with relayed() as (relay, client, upstream):
        client.abort()
        await answer(upstream)
        assert (await upstream.closed_with())[0] == 1000
        ending = await asyncio.wait_for(relay.ended, 5)
        assert (ending.initiator, ending.client_code) == ("client", 1006)
        assert relay.upstream.scanner.report == b'{"duration":1}'


async def test_a_silent_direction_gets_a_ping_whose_pong_is_not_passed_on() -> None:
    async with relayed(ping_after=1.0, pong_within=2.0) as (relay, client, upstream):
        relay.tick(relay.loop.time() + 1.5)
        opcode, payload = await client.frame()
        assert opcode == PING
        assert (await upstream.frame())[0] == PING
        client.send(frame(PONG, payload, masked=True) + frame(PONG, b"own", masked=True) + audio())
        assert await upstream.frame() == (PONG, b"own")
        assert await upstream.frame() == (BINARY, b"audio")


async def test_a_peer_that_answers_no_ping_is_lost() -> None:
    async with relayed(ping_after=1.0, pong_within=2.0) as (relay, client, _):
        now = relay.loop.time()
        relay.tick(now + 1.5)
        relay.tick(now + 4.0)
        ending = await asyncio.wait_for(relay.ended, 5)
        assert "ping" in ending.reason
        assert (await client.frame())[0] == PING


async def test_idleness_and_the_longest_duration_end_a_stream() -> None:
    for later, words in ((61.0, "NET-0001"), (10**6, "NET-0000")):
        async with relayed() as (relay, client, _):
            relay.tick(relay.loop.time() + later)
            code, reason = await client.closed_with()
            assert code == 1011
            assert reason.startswith(words)


async def test_a_client_that_reads_nothing_stops_the_server_within_the_bound() -> None:
    async with relayed(stall=1.0) as (relay, _client, upstream):
        for _ in range(4000):
            upstream.send(frame(TEXT, b"x" * 4000, masked=False))
        while relay.client.stalled_since is None:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        assert relay.client.transport is not None
        assert relay.client.transport.get_write_buffer_size() <= MAX_BUFFERED_BYTES
        assert upstream.writer.transport.get_write_buffer_size() > 0
        relay.tick(relay.loop.time() + 2.0)
        ending = await asyncio.wait_for(relay.ended, 5)
        assert "took no data" in ending.reason
