"""Usage: days, keys, endpoints and tags; a day's requests; one request's timeline; all of it as CSV."""

import asyncio
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from frontend import names, usage_view
from frontend.api import ApiDown, ApiRefusal, segment
from frontend.outcomes import outcome, timeline
from frontend.usage_view import GROUPINGS, PRESETS, Asked
from frontend.visits import Visit, in_project

# Requests on one page of a day.
PAGE: Final = 50
CSV_KINDS: Final = frozenset({"request", "day"})


async def show(visit: Visit) -> web.Response:
    """The chart and the table of a period."""
    asked = usage_view.read_asked(visit.request.query, usage_view.today())
    days, keys, rows = await asyncio.gather(
        visit.api.get(f"{visit.api_path}/usage", **asked.period, **asked.filters),
        names.of_users(visit),
        _groups(visit, asked),
    )
    shown = usage_view.day_rows(days) if rows is None else rows
    return visit.render(
        "usage.html",
        section="usage",
        asked=asked,
        usage=days,
        chart=usage_view.chart(days),
        rows=shown[: usage_view.MAX_ROWS],
        left_out=max(0, len(shown) - usage_view.MAX_ROWS),
        keys=keys,
        today=usage_view.today(),
        presets=PRESETS,
        groupings=GROUPINGS,
        services=usage_view.SERVICES,
        endpoints=usage_view.ENDPOINTS,
    )


async def show_day(visit: Visit) -> web.Response:
    """The requests of one day, or of the period, newest first."""
    asked = usage_view.read_asked(visit.request.query, usage_view.today())
    token = visit.request.query.get("page_token")
    place = {"page_token": token} if token else asked.period
    found, keys = await asyncio.gather(
        visit.api.get(f"{visit.api_path}/requests", limit=PAGE, **place, **asked.filters), names.of_users(visit)
    )
    return visit.render(
        "usage_requests.html",
        section="usage",
        asked=asked,
        requests=found["requests"],
        next_token=found["next_page_token"],
        first_page=token is None,
        keys=keys,
    )


async def show_request(visit: Visit) -> web.Response:
    """One request from admission to end."""
    path = f"{visit.api_path}/requests/{segment(visit.request.match_info['request_id'])}"
    found, keys = await asyncio.gather(visit.api.get(path), names.of_users(visit))
    request = found["request"]
    return visit.render(
        "usage_request.html",
        section="usage",
        shown=request,
        became=outcome(request),
        events=timeline(request),
        key=keys.get(request["api_key_id"]),
    )


async def download(visit: Visit) -> web.StreamResponse:
    """The period as CSV, passed on as the API writes it."""
    asked = usage_view.read_asked(visit.request.query, usage_view.today())
    kind = visit.request.query.get("by", "request")
    query: Mapping[str, str] = {
        **asked.period,
        **asked.filters,
        "by": kind if kind in CSV_KINDS else "request",
    }
    path = f"{visit.api_path}/usage/csv"
    api = visit.api
    response = web.StreamResponse(headers={"Content-Type": "text/csv; charset=utf-8"})
    try:
        async with api.api.download(path, token=api.token, address=api.address, query=query) as answer:
            name = f"usage-{asked.start}-{asked.end}.csv"
            response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
            await response.prepare(visit.request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
    except (ApiDown, ApiRefusal):
        if not response.prepared:
            raise
        # Half a file must not look like a whole one.
        if visit.request.transport is not None:
            visit.request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _groups(visit: Visit, asked: Asked) -> list[usage_view.Row] | None:
    """The table's rows; None where it is the days' own."""
    if asked.grouping == "day":
        return None
    path = f"{visit.api_path}/usage/breakdown"
    found = await visit.api.get(path, grouping=asked.grouping, **asked.period, **asked.filters)
    return usage_view.group_rows(found, asked.grouping)


ROUTES: Final = (
    web.get("/projects/{project_id}/usage", in_project(show)),
    web.get("/projects/{project_id}/usage/requests", in_project(show_day)),
    web.get("/projects/{project_id}/usage/requests/{request_id}", in_project(show_request)),
    web.get("/projects/{project_id}/usage.csv", in_project(download)),
)
