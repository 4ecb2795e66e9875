"""The overview: what a project has done, does now and may do; the first steps until the first request arrives."""

import asyncio
from typing import Any, Final

from aiohttp import web

from frontend import usage_view
from frontend.api import if_any
from frontend.settings import SETTINGS
from frontend.snippets import snippets
from frontend.visits import Visit, in_project

# On the reader's page this part comes anew every few seconds (js/app.js says how many).
_WAITING: Final = "waiting"


async def show(visit: Visit) -> web.Response:
    """The overview of a project."""
    asked = usage_view.read_asked({}, usage_view.today())
    month = {"start": asked.end.replace(day=1).isoformat(), "end": asked.end.isoformat()}
    usage, live, spend, balances = await asyncio.gather(
        visit.api.get(f"{visit.api_path}/usage", **asked.period),
        _live(visit),
        if_any(visit.api.get(f"{visit.api_path}/spend", **month)),
        if_any(visit.api.get(f"{visit.api_path}/balances")),
    )
    return visit.render(
        "overview.html",
        section="overview",
        usage=usage,
        chart=usage_view.chart(usage),
        spend=spend,
        balance=sum(found["amount"] for found in balances["balances"]) if balances else None,
        snippets=snippets(visit.request.app[SETTINGS]),
        **live,
    )


async def show_live(visit: Visit) -> web.Response:
    """What changes by the second; the whole page anew once the first request has arrived."""
    live = await _live(visit)
    if _WAITING in visit.request.query and live["begun"]:
        return web.Response(status=204, headers={"HX-Refresh": "true"})
    return visit.render("live.html", section="overview", **live)


async def _live(visit: Visit) -> dict[str, Any]:
    limits, live, newest = await asyncio.gather(
        visit.api.get(f"{visit.api_path}/limits"),
        if_any(visit.api.get(f"{visit.api_path}/live")),
        visit.api.get(f"{visit.api_path}/requests", limit=5),
    )
    return {
        "limits": limits,
        "streams": live["streams"] if live else [],
        "running": live["count"] if live else limits["used"]["streams_now"],
        "newest": newest["requests"],
        "begun": bool(newest["requests"]),
    }


ROUTES: Final = (
    web.get("/projects/{project_id}/overview", in_project(show)),
    web.get("/projects/{project_id}/overview/live", in_project(show_live)),
)
