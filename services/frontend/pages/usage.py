"""Usage: days, keys, endpoints and tags, as a chart, as a table and as CSV."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from aldea.errors import BadRequest
from frontend import chart, display_names, usage_view
from frontend.api import if_any
from frontend.downloads import pass_on
from frontend.models import Breakdown, Usage
from frontend.page_views import UNUSABLE, PageView, in_project
from frontend.usage_view import GROUPINGS, PRESETS, Selection

CSV_KINDS: Final = frozenset({"request", "day"})


async def show(view: PageView) -> web.Response:
    """The chart and the table of a period."""
    selection = usage_view.read_selection(view.request.query, usage_view.today())
    keys = await display_names.of_users(view)
    found = await _figures(view, selection, keys)
    return view.render(
        "usage.html",
        section="usage",
        status=UNUSABLE if selection.problem else 200,
        selection=selection,
        **found,
        keys=keys,
        today=usage_view.today(),
        presets=PRESETS,
        groupings=GROUPINGS,
        services=usage_view.SERVICES,
        endpoints=usage_view.ENDPOINTS,
    )


async def download(view: PageView) -> web.StreamResponse:
    """The period as CSV, passed on as the API writes it."""
    selection = usage_view.read_selection(view.request.query, usage_view.today())
    if selection.problem:
        raise BadRequest(selection.problem)
    kind = view.request.query.get("by", "request")
    query: Mapping[str, str] = {
        **selection.period,
        **selection.filters,
        "by": kind if kind in CSV_KINDS else "request",
    }
    name = f"usage-{selection.start}-{selection.end}.csv"
    path = f"{view.api_path}/usage/csv"
    return await pass_on(view, path, query, filename=name, content_type="text/csv; charset=utf-8")


async def _figures(view: PageView, selection: Selection, keys: Mapping[str, str]) -> dict[str, Any]:
    """The chart and the rows; nothing for a period that cannot be."""
    if selection.problem:
        return {"usage": None}
    days, rows, by_key = await asyncio.gather(
        view.api.get(f"{view.api_path}/usage", Usage, **selection.period, **selection.filters),
        _groups(view, selection),
        _by_day_and_key(view, selection),
    )
    shown = usage_view.day_rows(days) if rows is None else rows
    return {
        "usage": days,
        "chart": chart.by_day(days) if by_key is None else chart.by_key(days, by_key, keys),
        "measures": chart.MEASURES,
        "rows": shown[: usage_view.MAX_ROWS],
        "left_out": max(0, len(shown) - usage_view.MAX_ROWS),
    }


async def _by_day_and_key(view: PageView, selection: Selection) -> Breakdown | None:
    """Each key's days, if that is what is looked at; None too for more of them than the API breaks down."""
    if selection.grouping != "accessor":
        return None
    path, grouping = f"{view.api_path}/usage/breakdown", ["day", "accessor"]
    return await if_any(view.api.get(path, Breakdown, grouping=grouping, **selection.period, **selection.filters))


async def _groups(view: PageView, selection: Selection) -> list[usage_view.Row] | None:
    """The table's rows; None where it is the days' own."""
    if selection.grouping == "day":
        return None
    path = f"{view.api_path}/usage/breakdown"
    found = await view.api.get(path, Breakdown, grouping=selection.grouping, **selection.period, **selection.filters)
    return usage_view.group_rows(found, selection.grouping)


ROUTES: Final = (
    web.get("/projects/{project_id}/usage", in_project(show)),
    web.get("/projects/{project_id}/usage.csv", in_project(download)),
)
