"""The operators' live map of lanes and servers, what runs badly, and the way to any project, key and request."""

import re
from typing import Final
from uuid import UUID

from aiohttp import web

from frontend import fleet_view
from frontend.api import ApiRefusal
from frontend.fleet_models import Fleet, FoundKeys, Story
from frontend.models import OperatedProject
from frontend.outcomes import outcome, timeline
from frontend.page_views import PageView, operator_only
from frontend.rendering import go
from frontend.settings import SETTINGS
from frontend.usage_view import SERVICES

_LONGEST_SEARCH: Final = 254
# Shorter than any credential that this platform makes.
_LONGEST_NAME: Final = 39
_LAST4: Final = re.compile(r"^[A-Za-z0-9_-]{4}$")
_CREDENTIAL: Final = re.compile(r"^[a-z]{3,4}_[A-Za-z0-9]+([A-Za-z0-9_-]{4})$")


async def show(view: PageView) -> web.Response:
    """The map; it renews itself."""
    found = await view.api.get("/v1/operator/fleet", Fleet)
    return view.render(
        "operator_fleet.html",
        section="operator",
        fleet=found,
        lanes=fleet_view.by_lane(found),
        totals=fleet_view.totals(found),
    )


async def find(view: PageView) -> web.Response:
    """Where a request's or project's id leads, the keys with these last characters, or projects of that name."""
    text = view.request.query.get("q", "").strip()[:_LONGEST_SEARCH].lstrip("….")
    if len(text) > _LONGEST_NAME and (pasted := _CREDENTIAL.match(text)) is not None:
        # A whole key belongs in no address: its end finds it.
        return go(view.request, f"/operator/find?q={pasted[1]}")
    if (found := _uuid(text)) is not None:
        for path, model, page in (
            (f"/v1/operator/requests/{found}", Story, f"/operator/requests/{found}"),
            (f"/v1/operator/projects/{found}", OperatedProject, f"/operator/projects/{found}"),
        ):
            try:
                await view.api.get(path, model)
            except ApiRefusal as refusal:
                if refusal.status != 404:
                    raise
            else:
                return go(view.request, page)
        return view.render("operator_find.html", section="operator", status=404, text=text, keys=[])
    keys = await view.api.get("/v1/operator/keys", FoundKeys, last4=text) if _LAST4.match(text) else FoundKeys(keys=[])
    return view.render("operator_find.html", section="operator", text=text, keys=keys.keys)


async def show_request(view: PageView) -> web.Response:
    """One request's whole story."""
    found = _uuid(view.request.match_info["request_id"])
    if found is None:
        raise web.HTTPNotFound
    story = await view.api.get(f"/v1/operator/requests/{found}", Story)
    return view.render(
        "operator_request.html",
        section="operator",
        utc=True,
        shown=story,
        became=outcome(story),
        events=timeline(story),
        services=SERVICES,
        trace_link=view.request.app[SETTINGS].trace_link(story.trace_id),
    )


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


ROUTES: Final = (
    web.get("/operator/fleet", operator_only(show)),
    web.get("/operator/find", operator_only(find)),
    web.get("/operator/requests/{request_id}", operator_only(show_request)),
)
