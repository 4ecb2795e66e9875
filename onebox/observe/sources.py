"""What the panels of dashboards are drawn from: Prometheus, and the platform's PostgreSQL, which is only read."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import asyncpg
from aiohttp import ClientError, ClientSession

from onebox.observe import panels
from onebox.observe.dashboards import POSTGRES
from onebox.observe.panels import Span

_SECONDS: Final = 10.0
_FAILURES: Final = (ClientError, TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class SourceFailed(RuntimeError):
    """A source does not respond, or not as it should; the message says which and why."""


class Sources:
    """`session`: for Prometheus at `prometheus_url`; `database_url`: PostgreSQL."""

    def __init__(self, session: ClientSession, prometheus_url: str, database_url: str) -> None:
        self._session = session
        self._prometheus = prometheus_url
        self._database = database_url

    async def options(self, variable: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The values that a variable may have, with their texts. Raises SourceFailed."""
        query = variable["query"]
        if variable["datasource"] == POSTGRES:
            _, rows = await self._rows(query)
            return [(row["__value"], row["__text"]) for row in rows]
        metric, label = panels.label_of(query["query"])
        found = await self._get(f"/api/v1/label/{label}/values", {"match[]": metric})
        return [(value, value) for value in found]

    async def panel(self, panel: Mapping[str, Any], values: Mapping[str, str], over: Span) -> dict[str, Any]:
        """What a panel shows: `labels` and `columns`, or `head` and `rows`; `error`, if its source failed."""
        try:
            if panel["datasource"] == POSTGRES:
                return await self._from_rows(panel, values, over)
            found = await asyncio.gather(*(self._lines(target, values, over) for target in panel["targets"]))
        except SourceFailed as failure:
            return {"error": str(failure)}
        return panels.drawn([line for lines in found for line in lines], over.times)

    async def _lines(self, target: Mapping[str, Any], values: Mapping[str, str], over: Span) -> list[panels.Line]:
        query = {
            "query": panels.filled(target["expr"], values),
            "start": f"{over.since:.0f}",
            "end": f"{over.until:.0f}",
            "step": str(over.step),
        }
        found = await self._get("/api/v1/query_range", query)
        return panels.lines_of(found["result"], target["legendFormat"])

    async def _from_rows(self, panel: Mapping[str, Any], values: Mapping[str, str], over: Span) -> dict[str, Any]:
        (target,) = panel["targets"]
        if "" in values.values():  # there is nothing yet to choose
            return panels.drawn([], [])
        head, rows = await self._rows(panels.dated(panels.filled(target["rawSql"], values), over))
        return panels.table(head, rows) if panel["type"] == "table" else panels.drawn_rows(rows)

    async def _rows(self, statement: str) -> tuple[list[str], list[dict[str, Any]]]:
        """The columns' names and the rows. Raises SourceFailed."""
        try:
            connection = await asyncpg.connect(
                self._database, timeout=_SECONDS, command_timeout=_SECONDS,
                server_settings={"default_transaction_read_only": "on"},
            )  # fmt: skip
            try:
                prepared = await connection.prepare(statement)
                rows = [dict(row) for row in await prepared.fetch()]
                return [attribute.name for attribute in prepared.get_attributes()], rows
            finally:
                await connection.close(timeout=_SECONDS)
        except _FAILURES as error:
            raise SourceFailed(f"PostgreSQL: {type(error).__name__}: {error}") from None

    async def _get(self, path: str, query: Mapping[str, str]) -> Any:
        """The data of a response of Prometheus. Raises SourceFailed."""
        try:
            async with self._session.get(f"{self._prometheus}{path}", params=query) as response:
                body = await response.json(content_type=None)
        except (*_FAILURES, ValueError) as error:
            raise SourceFailed(f"Prometheus: {type(error).__name__}: {error}") from None
        if body.get("status") != "success":
            raise SourceFailed(f"Prometheus: {body.get('error', 'no data')}")
        return body["data"]
