from collections.abc import Mapping, Sequence

import pytest

from aldea.errors import ServiceUnavailable
from aldea.sqs import Message, Queue, SqsUnavailable
from aldea.usage.envelope import encode
from aldea.usage.reading import UsageReading
from onebox.stores import MAX_RECEIVE_COUNT
from sqs_updater.consumer import MAX_HIDDEN_SECONDS, Batch, Consumer, FailureRun, hidden_seconds
from sqs_updater.writer import BadReadings, Merged
from tests.readings import reading


def message(body: str) -> Message:
    return Message(body=body, receipt=f"r{id(body)}", receives=1, sent_ms=0, message_id=f"m{id(body)}")


class Memory(Queue):
    """A queue in memory: enough to see what the consumer does in which order."""

    def __init__(self, *bodies: str) -> None:
        super().__init__(None, "memory")
        self.waiting = [message(body) for body in bodies]
        self.sent: list[str] = []
        self.deleted: list[str] = []
        self.hidden: dict[str, int] = {}

    async def send(self, bodies: Sequence[str]) -> dict[int, str]:
        self.sent += bodies
        return {}

    async def receive(self, *, wait: int = 0, visibility: int, limit: int = 10) -> list[Message]:
        found, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return found

    async def delete(self, receipts: Sequence[str]) -> dict[int, str]:
        self.deleted += receipts
        return {}

    async def hide(self, seconds: Mapping[str, int]) -> dict[str, str]:
        self.hidden |= seconds
        return {}


class Table:
    """A writer in memory that refuses some readings, as PostgreSQL would."""

    def __init__(self, *refused: UsageReading, unavailable: bool = False) -> None:
        self.refused = {one.request_id for one in refused}
        self.unavailable = unavailable
        self.rows: set[str] = set()
        self.calls = 0

    async def probe(self) -> None:
        if self.unavailable:
            raise ServiceUnavailable("unavailable")

    async def merge(self, readings: Sequence[UsageReading]) -> Merged:
        self.calls += 1
        if bad := {one.request_id for one in readings} & self.refused:
            raise BadReadings(f"out of range: {len(bad)}")
        self.rows |= {one.request_id for one in readings}
        return Merged(len(readings), 0, 0)


def test_a_batch_knows_its_good_and_its_bad_readings() -> None:
    one = reading()
    batch = Batch.of([message(encode([one.to_json(), "{}"], [5, 6])), message("nonsense")])
    assert [(item.reading, item.written_ms) for item in batch.good] == [(one, 5)]
    assert len(batch.bad) == 2


async def test_bisecting_finds_every_refused_reading_and_merges_all_others() -> None:
    readings = [reading() for _ in range(100)]
    table, dead = Table(readings[0], readings[63], readings[64]), Memory()
    usage = Memory(encode([one.to_json() for one in readings], []))
    await Consumer(usage, dead, table).step()
    assert len(table.rows) == 97
    assert len(dead.sent) == 3
    assert len(usage.deleted) == 1
    # The whole, and for each refused reading two halves at every level: 100 is halved seven times at most.
    assert table.calls <= 1 + 3 * 2 * 7


async def test_nothing_is_received_while_the_database_is_unavailable() -> None:
    usage = Memory("anything")
    with pytest.raises(ServiceUnavailable):
        await Consumer(usage, Memory(), Table(unavailable=True)).step()
    assert len(usage.waiting) == 1


async def test_a_failed_batch_is_given_back_and_not_deleted() -> None:
    class Broken(Table):
        async def merge(self, readings: Sequence[UsageReading]) -> Merged:
            raise ServiceUnavailable(f"lost with {len(readings)}")

    usage = Memory(encode([reading().to_json()], []))
    with pytest.raises(ServiceUnavailable):
        await Consumer(usage, Memory(), Broken()).step()
    assert usage.deleted == []
    assert list(usage.hidden.values()) == [2]


def test_a_message_that_fails_again_and_again_is_not_marched_to_the_dead_letter_queue() -> None:
    seconds = [hidden_seconds(receives) for receives in range(1, MAX_RECEIVE_COUNT + 1)]
    assert seconds[:4] == [2, 4, 8, 16]
    assert seconds == sorted(seconds)
    assert max(seconds) == MAX_HIDDEN_SECONDS
    assert sum(seconds) > 10 * 3600


async def test_workers_of_a_process_share_the_run_of_failures_and_halt_together() -> None:
    run, dead = FailureRun(limit=5), Memory()
    for _ in range(2):
        await Consumer(Memory(encode(["{}", "{}"], [])), dead, Table(), run).step()
    assert len(dead.sent) == 4
    with pytest.raises(ServiceUnavailable, match="roll it back"):
        await Consumer(Memory(encode(["{}", "{}"], [])), dead, Table(), run).step()
    assert run.halted
    assert len(dead.sent) == 4


def test_one_good_reading_ends_a_run_of_failures() -> None:
    run = FailureRun(limit=2)
    assert not run.count(healthy=0, rejected=2)
    assert run.count(healthy=0, rejected=1)
    assert not run.count(healthy=1, rejected=100)
    assert run.length == 0


async def test_an_undeleted_message_does_not_fail_its_batch() -> None:
    class Sticky(Memory):
        async def delete(self, receipts: Sequence[str]) -> dict[int, str]:
            return dict.fromkeys(range(len(receipts)), "InternalError")

    assert await Consumer(Sticky(encode([], [])), Memory(), Table()).step() == 1


async def test_a_receive_that_fails_is_the_steps_failure() -> None:
    class Gone(Memory):
        async def receive(self, *, wait: int = 0, visibility: int, limit: int = 10) -> list[Message]:
            raise SqsUnavailable(f"no response to {wait}, {visibility}, {limit}")

    with pytest.raises(SqsUnavailable):
        await Consumer(Gone(), Memory(), Table()).step()
