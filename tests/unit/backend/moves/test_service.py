"""A move that has to wait for too long; what a move takes along is tested on a real PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from backend.api.endpoint import SYSTEM
from backend.changes import UnitOfWork
from backend.moves.errors import UsageLocked
from backend.moves.service import MoveService


class Busy:
    """A connection to a database whose usage is locked; the project and both accounts are there."""

    async def fetchval(self, query: str, *_: Any) -> bool:
        if "move_project" in query:
            raise asyncpg.LockNotAvailableError
        return True

    async def fetchrow(self, *_: Any) -> dict[str, str]:
        return {"account_id": "a"}


class Statements:
    def __init__(self) -> None:
        self.closed: list[str] = []

    async def close_due(self, _connection: Any, account_id: str) -> None:
        self.closed.append(account_id)


class Changes:
    @asynccontextmanager
    async def transaction(self, _actor: Any) -> AsyncIterator[UnitOfWork]:
        connection: Any = Busy()
        yield UnitOfWork(connection, SYSTEM)


@pytest.mark.parametrize("target", ["b", "0"])
async def test_a_move_that_would_wait_for_maintenance_is_refused_and_accounts_are_locked_in_one_order(
    target: str,
) -> None:
    changes: Any = Changes()
    statements: Any = Statements()
    with pytest.raises(UsageLocked, match="try again"):
        await MoveService(changes, statements).move(SYSTEM, "p", target)
    assert statements.closed == sorted(["a", target])
