"""What the two connections of a stream are sent when its server is left and when another one takes over."""

import asyncio
from dataclasses import dataclass
from unittest.mock import Mock

import pytest

from ws_proxy.websocket.continuation import AudioShape, Continuation
from ws_proxy.websocket.frames import BINARY, CLOSE, TEXT, frame, mask_bytes
from ws_proxy.websocket.handover import Handover
from ws_proxy.websocket.leg import KeepingLeg, Leg, Side
from ws_proxy.websocket.scanner import FrameScanner
from ws_proxy.websocket.window import Budget

SOUND = frame(BINARY, bytes(3200), masked=True)
MORE = frame(BINARY, bytes(1600), masked=True)
FINAL = frame(TEXT, b'{"type":"Results","start":0,"duration":0.05,"is_final":true}', masked=False)


def transport() -> Mock:
    found = Mock(spec=asyncio.Transport)
    found.is_closing.return_value = False
    return found


def written(to: Mock) -> bytes:
    return b"".join(call.args[0] for call in to.write.call_args_list)


@dataclass
class Stream:
    handover: Handover
    client: KeepingLeg
    server: Leg
    to_client: Mock
    to_server: Mock


def leg(side: Side) -> KeepingLeg:
    scanner = FrameScanner(
        masked=side == "client", max_message_bytes=1 << 20, on_control=lambda _opcode, _payload: True, keep_reports=True
    )
    owner = Mock()
    owner.loop = asyncio.get_running_loop()
    return KeepingLeg(owner, side, scanner, masked=side != "client")


@pytest.fixture
async def stream() -> Stream:
    client, server = leg("client"), leg("upstream")
    client.peer, server.peer = server, client
    found = Stream(
        Handover(Continuation(AudioShape(2, 16_000, 1), 20, Budget(1 << 30)), client),
        client,
        server,
        transport(),
        transport(),
    )
    client.attach(found.to_client)
    found.handover.begin(server, found.to_server)
    return found


async def test_the_next_server_is_sent_what_is_not_final_and_what_came_while_there_was_none(stream: Stream) -> None:
    client, server, handover = stream.client, stream.server, stream.handover
    client.data_received(SOUND)
    server.data_received(FINAL)
    assert (written(stream.to_server), written(stream.to_client)) == (SOUND, FINAL)
    handover.leave(server, 60)
    client.data_received(MORE)
    assert handover.left_at == 3200
    new, to_new = leg("upstream"), transport()
    new.peer, client.peer = client, new
    assert handover.take_over(server, new, to_new, lambda: None) == 3200 - 1600 + 1600
    to_new.set_protocol.assert_called_once_with(new)
    again = FrameScanner(masked=True, max_message_bytes=1 << 20, on_control=lambda _opcode, _payload: True)
    again.feed(written(to_new))
    assert (again.binary_bytes, again.between_messages) == (3200, True)
    client.data_received(SOUND)
    assert written(to_new).endswith(SOUND)
    assert new.bytes_received == len(FINAL)
    new.data_received(FINAL)
    assert stream.handover.left_at is None
    assert written(stream.to_client) == FINAL + FINAL.replace(b'"start":0,', b'"start":0.05,').replace(
        bytes((FINAL[1],)), bytes((FINAL[1] + 3,)), 1
    )


@pytest.mark.parametrize("closed", [None, (1012, "restart")])
async def test_a_server_that_is_still_connected_gets_a_close_and_not_for_ever(
    stream: Stream, closed: tuple[int, str] | None
) -> None:
    stream.server.close_received = closed
    stream.handover.leave(stream.server, 0.01)
    sent = written(stream.to_server)
    assert sent[0] == 0x80 | CLOSE
    assert int.from_bytes(mask_bytes(sent[6:8], sent[2:6])) == (closed[0] if closed else 1000)
    stream.to_server.close.assert_called_once_with()
    async with asyncio.timeout(60):
        while not stream.to_server.abort.called:
            await asyncio.sleep(0.001)
    stream.to_client.resume_reading.assert_called()


async def test_a_client_is_read_no_more_when_its_window_is_full(stream: Stream) -> None:
    stream.handover.leave(stream.server, 60)
    piece = frame(BINARY, bytes(60_000), masked=True)
    for _ in range(40):
        stream.client.data_received(piece)
        if stream.to_client.pause_reading.called:
            break
    assert stream.to_client.pause_reading.called
    assert stream.handover.kept.possible
