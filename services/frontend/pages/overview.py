"""The overview: what a project has done, does now and may do; the first steps until the first request arrives."""

import asyncio
from typing import Any, Final

from aiohttp import web

from frontend import chart, usage_view
from frontend.api import if_any
from frontend.models import BalanceList, KeyList, Limits, Live, RequestList, Spend, Usage
from frontend.page_views import PageView, in_project
from frontend.settings import SETTINGS
from frontend.snippets import snippets

# On the reader's page this part comes anew every few seconds (js/app.js says how many).
_WAITING: Final = "waiting"


async def show(view: PageView) -> web.Response:
    """The overview of a project."""
    selection = usage_view.read_selection({}, usage_view.today())
    month = {"start": selection.end.replace(day=1).isoformat(), "end": selection.end.isoformat()}
    usage, live, spend, balances = await asyncio.gather(
        view.api.get(f"{view.api_path}/usage", Usage, **selection.period),
        _live(view),
        if_any(view.api.get(f"{view.api_path}/spend", Spend, **month)),
        if_any(view.api.get(f"{view.api_path}/balances", BalanceList)),
    )
    return view.render(
        "overview.html",
        section="overview",
        usage=usage,
        chart=chart.by_day(usage),
        measures=chart.MEASURES,
        spend=spend,
        balance=sum(found.amount for found in balances.balances) if balances else None,
        snippets=snippets(view.request.app[SETTINGS]),
        has_key=not live["begun"] and await _has_key(view),
        **live,
    )


async def show_live(view: PageView) -> web.Response:
    """What changes by the second; the whole page anew once the first request has arrived."""
    live = await _live(view)
    if _WAITING in view.request.query and live["begun"]:
        return web.Response(status=204, headers={"HX-Refresh": "true"})
    return view.render("live.html", section="overview", **live)


async def _has_key(view: PageView) -> bool:
    """Whether the first of the first steps is done."""
    found = await if_any(view.api.get(f"{view.api_path}/keys", KeyList))
    return bool(found and found.api_keys)


async def _live(view: PageView) -> dict[str, Any]:
    limits, live, newest = await asyncio.gather(
        view.api.get(f"{view.api_path}/limits", Limits),
        if_any(view.api.get(f"{view.api_path}/live", Live)),
        view.api.get(f"{view.api_path}/requests", RequestList, limit=5, running="true"),
    )
    return {
        "limits": limits,
        "streams": live.streams if live else [],
        "running": live.count if live else limits.used.streams_now,
        "newest": newest.requests,
        "begun": bool(newest.requests),
    }


ROUTES: Final = (
    web.get("/projects/{project_id}/overview", in_project(show)),
    web.get("/projects/{project_id}/overview/live", in_project(show_live)),
)
