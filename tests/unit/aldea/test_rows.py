"""Rows as dataclasses: in order, none where there is none, and never with a column too many."""

from dataclasses import dataclass
from typing import Any

import pytest

from aldea.rows import Query


@dataclass(frozen=True, slots=True)
class Row:
    name: str


class Connection:
    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = list(rows)
        self.arguments: tuple[object, ...] = ()

    async def fetch(self, _sql: str, *arguments: object) -> list[dict[str, Any]]:
        self.arguments = arguments
        return self.rows

    async def fetchrow(self, sql: str, *arguments: object) -> dict[str, Any] | None:
        return next(iter(await self.fetch(sql, *arguments)), None)


QUERY = Query(Row, "select name from names where id = $1")


async def test_rows_are_dataclasses_in_the_statements_order() -> None:
    connection: Any = Connection({"name": "b"}, {"name": "a"})
    assert await QUERY.all(connection, 7) == [Row("b"), Row("a")]
    assert await QUERY.first(connection, 7) == await QUERY.one(connection, 7) == Row("b")
    assert connection.arguments == (7,)


async def test_where_there_is_no_row_there_is_none() -> None:
    connection: Any = Connection()
    assert (await QUERY.all(connection), await QUERY.first(connection)) == ([], None)
    with pytest.raises(AssertionError):
        await QUERY.one(connection)


@pytest.mark.parametrize("row", [{"name": "a", "more": 1}, {}])
async def test_a_column_too_many_or_too_few_is_refused(row: dict[str, Any]) -> None:
    connection: Any = Connection(row)
    with pytest.raises(TypeError):
        await QUERY.all(connection)
