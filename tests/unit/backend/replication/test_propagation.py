"""What follows a committed change."""

from typing import Any

from backend.replication.mirror import Entry
from backend.replication.propagation import Propagation


class Recorder:
    def __init__(self) -> None:
        self.done: list[Any] = []

    def forget_all(self) -> None:
        self.done.append("forgot")

    async def put_or_defer(self, *entries: Entry) -> bool:
        self.done.append(entries)
        return False


async def test_the_cached_caller_is_dropped_before_redis_is_written_and_a_failed_write_is_reported() -> None:
    recorder: Any = Recorder()
    entry = Entry("cred:00", 1, {})
    assert await Propagation(recorder, recorder).committed(entry) is False
    assert recorder.done == ["forgot", (entry,)]
