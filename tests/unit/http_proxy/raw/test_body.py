"""Bodies of known length: what is passed, what waits, what pauses, what ends them."""

import asyncio

import pytest

from aldea.tasks import spawn
from http_proxy.raw.body import Body


class Wire:
    """What a body pauses."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def body(self, length: int, limit: int = 10) -> Body:
        loop = asyncio.get_running_loop()
        return Body(loop, length, limit, lambda: self.calls.append("pause"), lambda: self.calls.append("resume"))


async def test_it_ends_after_its_length_and_returns_what_is_behind() -> None:
    body = Wire().body(5)
    assert body.feed(b"au") == b""
    assert (body.is_eof(), body.at_eof()) == (False, False)
    assert body.feed(b"dioPOST") == b"POST"
    assert (body.is_eof(), body.at_eof()) == (True, False)
    assert body.read_nowait() == b"audio"
    assert body.at_eof()
    assert body.feed(b"more") == b"more"
    assert await body.readany() == b""


async def test_it_says_what_can_be_read_without_waiting() -> None:
    body = Wire().body(10)
    said = [body.at_hand]
    body.feed(memoryview(b"head audio")[5:])  # type: ignore[arg-type]
    said.append(body.at_hand)
    assert body.read_nowait() == b"audio"
    said.append(body.at_hand)
    body.feed(b"more")
    body.set_exception(ValueError("broken"))
    assert [*said, body.at_hand] == [False, True, False, False]
    with pytest.raises(ValueError, match="broken"):
        body.read_nowait()


async def test_a_reader_waits_for_the_next_piece() -> None:
    body = Wire().body(10)
    assert body.read_nowait() == b""
    reading = spawn(body.readany(), name="read")
    await asyncio.sleep(0)
    body.feed(b"a")
    body.feed(b"b")
    assert await reading == b"ab"


async def test_its_connection_is_paused_while_too_much_waits() -> None:
    wire = Wire()
    body = wire.body(100)
    body.feed(b"x" * 20)
    assert wire.calls == []
    body.feed(b"x")
    body.feed(b"x")
    assert wire.calls == ["pause"]
    assert len(body.read_nowait()) == 22
    assert wire.calls == ["pause", "resume"]


async def test_a_break_is_raised_even_before_what_waits() -> None:
    body = Wire().body(10)
    body.feed(b"audio")
    body.set_exception(ConnectionError("left"))
    assert isinstance(body.exception(), ConnectionError)
    for read in (body.readany, body.readany):
        with pytest.raises(ConnectionError, match="left"):
            await read()


async def test_a_break_wakes_its_reader() -> None:
    body = Wire().body(10)
    reading = spawn(body.readany(), name="read")
    await asyncio.sleep(0)
    body.set_exception(ConnectionError("left"))
    with pytest.raises(ConnectionError, match="left"):
        await reading


async def test_a_cancelled_reader_may_read_again() -> None:
    body = Wire().body(10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await body.readany()
    body.feed(b"x")
    assert await body.readany() == b"x"


@pytest.mark.parametrize("how", ["whole", "eof", "broken"])
async def test_what_nobody_wants_is_dropped_until_it_ends(how: str) -> None:
    wire = Wire()
    body = wire.body(1000, limit=1)
    body.feed(b"x" * 100)
    ended = spawn(body.ended(), name="drop")
    await asyncio.sleep(0)
    body.feed(b"x" * 100)
    assert wire.calls == ["pause", "resume"]
    await asyncio.sleep(0)
    assert not ended.done()
    if how == "whole":
        assert body.feed(b"x" * 801) == b"x"
    elif how == "eof":
        body.feed_eof()
    else:
        body.set_exception(ConnectionError("left"))
    await ended
    assert body.is_eof() is (how != "broken")
