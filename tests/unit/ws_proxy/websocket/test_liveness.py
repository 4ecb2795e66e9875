"""Peers that send, that are silent, that reply to no ping, and that take nothing; time is pretended."""

from typing import Any

from ws_proxy.websocket.frames import PING, frame
from ws_proxy.websocket.liveness import PING_PAYLOAD, Liveness


class FakeLeg:
    side = "client"
    masked = False
    full = False
    at_frame_boundary = True

    def __init__(self) -> None:
        self.bytes_received = 0
        self.written: list[bytes] = []
        self.taken_nothing_for = 0.0
        self.peer: FakeLeg = self

    def stalled(self, _now: float) -> float:
        return self.taken_nothing_for

    def write(self, data: bytes) -> None:
        self.written.append(data)


def watched() -> tuple[FakeLeg, Liveness]:
    leg: Any = FakeLeg()
    leg.peer = FakeLeg()
    return leg, Liveness(leg, 0.0, ping_after=1000, pong_within=500, stall=3000)


def test_silence_from_a_peer_is_pinged_once_and_a_reply_ends_the_wait() -> None:
    leg, liveness = watched()
    assert liveness.look(1000) is None
    assert not leg.written
    assert liveness.look(1100) is None
    assert leg.written == [frame(PING, PING_PAYLOAD, masked=False)]
    assert liveness.look(1500) is None
    leg.bytes_received += 10
    assert liveness.look(1700) is None
    assert (len(leg.written), liveness.heard_since) == (1, 1700)


def test_no_reply_within_its_time_is_the_peers_end() -> None:
    leg, liveness = watched()
    liveness.look(1100)
    assert liveness.look(1600) is None
    assert liveness.look(1601) == "client did not reply to a ping within 500 s"
    # While nothing is read from it, because the other side takes nothing, nobody knows.
    leg.peer.full = True
    assert liveness.look(1700) is None


def test_a_ping_waits_for_a_place_between_two_frames() -> None:
    leg, liveness = watched()
    leg.at_frame_boundary = False
    liveness.look(1100)
    assert not leg.written
    leg.at_frame_boundary = True
    liveness.look(1200)
    assert len(leg.written) == 1


def test_silence_towards_a_peer_that_sends_is_pinged_too() -> None:
    leg, liveness = watched()
    for now in (500, 1000, 1100):
        leg.bytes_received += 1
        liveness.look(now)
    assert len(leg.written) == 1


def test_a_peer_that_takes_nothing_has_a_deadline_of_its_own() -> None:
    leg, liveness = watched()
    leg.full = True
    leg.taken_nothing_for = 3000
    assert liveness.look(9000) is None
    assert not leg.written
    leg.taken_nothing_for = 3001
    assert liveness.look(9001) == "client took no data for 3000 s"
