"""Every statement with typed rows, prepared on a real PostgreSQL: its columns are the fields of its dataclass."""

import importlib
import pkgutil
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

import backend
from aldea.postgres import Database
from aldea.rows import Query
from backend.usage import repository as usage
from backend.usage.filters import Filters
from backend.usage.period import DAY_MS, Period
from backend.usage.rows import GroupRow, RequestRow


def queries() -> dict[str, Query[Any]]:
    """Every `Query` of the backend by its name."""
    found = {}
    for module in pkgutil.walk_packages(backend.__path__, "backend."):
        if "migrations" in module.name or module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Query):
                found[f"{module.name}.{name}"] = value
    return found


@pytest.mark.parametrize("name", sorted(queries()))
async def test_the_columns_of_a_statement_are_the_fields_of_its_rows(database: Database, name: str) -> None:
    query = queries()[name]
    assert is_dataclass(query.row)
    parameters: Any = vars(query.row)["__dataclass_params__"]
    assert parameters.frozen or query.row is RequestRow
    async with database.connection() as connection:
        prepared = await connection.prepare(query.sql)
        assert [column.name for column in prepared.get_attributes()] == [field.name for field in fields(query.row)]


async def test_statements_that_are_put_together_return_the_fields_of_their_rows_too(database: Database) -> None:
    period, project = Period(0, DAY_MS), "00000000-0000-0000-0000-000000000000"
    requests = [field.name for field in fields(RequestRow)]
    amounts = {field.name for field in fields(GroupRow)}
    async with database.connection() as connection:
        for query in (usage.newest_query, usage.oldest_query):
            prepared = await connection.prepare(query(project, period, Filters(), limit=1)[0])
            assert [column.name for column in prepared.get_attributes()] == requests
        prepared = await connection.prepare(usage.sums_query(project, period, Filters(), tuple(usage.GROUPS))[0])
        assert {column.name for column in prepared.get_attributes()} == amounts
