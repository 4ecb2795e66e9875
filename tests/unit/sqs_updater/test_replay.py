import json
from collections.abc import Sequence

import pytest

from aldea.sqs import Message, SqsUnavailable
from aldea.usage.envelope import Rejected, dead_letter, decode, encode
from sqs_updater.replay import replay
from tests.readings import reading
from tests.unit.sqs_updater.test_consumer import Memory


def dead_text(text: str) -> str:
    return dead_letter(Rejected(text, "was bad"), source="publisher", at_ms=1)


async def test_a_letter_is_deleted_only_after_it_was_sent_on() -> None:
    class Refusing(Memory):
        async def send(self, bodies: Sequence[str]) -> dict[int, str]:
            return {0: f"InternalError for {len(bodies)}"}

    dead = Memory(dead_text(reading().to_json()))
    with pytest.raises(SqsUnavailable):
        await replay(dead, Refusing(), wait=0)
    assert dead.deleted == []


async def test_every_letter_is_looked_at_once_and_the_unreadable_stay() -> None:
    dead, usage = Memory(*(dead_text(reading().to_json()) for _ in range(12)), dead_text("{}")), Memory()
    done = await replay(dead, usage, wait=0)
    assert (done.readings, done.unreadable, len(usage.sent), len(dead.deleted)) == (12, 1, 12, 12)
    assert len(dead.hidden) == 1


async def test_an_empty_response_is_checked_again_before_the_queue_counts_as_empty() -> None:
    class Sampling(Memory):
        responses = 0

        async def receive(self, *, wait: int = 0, visibility: int, limit: int = 10) -> list[Message]:
            self.responses += 1
            return [] if self.responses == 1 else await super().receive(wait=wait, visibility=visibility, limit=limit)

    done = await replay(Sampling(dead_text(reading().to_json())), Memory(), wait=0)
    assert done.readings == 1


async def test_a_message_that_sqs_moved_is_taken_apart_and_its_poison_gets_a_letter_with_the_reason() -> None:
    good = [reading(), reading()]
    dead, usage = Memory(encode([good[0].to_json(), "{}", good[1].to_json()], [5, 6, 7])), Memory()
    done = await replay(dead, usage, wait=0)
    assert [[item.reading for item in decode(body)[0]] for body in usage.sent] == [[one] for one in good]
    assert (done.letters, done.readings, done.unreadable) == (1, 2, 1)
    [explained] = dead.sent
    assert "request_id" in json.loads(explained)["reason"]
    assert len(dead.deleted) == 1


async def test_a_limit_is_a_number_of_messages() -> None:
    dead, usage = Memory(*(dead_text(reading().to_json()) for _ in range(25))), Memory()
    assert (await replay(dead, usage, wait=0, limit=12)).letters == 12
    assert (len(usage.sent), len(dead.waiting)) == (12, 13)


async def test_a_reading_that_is_rejected_again_meanwhile_is_not_sent_in_circles() -> None:
    text = dead_text(reading().to_json())
    dead = Memory(text)

    class Rejecting(Memory):
        async def send(self, bodies: Sequence[str]) -> dict[int, str]:
            dead.waiting += Memory(text + " ").waiting  # a worker's new message about the same reading
            return await super().send(bodies)

    usage = Rejecting()
    done = await replay(dead, usage, wait=0)
    assert (done.letters, done.readings, done.rejected_again) == (2, 1, 1)
    assert (len(usage.sent), len(dead.deleted), len(dead.hidden)) == (1, 1, 1)


async def test_a_letter_that_shows_up_again_is_looked_at_once() -> None:
    class Forgetful(Memory):
        async def receive(self, *, wait: int = 0, visibility: int, limit: int = 10) -> list[Message]:
            found = await super().receive(wait=wait, visibility=visibility, limit=limit)
            if found and len(self.seen) < 3:
                self.seen += found
                self.waiting += found
            return found

        seen: list[Message] = []  # noqa: RUF012 - of this one test

    done = await replay(Forgetful(dead_text("{}")), Memory(), wait=0)
    assert (done.letters, done.unreadable) == (1, 1)
