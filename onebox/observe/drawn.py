"""The pages of `make observe` that draw Grafana's dashboards with uPlot, where a Prometheus runs."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final

from aiohttp import web

from onebox.home import ROOT
from onebox.observe import panels
from onebox.observe.panels import UnusableView
from onebox.observe.sources import SourceFailed, Sources

FOLDER: Final = ROOT / "observability" / "grafana" / "dashboards"
# Where `/` leads.
FIRST: Final = "platform"
RANGES: Final = ("now-15m", "now-1h", "now-3h", "now-24h", "now-30d")
_PAGE: Final = ROOT / "onebox" / "observe" / "dashboard.html"
_REFRESH_SECONDS: Final = {"30s": 30}


def add_routes(app: web.Application, sources: Sources, now: Callable[[], float] = time.time) -> None:
    """`/dashboards/NAME`, a page for each shipped dashboard, and `…/data`, which it draws again and again."""
    models = panels.models(FOLDER)

    def model_of(request: web.Request) -> tuple[str, dict[str, Any]]:
        name = request.match_info["name"]
        if name not in models:
            raise web.HTTPNotFound(text=f"got the dashboard {name[:40]!r}; there are {', '.join(models)}\n")
        return name, models[name]

    async def home(_request: web.Request) -> web.Response:
        raise web.HTTPFound(f"/dashboards/{FIRST}")

    async def page(request: web.Request) -> web.Response:
        name, model = model_of(request)
        try:
            _, fields = await _variables(sources, model, request.query)
            panels.span(_from(request, model), now())
        except UnusableView as refusal:
            raise web.HTTPBadRequest(text=f"{refusal}\n") from None
        except SourceFailed as failure:
            fields = escape(str(failure))
        text = _PAGE.read_text()
        parts = {
            "TITLE": escape(model["title"]),
            "NAME": name,
            "DASHBOARDS": _links({f"/dashboards/{each}": each for each in models}, f"/dashboards/{name}"),
            "RANGES": _links({f"?from={each}": each for each in RANGES}, f"?from={_from(request, model)}"),
            "VARIABLES": fields,
            "MODEL": json.dumps(_shown(model)).replace("<", "\\u003c"),
        }
        for part, meant in parts.items():
            text = text.replace(part, meant)
        return web.Response(text=text, content_type="text/html")

    async def data(request: web.Request) -> web.Response:
        _, model = model_of(request)
        try:
            over = panels.span(_from(request, model), now())
            values, _ = await _variables(sources, model, request.query)
        except UnusableView as refusal:
            raise web.HTTPBadRequest(text=f"{refusal}\n") from None
        except SourceFailed as failure:
            raise web.HTTPBadGateway(text=f"{failure}\n") from None
        found = await asyncio.gather(*(sources.panel(panel, values, over) for panel in model["panels"]))
        drawn = {panel["id"]: each for panel, each in zip(model["panels"], found, strict=True)}
        return web.json_response({"range": [over.since, over.until], "panels": drawn})

    app.router.add_get("/", home)
    app.router.add_get("/dashboards/{name}", page)
    app.router.add_get("/dashboards/{name}/data", data)


def _from(request: web.Request, model: Mapping[str, Any]) -> str:
    default: str = model["time"]["from"]
    return request.query.get("from", default)


async def _variables(
    sources: Sources, model: Mapping[str, Any], query: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """The variables' values, and their fields. Raises UnusableView, SourceFailed."""
    values, fields = {}, []
    for variable in model["templating"]["list"]:
        name = variable["name"]
        values[name], options = panels.chosen(variable, await sources.options(variable), query.get(name))
        listed = "".join(
            f'<option value="{escape(option["value"])}" {option["taken"]}>{escape(option["text"])}</option>'
            for option in options
        )
        fields.append(f'<label>{escape(name)} <select name="{escape(name)}">{listed}</select></label>')
    if fields and (since := query.get("from")) is not None:
        fields.append(f'<input type="hidden" name="from" value="{escape(since)}">')
    return values, " ".join(fields)


def _links(texts: Mapping[str, str], here: str) -> str:
    return " ".join(
        f'<a href="{link}"{" aria-current=page" if link == here else ""}>{escape(text)}</a>'
        for link, text in texts.items()
    )


def _shown(model: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's script knows of a dashboard. `daily`: its points are days, which are marked."""
    return {
        "refresh": _REFRESH_SECONDS[model["refresh"]],
        "panels": [
            {
                "id": panel["id"],
                "title": panel["title"],
                "gridPos": panel["gridPos"],
                "units": panels.units(panel),
                "daily": "rawSql" in panel["targets"][0],
            }
            for panel in model["panels"]
        ],
    }
