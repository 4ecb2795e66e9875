"""The operators' page of incidents: what the public status page says of them, published, updated and resolved here."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from aiohttp import web

from aldea.service.payload import form
from frontend.api import ApiRefusal
from frontend.page_views import UNUSABLE, PageView, operator_only, text_fields
from frontend.pages.projects import form_problem
from frontend.rendering import go
from frontend.status_models import Incidents

_API: Final = "/v1/operator/incidents"
COMPONENTS: Final = {"stream": "Live streams", "upload": "Recorded audio", "usage": "Usage and billing"}
_NEW: Final = {"title": "", "impact": "minor", "message": ""}
_NEWS: Final = {"state": "identified", "message": ""}


async def show(view: PageView) -> web.Response:
    """Incidents, the open ones first, each with a form for news of it, and a form for a new one."""
    return await _page(view)


async def publish(view: PageView) -> web.Response:
    """Publish a new incident."""
    fields = await form(view.request)
    typed = {name: text_fields(fields).get(name, "") for name in _NEW}
    components = [name for name in COMPONENTS if name in fields.getall("components", [])]
    if not components:
        return await _page(view, "new", "Choose what is affected.", typed=typed)
    try:
        await view.api.send("POST", _API, {**typed, "components": components})
    except ApiRefusal as refusal:
        return await _page(view, "new", form_problem(refusal), typed=typed, components=components)
    return go(view.request, "/operator/incidents", notice="incident-published")


async def update(view: PageView) -> web.Response:
    """Publish news of an incident, or that it is over."""
    try:
        incident_id = str(UUID(view.request.match_info["incident_id"]))
    except ValueError:
        raise web.HTTPNotFound from None
    fields = await view.form()
    typed = {name: fields.get(name, "") for name in _NEWS}
    try:
        await view.api.send("POST", f"{_API}/{incident_id}/updates", typed)
    except ApiRefusal as refusal:
        return await _page(view, incident_id, form_problem(refusal), news=typed)
    return go(view.request, "/operator/incidents", notice="incident-published")


async def _page(
    view: PageView,
    form_of: str = "",
    problem: str = "",
    *,
    typed: Mapping[str, str] = _NEW,
    components: list[str] | None = None,
    news: Mapping[str, Any] = _NEWS,
) -> web.Response:
    """`form_of`: whose `problem` it is, an incident's id or "new"; the others are what was typed."""
    found = await view.api.get(_API, Incidents)
    return view.render(
        "operator_incidents.html",
        section="operator",
        status=UNUSABLE if problem else 200,
        incidents=found.incidents,
        all_components=COMPONENTS,
        typed=typed,
        chosen=components or [],
        news=news,
        form_of=form_of,
        problem=problem,
    )


ROUTES: Final = (
    web.get("/operator/incidents", operator_only(show)),
    web.post("/operator/incidents", operator_only(publish)),
    web.post("/operator/incidents/{incident_id}", operator_only(update)),
)
