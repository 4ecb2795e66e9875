"""Uses of keys wait, bounded by the number of keys, while PostgreSQL is unavailable."""

from typing import Any

from aldea.postgres import DatabaseUnavailable
from backend.keys.last_used import write_once


class Unavailable:
    def connection(self) -> Any:
        raise DatabaseUnavailable("unavailable")


class Uses:
    def __init__(self) -> None:
        self.used_keys = {"a": 1.0, "b": 2.0}


async def test_uses_that_could_not_be_written_wait_for_the_next_time() -> None:
    database, uses = Unavailable(), Uses()
    subject: Any = write_once
    await subject(database, uses)
    assert uses.used_keys == {"a": 1.0, "b": 2.0}
