from collections.abc import Sequence

import pytest

from aldea.sqs import Message, SqsUnavailable
from aldea.usage_batch import Rejected, dead_letter
from sqs_updater.replay import replay
from tests.readings import reading
from tests.unit.sqs_updater.test_consumer import Memory


def letter(text: str) -> str:
    return dead_letter(Rejected(text, "was bad"), source="publisher", at_ms=1)


async def test_a_letter_is_deleted_only_after_it_was_sent_on() -> None:
    class Refusing(Memory):
        async def send(self, bodies: Sequence[str]) -> dict[int, str]:
            return {0: f"InternalError for {len(bodies)}"}

    dead = Memory(letter(reading().to_json()))
    with pytest.raises(SqsUnavailable):
        await replay(dead, Refusing(), wait=0)
    assert dead.deleted == []


async def test_every_letter_is_looked_at_once_and_the_unreadable_stay() -> None:
    dead, usage = Memory(*(letter(reading().to_json()) for _ in range(12)), letter("{}")), Memory()
    done = await replay(dead, usage, wait=0)
    assert (done.readings, done.unreadable, len(usage.sent), len(dead.deleted)) == (12, 1, 12, 12)
    assert len(dead.given_back) == 1


async def test_an_empty_answer_is_asked_again_before_the_queue_counts_as_empty() -> None:
    class Sampling(Memory):
        answers = 0

        async def receive(self, *, wait: int = 0, visibility: int, limit: int = 10) -> list[Message]:
            self.answers += 1
            return [] if self.answers == 1 else await super().receive(wait=wait, visibility=visibility, limit=limit)

    done = await replay(Sampling(letter(reading().to_json())), Memory(), wait=0)
    assert done.readings == 1
