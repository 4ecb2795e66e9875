"""Usage: days, keys, endpoints and tags; a day's requests; one request's timeline; all of it as CSV."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from aldea.errors import BadRequest
from frontend import display_names, usage_view
from frontend.api import ApiDown, ApiRefusal, segment
from frontend.models import Breakdown, RequestItem, RequestList, Usage
from frontend.outcomes import outcome, timeline
from frontend.page_views import UNUSABLE, PageView, in_project
from frontend.usage_view import GROUPINGS, PRESETS, Selection

# Requests on one page of a day.
PAGE: Final = 50
CSV_KINDS: Final = frozenset({"request", "day"})


async def show(view: PageView) -> web.Response:
    """The chart and the table of a period."""
    selection = usage_view.read_selection(view.request.query, usage_view.today())
    keys, found = await asyncio.gather(display_names.of_users(view), _figures(view, selection))
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


async def show_day(view: PageView) -> web.Response:
    """The requests of one day, or of the period, newest first."""
    selection = usage_view.read_selection(view.request.query, usage_view.today())
    if selection.problem:
        raise BadRequest(selection.problem)
    token = view.request.query.get("page_token")
    place = {"page_token": token} if token else selection.period
    found, keys = await asyncio.gather(
        view.api.get(
            f"{view.api_path}/requests", RequestList, limit=PAGE, running="true", **place, **selection.filters
        ),
        display_names.of_users(view),
    )
    return view.render(
        "usage_requests.html",
        section="usage",
        selection=selection,
        requests=found.requests,
        next_token=found.next_page_token,
        first_page=token is None,
        keys=keys,
    )


async def show_request(view: PageView) -> web.Response:
    """One request from admission to end."""
    path = f"{view.api_path}/requests/{segment(view.request.match_info['request_id'])}"
    found, keys = await asyncio.gather(view.api.get(path, RequestItem), display_names.of_users(view))
    request = found.request
    return view.render(
        "usage_request.html",
        section="usage",
        shown=request,
        became=outcome(request),
        events=timeline(request),
        key=keys.get(request.api_key_id),
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
    path = f"{view.api_path}/usage/csv"
    api = view.api
    response = web.StreamResponse(headers={"Content-Type": "text/csv; charset=utf-8"})
    try:
        async with api.api.download(path, token=api.token, address=api.address, query=query) as source:
            name = f"usage-{selection.start}-{selection.end}.csv"
            response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
            await response.prepare(view.request)
            async for chunk in source.content.iter_any():
                await response.write(chunk)
    except (ApiDown, ApiRefusal):
        if not response.prepared:
            raise
        # Half a file must not look like a whole one.
        if view.request.transport is not None:
            view.request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _figures(view: PageView, selection: Selection) -> dict[str, Any]:
    """The chart and the rows; nothing for a period that cannot be."""
    if selection.problem:
        return {"usage": None}
    days, rows = await asyncio.gather(
        view.api.get(f"{view.api_path}/usage", Usage, **selection.period, **selection.filters),
        _groups(view, selection),
    )
    shown = usage_view.day_rows(days) if rows is None else rows
    return {
        "usage": days,
        "chart": usage_view.chart(days),
        "rows": shown[: usage_view.MAX_ROWS],
        "left_out": max(0, len(shown) - usage_view.MAX_ROWS),
    }


async def _groups(view: PageView, selection: Selection) -> list[usage_view.Row] | None:
    """The table's rows; None where it is the days' own."""
    if selection.grouping == "day":
        return None
    path = f"{view.api_path}/usage/breakdown"
    found = await view.api.get(path, Breakdown, grouping=selection.grouping, **selection.period, **selection.filters)
    return usage_view.group_rows(found, selection.grouping)


ROUTES: Final = (
    web.get("/projects/{project_id}/usage", in_project(show)),
    web.get("/projects/{project_id}/usage/requests", in_project(show_day)),
    web.get("/projects/{project_id}/usage/requests/{request_id}", in_project(show_request)),
    web.get("/projects/{project_id}/usage.csv", in_project(download)),
)
