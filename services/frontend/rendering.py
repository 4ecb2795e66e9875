"""Pages from templates: what every template may use, escaped by default, strict about what is missing."""

import string
import unicodedata
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from frontend import cookies, csrf, fleet_view, status_view, wording
from frontend.assets import ASSETS
from frontend.cookies import COOKIES
from frontend.notices import NOTICES
from frontend.outcomes import outcome
from frontend.settings import SETTINGS

TEMPLATES: Final = Path(__file__).parent / "templates"
# htmx marks its requests with this; their responses must not be taken from a cache for a whole page.
HTMX_HEADER: Final = "HX-Request"
# Of a path in a Location; everything else is percent-encoded (RFC 3986 section 2).
_AS_WRITTEN: Final = string.punctuation


@cache
def environment() -> Environment:
    """The templates, compiled once in a process, with the filters that speak of times and figures."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "number",
        "hours",
        "audio",
        "precise",
        "counted",
        "size",
        "money",
        "micros",
        "short_id",
        "whole_end",
        "day_title",
        "month_title",
    ):
        made.filters[name] = getattr(wording, name)
    made.filters["moment"] = _moment
    made.filters["ago"] = _ago
    made.globals["percent"] = wording.percent
    made.globals["outcome"] = outcome
    made.globals |= {
        "status_state": status_view.state,
        "status_share": status_view.share,
        "status_bar": status_view.bar,
        "status_words": status_view.in_words,
        "fleet_state": fleet_view.state,
        "fleet_percent": fleet_view.percent,
        "fleet_budget": fleet_view.budget,
        "impacts": status_view.IMPACTS,
        "progress": status_view.PROGRESS,
    }
    return made


@pass_context
def _moment(context: Context, text: str | None, seconds: bool = False) -> str:
    return wording.moment(text, context["zone"], seconds=seconds, utc=context["utc"])


@pass_context
def _ago(context: Context, text: str | None) -> str:
    return wording.ago(text, context["now"])


def render(
    request: web.Request, template: str, /, *, status: int = 200, section: str = "", **context: Any
) -> web.Response:
    """The page that `template` makes. `section`: the part of the console it belongs to, marked in the navigation."""
    jar = request.app[COOKIES]
    notice = jar.notice(request)
    reader_zone = cookies.zone(request)
    page = (
        environment()
        .get_template(template)
        .render(
            {
                "view": None,
                "section": section,
                "path": request.path,
                "asset": request.app[ASSETS].url,
                "csrf_token": partial(csrf.issue, request),
                "theme": cookies.theme(request),
                "zone": reader_zone,
                "zone_name": reader_zone.key,
                # Whether the page's times are UTC, as its days are; otherwise they are the reader's.
                "utc": False,
                "now": datetime.now(UTC),
                "notice": NOTICES.get(notice or ""),
                "support_url": request.app[SETTINGS].support_url,
                "status_url": request.app[SETTINGS].status_url or "/status",
                "docs_url": f"{request.app[SETTINGS].public_api_url}/docs",
                **context,
            }
        )
    )
    response = web.Response(text=page, status=status, content_type="text/html", charset="utf-8")
    response.headers["Vary"] = f"Cookie, {HTMX_HEADER}"
    response.enable_compression()
    if notice is not None:
        jar.clear_notice(response)
    return response


def go(request: web.Request, location: str, *, notice: str | None = None) -> web.Response:
    """Send the browser on after a change (303: by GET), with a notice for the next page.

    `location`: a path of ours. htmx gets its own header, since it would follow a redirect inside its request.
    """
    if request.headers.get(HTMX_HEADER):
        response = web.Response(status=204, headers={"HX-Redirect": location})
    else:
        response = web.Response(status=303, headers={"Location": location})
    if notice is not None:
        assert notice in NOTICES, notice
        request.app[COOKIES].set_notice(response, notice)
    return response


def local_path(text: str) -> str | None:
    """`text`, as a header may carry it, if it is a path of this site; None for whatever could lead elsewhere."""
    if not text.startswith("/") or text.startswith(("//", "/\\")) or any(unicodedata.category(c) == "Cc" for c in text):
        return None
    return quote(text, safe=_AS_WRITTEN, errors="replace")
