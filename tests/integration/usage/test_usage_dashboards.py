"""The statements of the dashboards run on the real schema."""

import time

import asyncpg
from aiohttp import ClientSession

from aldea.ids import new_request_id
from aldea.postgres import Database
from onebox.observe.dashboards import DASHBOARDS, POSTGRES, statement
from onebox.observe.drawn import FOLDER
from onebox.observe.panels import models, span
from onebox.observe.sources import Sources

MACROS = {"$__timeFrom()": "now() - interval '30 days'", "$__timeTo()": "now()"}


async def test_each_statement_of_the_dashboards_runs(database: Database, database_url: str) -> None:
    statements = [
        (f"{dashboard.uid}: {panel.title}", statement(query), panel)
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        if panel.sql
        for query in panel.queries.values()
    ]
    assert len(statements) > 5
    connection = await asyncpg.connect(database_url)
    try:
        for where, query, panel in statements:
            for macro, sql in MACROS.items():
                query = query.replace(macro, f"({sql})")  # noqa: PLW2901 - what Grafana does
            prepared = await connection.prepare(query.replace("$project", new_request_id()))
            columns = {attribute.name for attribute in prepared.get_attributes()}
            assert panel.table is not ("time" in columns), where
            await prepared.fetch()
        for dashboard in DASHBOARDS:
            for name, query in dashboard.variables.items():
                if query.startswith("select"):
                    listed = await connection.prepare(query)
                    assert [attribute.name for attribute in listed.get_attributes()] == ["__value", "__text"], name
                    await listed.fetch()
    finally:
        await connection.close()
    # The page of `make observe` runs the same.
    async with ClientSession() as session:
        sources = Sources(session, "", database_url)
        for model in models(FOLDER).values():
            for panel in model["panels"]:
                if panel["datasource"] == POSTGRES:
                    drawn = await sources.panel(panel, {"project": new_request_id()}, span("now-30d", time.time()))
                    assert drawn.keys() in ({"labels", "columns"}, {"head", "rows"}), f"{panel['title']}: {drawn}"
            for variable in model["templating"]["list"]:
                if variable["datasource"] == POSTGRES:
                    assert await sources.options(variable) == []
