"""Peers that take what they are sent: at once, slowly, or not at all."""

import asyncio
from typing import Any

import pytest

from aldea import flow_control
from aldea.flow_control import FlowControl
from aldea.tasks import cancel, spawn


class Peer:
    """A transport's buffer; at each look at it the peer has taken `takes` bytes."""

    def __init__(self, takes: int = 0) -> None:
        self.buffered = 1_000_000
        self.takes = takes
        self.looks = 0

    def get_write_buffer_size(self) -> int:
        self.looks += 1
        self.buffered -= self.takes
        return self.buffered


def flow_of(peer: Peer, **given: Any) -> FlowControl:
    transport: Any = peer
    return FlowControl(asyncio.get_running_loop(), transport, **given)


async def test_seconds_are_counted_from_the_last_byte_that_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(flow_control, "lived", lambda _loop: now)
    peer = Peer()
    flow = flow_of(peer)
    assert (flow.paused, flow.stalled()) == (False, 0.0)
    flow.pause()
    now += 40
    assert (flow.paused, flow.stalled()) == (True, 40.0)
    peer.buffered += 500  # more was written, of which nothing was taken
    now += 10
    assert flow.stalled() == 50.0
    peer.buffered -= 1
    assert flow.stalled() == 0.0
    now += 20
    assert flow.stalled() == 20.0
    flow.resume()
    assert (flow.paused, flow.stalled()) == (False, 0.0)


async def test_who_waits_goes_on_when_the_peer_has_taken_enough_or_there_is_nothing_to_wait_for() -> None:
    flow = flow_of(Peer())
    await flow.drained(0.0)  # nothing is in its way
    for end in (flow.resume, flow.wake):
        flow.pause()
        waiting = [spawn(flow.drained(600.0), name="waits") for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        end()
        async with asyncio.timeout(60):
            await asyncio.gather(*waiting)
    assert not flow._waiters


async def test_a_peer_that_takes_nothing_is_stalled_and_one_that_takes_a_little_is_not() -> None:
    flow = flow_of(Peer())
    flow.pause()
    with pytest.raises(TimeoutError):
        await flow.drained(0.01)
    slow = Peer(takes=1)
    flow = flow_of(slow)
    flow.pause()
    waiting = spawn(flow.drained(0.01), name="waits")
    async with asyncio.timeout(60):
        while slow.looks < 10:
            await asyncio.sleep(0.002)
    assert not waiting.done()
    flow.resume()
    await waiting


async def test_a_wait_that_is_cancelled_leaves_nothing() -> None:
    flow = flow_of(Peer())
    flow.pause()
    waiting = spawn(flow.drained(600.0), name="waits")
    await asyncio.sleep(0)
    await cancel(waiting)
    assert waiting.cancelled()
    assert not flow._waiters


async def test_a_stall_is_reported_once_and_neither_a_slow_peer_nor_one_that_went_on() -> None:
    stalls: list[str] = []
    stuck = flow_of(Peer(), patience=0.01, on_stall=lambda: stalls.append("stuck"))
    stuck.pause()
    slow_peer = Peer(takes=1)
    slow = flow_of(slow_peer, patience=0.01, on_stall=lambda: stalls.append("slow"))
    slow.pause()
    quick = flow_of(Peer(), patience=0.01, on_stall=lambda: stalls.append("quick"))
    quick.pause()
    quick.resume()
    async with asyncio.timeout(60):
        while slow_peer.looks < 10 or not stalls:
            await asyncio.sleep(0.002)
    slow.resume()
    assert stalls == ["stuck"]
    stuck.resume()
