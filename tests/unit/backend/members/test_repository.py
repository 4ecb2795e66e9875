"""Which address an invite is for."""

from typing import Any

from backend.members import repository


class Connection:
    def __init__(self) -> None:
        self.arguments: tuple[Any, ...] = ()

    async def fetchrow(self, _statement: str, *arguments: Any) -> None:
        self.arguments = arguments


async def test_an_invite_is_used_by_whatever_spelling_of_its_address() -> None:
    connection: Any = Connection()
    assert await repository.use_invite(connection, "00", " Ann@Example.com") is None
    assert connection.arguments == ("00", "ann@example.com")
