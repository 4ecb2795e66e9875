"""The harness' SQS fault proxy in front of a real wire: what it stages really happens, and nothing else."""

from collections.abc import AsyncIterator

import pytest

from aldea import sqs
from aldea.sqs import Queue, SqsUnavailable
from aldea.usage.envelope import encode
from aldea.usage.reading import UsageReading
from onebox.ports import free_port
from tests.chaos import wire as staging
from tests.chaos.wire import Wire
from tests.integration.conftest import UsageQueues
from tests.readings import reading


class Staged:
    """A wire, a queue behind it, and the readings that the wire saw accepted."""

    def __init__(self, wire: Wire, queue: Queue, seen: list[UsageReading]) -> None:
        self.wire = wire
        self.queue = queue
        self.seen = seen


@pytest.fixture
async def staged(
    sqs_endpoint: str, usage_queues: UsageQueues, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Staged]:
    monkeypatch.setattr(sqs, "ATTEMPTS", 1)
    seen: list[UsageReading] = []
    wire = Wire(1, 900, seen.append)
    port = free_port()
    await wire.start(sqs_endpoint, port)
    address = f"http://127.0.0.1:{port}"
    settings = usage_queues.settings.model_copy(update={"sqs_endpoint_url": address})
    async with sqs.connect(settings) as client:
        url = usage_queues.usage.url.replace(sqs_endpoint, address)
        yield Staged(wire, Queue(client, url), seen)
    await wire.stop()


def only(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Every call meets this fault and no other."""
    for name in ("FAILED_BEFORE", "FAILED_AFTER", "PARTLY_FAILED", "SENT_TWICE", "SENT_AGAIN_LATER", "ENTRY_DELAYED"):
        monkeypatch.setattr(staging, name, 1.0 if name == fault else 0.0)


def bodies(count: int) -> list[str]:
    return [encode([reading().to_json()], [0]) for _ in range(count)]


async def test_a_calm_wire_changes_nothing_and_notes_what_was_accepted(staged: Staged) -> None:
    assert await staged.queue.send(bodies(3)) == {}
    assert len(staged.seen) == 3
    assert len(await staged.queue.receive(wait=1, visibility=30)) == 3


async def test_a_severed_wire_lets_nothing_through_until_it_is_repaired(staged: Staged) -> None:
    staged.wire.sever()
    with pytest.raises(SqsUnavailable):
        await staged.queue.send(bodies(1))
    staged.wire.restore()
    assert await staged.queue.send(bodies(1)) == {}
    assert len(staged.seen) == 1


@pytest.mark.parametrize(("fault", "arrive"), [("FAILED_BEFORE", 0), ("FAILED_AFTER", 1)])
async def test_a_failed_call_did_or_did_not_take_effect(
    staged: Staged, usage_queues: UsageQueues, monkeypatch: pytest.MonkeyPatch, fault: str, arrive: int
) -> None:
    only(monkeypatch, fault)
    staged.wire.hostile = True
    with pytest.raises(SqsUnavailable):
        await staged.queue.send(bodies(1))
    assert (await usage_queues.usage.depth()).total == arrive


async def test_messages_are_refused_singly_sent_twice_and_delayed(
    staged: Staged, usage_queues: UsageQueues, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged.wire.hostile = True
    only(monkeypatch, "PARTLY_FAILED")
    failed = await staged.queue.send(bodies(10))
    assert 0 < len(failed) < 10
    assert (await usage_queues.usage.depth()).total == 10 - len(failed) == len(staged.seen)

    only(monkeypatch, "SENT_TWICE")
    await staged.queue.send(bodies(2))
    assert (await usage_queues.usage.depth()).total == 14 - len(failed)

    only(monkeypatch, "ENTRY_DELAYED")
    await staged.queue.send(bodies(2))
    assert (await usage_queues.usage.depth()).delayed == 2
