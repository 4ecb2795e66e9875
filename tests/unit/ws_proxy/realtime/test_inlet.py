import asyncio

from aldea.tasks import spawn
from ws_proxy.realtime.inlet import Inlet


class Leg(asyncio.Protocol):
    """What the relay has at its end."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.writing = True
        self.resumed = 0
        self.losses = 0

    def data_received(self, data: bytes) -> None:
        self.received.append(data)

    def pause_writing(self) -> None:
        self.writing = False

    def resume_writing(self) -> None:
        self.resumed += 1

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.losses += 1


def joined() -> tuple[Inlet, Leg, list[bool]]:
    aborted: list[bool] = []
    inlet, leg = Inlet(lambda: aborted.append(True)), Leg()
    inlet.set_protocol(leg)
    inlet.set_write_buffer_limits(high=10, low=2)
    inlet.resume_reading()
    return inlet, leg, aborted


async def test_bytes_pass_in_both_directions_and_the_relay_is_paused_by_what_is_not_taken() -> None:
    inlet, leg, _ = joined()
    await inlet.feed(b"in")
    assert leg.received == [b"in"]
    inlet.write(b"12345")
    assert leg.writing
    inlet.write(b"678901")
    assert (leg.writing, leg.resumed) == (False, 0)
    assert inlet.get_write_buffer_size() == 11
    assert await inlet.take() == b"12345678901"
    assert leg.resumed == 0  # it has it, and has not done with it
    inlet.taken(11)
    assert leg.resumed == 1


async def test_the_client_waits_while_the_relay_does_not_read() -> None:
    inlet, leg, _ = joined()
    inlet.pause_reading()
    feeding = spawn(inlet.feed(b"in"), name="feed")
    await asyncio.sleep(0)
    assert leg.received == []
    inlet.resume_reading()
    await feeding
    assert leg.received == [b"in"]


async def test_a_close_comes_behind_what_was_written_and_the_loss_once_behind_both() -> None:
    inlet, leg, aborted = joined()
    inlet.write(b"last")
    inlet.close()
    inlet.write(b"too late")
    assert inlet.is_closing()
    assert [await inlet.take(), await inlet.take()] == [b"last", b""]
    await asyncio.sleep(0)
    assert leg.losses == 0
    inlet.end()
    inlet.end()
    await asyncio.sleep(0)
    assert (leg.losses, aborted) == (1, [])
    await inlet.feed(b"nobody")
    assert leg.received == []


async def test_an_abort_drops_what_waits_and_the_client_with_it() -> None:
    inlet, leg, aborted = joined()
    inlet.write(b"lost")
    inlet.abort()
    assert await inlet.take() == b""
    await asyncio.sleep(0)
    assert (leg.losses, aborted) == (1, [True])
