"""The publisher sends again whenever it is in doubt: between a stream and queues that fail as configured."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisLost
from redis.exceptions import ResponseError

from aldea import turns
from aldea.sqs import Queue, SqsUnavailable
from aldea.usage.envelope import decode
from backend.pipeline import publisher as publishing
from backend.pipeline.packing import Entry
from backend.pipeline.publisher import Publisher
from tests.readings import reading
from tests.unit.aldea.test_turns import another


class Stream:
    """A usage stream in memory."""

    def __init__(self, *values: bytes) -> None:
        self.unread = [Entry(b"%d-0" % number, value) for number, value in enumerate(values, start=1)]
        self.claimable: list[Entry] = []
        self.measured = 0
        self.woken = 0
        self.done: list[bytes] = []
        self.failures: list[Exception] = []
        self.created = 0

    async def acknowledge_all(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def acknowledge(self, entry_ids: Iterable[bytes]) -> None:
        self.done += entry_ids

    async def create_group(self) -> None:
        self.created += 1

    async def claimed_when_due(self) -> list[Entry]:
        found, self.claimable = self.claimable, []
        return found

    async def measure(self) -> None:
        self.measured += 1

    async def wake(self) -> None:
        self.woken += 1

    async def read(self, count: int, *, block: bool) -> list[Entry]:
        if block and not self.unread:
            await asyncio.sleep(0.001)
        found, self.unread = self.unread[:count], self.unread[count:]
        return found


class Sink(Queue):
    """A queue that accepts everything, unless it is unavailable."""

    def __init__(self) -> None:
        super().__init__(None, "memory")
        self.bodies: list[str] = []
        self.unavailable = False

    async def send(self, bodies: Sequence[str]) -> dict[int, str]:
        if self.unavailable:
            raise SqsUnavailable("unavailable")
        self.bodies += bodies
        return {}


def make(stream: Any, usage: Sink, dead_letters: Sink | None = None) -> Publisher:
    return Publisher(stream, usage, dead_letters or Sink(), linger_seconds=0)


async def test_an_entry_is_done_only_once_the_queue_has_it() -> None:
    stream, usage = Stream(reading().to_json().encode()), Sink()
    usage.unavailable = True
    publisher = make(stream, usage)
    publisher.start()
    await asyncio.sleep(0.01)
    assert stream.done == []
    usage.unavailable = False
    async with asyncio.timeout(60):
        while not stream.done:
            await asyncio.sleep(0.01)
    await publisher.stop()
    assert len(decode(usage.bodies[0])[0]) == 1
    assert stream.woken == 1, "it may wait for an entry just then"


async def test_a_publisher_that_is_stopped_while_the_queue_is_unavailable_leaves_its_entries_to_another() -> None:
    stream, usage = Stream(reading().to_json().encode()), Sink()
    usage.unavailable = True
    publisher = make(stream, usage)
    publisher.start()
    await asyncio.sleep(0.01)
    await publisher.stop()
    assert stream.done == []


async def test_a_rejected_entry_stays_until_the_dead_letter_queue_has_it_and_holds_up_no_good_one() -> None:
    stream, usage, dead = Stream(b"nonsense", reading().to_json().encode()), Sink(), Sink()
    dead.unavailable = True
    await make(stream, usage, dead).step()
    assert stream.done == [b"2-0"]


async def test_publishing_goes_on_after_redis_was_unavailable_and_after_a_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(publishing, "LAST_PAUSE_SECONDS", 0.001)
    stream, usage = Stream(reading().to_json().encode()), Sink()
    stream.failures = [RedisLost("lost"), ZeroDivisionError("a defect"), TimeoutError()]
    publisher = make(stream, usage)
    publisher.start()
    async with asyncio.timeout(60):
        while not stream.done:
            await asyncio.sleep(0.001)
    await publisher.stop()
    assert stream.failures == []


async def test_a_lost_group_is_made_anew_and_another_complaint_is_not_taken_for_it() -> None:
    class Groupless(Stream):
        complaint = "NOGROUP No such key"

        async def read(self, count: int, *, block: bool) -> list[Entry]:
            raise ResponseError(f"{self.complaint} {count} {block}")

    stream = Groupless()
    assert await make(stream, Sink()).step() == 0
    assert stream.created == 1
    stream.complaint = "WRONGTYPE"
    with pytest.raises(ResponseError):
        await make(stream, Sink()).step()


async def test_behind_a_full_batch_the_next_one_is_read_while_it_is_sent_and_stop_sends_that_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "MAX_ENTRIES", 2)
    stream, usage = Stream(*(reading().to_json().encode() for _ in range(5))), Sink()
    publisher = make(stream, usage)
    assert await publisher.step() == 2
    assert len(stream.unread) == 1
    assert len(stream.done) == 2
    publisher.start()
    await publisher.stop()
    assert len(stream.done) >= 4


async def test_a_read_ahead_that_fails_costs_nothing_of_the_batch_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MAX_ENTRIES", 1)

    class Failing(Stream):
        async def read(self, count: int, *, block: bool) -> list[Entry]:
            if not block:
                raise RedisLost("lost")
            return await super().read(count, block=block)

    stream = Failing(reading().to_json().encode())
    with pytest.raises(RedisLost):
        await make(stream, Sink()).step()
    assert stream.done == [b"1-0"]


async def test_what_a_dead_peer_left_does_not_wait_for_the_end_of_a_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MAX_ENTRIES", 2)
    stream, usage = Stream(*(reading().to_json().encode() for _ in range(6))), Sink()
    publisher = make(stream, usage)
    assert await publisher.step() == 2
    stream.claimable = [Entry(b"0-1", reading().to_json().encode()), Entry(b"0-2", reading().to_json().encode())]
    assert await publisher.step() == 2
    assert stream.done == [b"1-0", b"2-0", b"0-1", b"0-2"]
    for _ in range(2):
        await publisher.step()
    assert stream.done[4:] == [b"3-0", b"4-0", b"5-0", b"6-0"]


async def test_the_stream_is_measured_while_the_queue_is_unavailable_and_nothing_leaves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "MEASURE_SECONDS", 0.001)
    stream, usage = Stream(reading().to_json().encode()), Sink()
    usage.unavailable = True
    publisher = make(stream, usage)
    publisher.start()
    async with asyncio.timeout(60):
        while stream.measured < 5:
            await asyncio.sleep(0.001)
    await publisher.stop()
    assert stream.done == []


async def test_a_stop_while_redis_is_unavailable_does_not_wait_for_an_unsent_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "MAX_ENTRIES", 1)
    stream = Stream(*(reading().to_json().encode() for _ in range(3)))
    publisher = make(stream, Sink())
    await publisher.step()
    stream.failures = [RedisLost("lost")]
    publisher.start()
    await publisher.stop()
    assert len(stream.done) == 1


async def test_others_have_their_turn_while_a_batch_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0)
    values = [reading().to_json().encode() for _ in range(500)]
    stream, sink = Stream(*values), Sink()
    async with another() as turn:
        await make(stream, sink).step()
        assert turn[0] >= 500
    assert len(stream.done) == 500
