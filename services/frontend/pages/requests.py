"""Single requests, for debugging: found by id or by what they had in common, one in detail, all found as a file."""

import asyncio
from typing import Any, Final

from aiohttp import web

from aldea.errors import BadRequest
from frontend import display_names, usage_view
from frontend.api import ApiRefusal, segment
from frontend.downloads import pass_on
from frontend.models import RequestItem, RequestList
from frontend.outcomes import outcome, timeline
from frontend.page_views import UNUSABLE, PageView, in_project
from frontend.rendering import go
from frontend.usage_view import Selection

# Requests on one page.
PAGE: Final = 50
SECTION: Final = "usage/requests"
# Suffix of a file → where the API makes it, and what it is.
_FILES: Final = {
    "csv": ("/usage/csv", "text/csv; charset=utf-8"),
    "json": ("/usage/json", "application/json; charset=utf-8"),
}
_MISSING: Final = (
    "There is no request {} in this project, or it is not kept any more. "
    "A new one appears here some seconds after its start."
)


async def show(view: PageView) -> web.Response:
    """The requests that match, newest first; a request's id leads to that request."""
    selection = usage_view.read_search(view.request.query, usage_view.today())
    searched = selection.search.get("request_id", "")
    if searched and not selection.problem:
        return go(view.request, f"{view.path}/usage/requests/{usage_view.as_uuid(searched)}")
    return await _page(view, selection)


async def show_one(view: PageView) -> web.Response:
    """One request from admission to end; the search form where there is none of that id."""
    wanted = view.request.match_info["request_id"]
    path = f"{view.api_path}/requests/{segment(wanted)}"
    try:
        found, keys = await asyncio.gather(view.api.get(path, RequestItem), display_names.of_users(view))
    except ApiRefusal as refusal:
        if refusal.status != 404:
            raise
        query = {"request_id": wanted[: usage_view.LONGEST_SEARCH]}
        selection = usage_view.read_search(query, usage_view.today())
        problem = selection.problem or _MISSING.format(query["request_id"])
        return await _page(view, selection, problem, status=404)
    request = found.request
    return view.render(
        "usage_request.html",
        section=SECTION,
        utc=True,
        shown=request,
        became=outcome(request),
        events=timeline(request),
        key=keys.get(request.api_key_id),
        services=usage_view.SERVICES,
    )


async def download(view: PageView) -> web.StreamResponse:
    """The requests that match, oldest first, as a file."""
    selection = usage_view.read_search(view.request.query, usage_view.today())
    if selection.problem:
        raise BadRequest(selection.problem)
    path, content_type = _FILES[suffix := view.request.match_info["suffix"]]
    query = {**selection.period, **selection.filters, **selection.search}
    name = f"requests-{selection.start}-{selection.end}.{suffix}"
    return await pass_on(view, view.api_path + path, query, filename=name, content_type=content_type)


async def _page(view: PageView, selection: Selection, problem: str = "", *, status: int = UNUSABLE) -> web.Response:
    problem = problem or selection.problem
    found, keys = await asyncio.gather(_found(view, selection, problem), display_names.of_users(view))
    return view.render(
        "usage_requests.html",
        section=SECTION,
        status=status if problem else 200,
        utc=True,
        selection=selection,
        problem=problem,
        **found,
        keys=keys,
        today=usage_view.today(),
        presets=usage_view.PRESETS,
        services=usage_view.SERVICES,
        endpoints=usage_view.ENDPOINTS,
        outcomes=usage_view.OUTCOMES,
    )


async def _found(view: PageView, selection: Selection, problem: str) -> dict[str, Any]:
    """A page of requests; nothing for a search that cannot be."""
    if problem:
        return {"requests": [], "next_token": None, "first_page": True}
    token = view.request.query.get("page_token")
    place = {"page_token": token} if token else selection.period
    found = await view.api.get(
        f"{view.api_path}/requests",
        RequestList,
        limit=PAGE,
        running="true",
        **place,
        **selection.filters,
        **selection.search,
    )
    return {"requests": found.requests, "next_token": found.next_page_token, "first_page": token is None}


ROUTES: Final = (
    web.get("/projects/{project_id}/usage/requests", in_project(show)),
    web.get("/projects/{project_id}/usage/requests/{request_id}", in_project(show_one)),
    web.get(r"/projects/{project_id}/requests.{suffix:csv|json}", in_project(download)),
)
