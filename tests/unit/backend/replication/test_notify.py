"""Hearing changes: what is forgotten at once, what waits in order, what is dropped when too much waits."""

from typing import Any

from backend.replication import notify
from backend.replication.notify import Listener


def listener() -> tuple[Listener, list[str]]:
    forgotten: list[str] = []
    database: Any = None  # hearing needs none
    return Listener(database, lambda: forgotten.append("all")), forgotten


async def test_a_change_makes_everybody_forget_at_once_and_waits_to_be_brought() -> None:
    subject, forgotten = listener()
    subject.hear("key:1234")
    assert forgotten == ["all"]
    assert await subject.next() == ("key", "1234")


async def test_when_too_many_changes_wait_the_oldest_is_dropped() -> None:
    subject, _ = listener()
    for number in range(notify.MAX_WAITING + 1):
        subject.hear(f"key:{number}")
    assert await subject.next() == ("key", "1")
