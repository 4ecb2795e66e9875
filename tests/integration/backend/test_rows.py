"""Every statement with typed rows, prepared on a real PostgreSQL: its columns are the fields of its dataclass."""

import importlib
import pkgutil
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

import backend
from aldea.postgres import Database
from aldea.rows import Query


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
    async with database.connection() as connection:
        prepared = await connection.prepare(query.sql)
        assert [column.name for column in prepared.get_attributes()] == [field.name for field in fields(query.row)]
