"""The outbox: without an event no statement."""

from typing import Any

from backend.alerts import outbox


async def test_where_nothing_happened_nothing_is_written() -> None:
    connection: Any = None
    assert await outbox.add(connection, []) == 0
    await outbox.look_again(connection, set())
