"""Billing: what is left, how fast it is spent, what it was spent on; and each month's statement, to be printed."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from aiohttp import web

from frontend import display_names
from frontend.api import ApiRefusal, if_any
from frontend.downloads import pass_on
from frontend.models import BillingBreakdown, Statement, StatementLine
from frontend.page_views import PageView, in_project
from frontend.usage_view import SERVICES

_MONTH: Final = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])")
# Suffix of a file → where the API makes it, behind the statement's address, and what it is.
_FILES: Final = {"csv": ("/csv", "text/csv; charset=utf-8"), "json": ("", "application/json; charset=utf-8")}
# Months whose statements are listed.
MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class Share:
    """A group's part of the charges."""

    name: str
    micros: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What the account spends in a day, in micro-dollars, and for how many days its balance lasts (None: for ever)."""

    daily_micros: int
    days_left: int | None


async def show(view: PageView) -> web.Response:
    """The project's bill of this month, and its account's balance."""
    now = datetime.now(UTC)
    month, before = _months(now.date(), 2)
    period = {"start": f"{month}-01", "end": now.date().isoformat()}
    path = f"{view.api_path}/billing/breakdown"
    statement, last, by_key, by_tag, names = await asyncio.gather(
        view.api.get(f"{view.api_path}/statements/{month}", Statement),
        if_any(view.api.get(f"{view.api_path}/statements/{before}", Statement)),
        view.api.get(path, BillingBreakdown, **period, grouping="accessor"),
        view.api.get(path, BillingBreakdown, **period, grouping="tags"),
        display_names.of_keys(view),
    )
    return view.render(
        "billing.html",
        section="billing",
        utc=True,
        statement=statement,
        pace=pace(statement, last, now),
        shares={
            "Day": _summed(statement.lines, lambda line: line.day),
            "Model": _summed(statement.lines, lambda line: line.model or "Default"),
            "API key": _billed(by_key, lambda key: names.get(key, key), of_key=True),
            "Tag": _billed(by_tag, str, of_key=False),
        },
        months=_months(now.date(), MONTHS),
    )


async def show_statement(view: PageView) -> web.Response:
    """A month's statement, to be read or printed. What is no month that has begun is not found."""
    month = view.request.match_info["month"]
    if not _MONTH.fullmatch(month):
        raise web.HTTPNotFound
    statement = await if_any(view.api.get(f"{view.api_path}/statements/{month}", Statement))
    if statement is None:
        raise web.HTTPNotFound
    return view.render("statement.html", section="billing", utc=True, statement=statement, services=SERVICES)


async def download(view: PageView) -> web.StreamResponse:
    """A month's statement as a file."""
    month, suffix = view.request.match_info["month"], view.request.match_info["suffix"]
    if not _MONTH.fullmatch(month):
        raise web.HTTPNotFound
    rest, content_type = _FILES[suffix]
    path = f"{view.api_path}/statements/{month}{rest}"
    try:
        return await pass_on(view, path, {}, filename=f"statement-{month}.{suffix}", content_type=content_type)
    except ApiRefusal as refusal:
        if refusal.status == 400:  # a month that has not begun
            raise web.HTTPNotFound from None
        raise


def pace(statement: Statement, last: Statement | None, now: datetime) -> Pace:
    """The account's pace over this month and the one before it."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    charged = statement.charged_micros
    days = (now - first) / timedelta(days=1)
    if last is not None:
        charged += last.charged_micros
        days += (first - timedelta(days=1)).day
    daily = round(max(0, charged) / max(1.0, days))
    return Pace(daily, max(0, statement.closing_micros) // daily if daily else None)


def _summed(lines: Iterable[StatementLine], of: Callable[[StatementLine], str]) -> Sequence[Share]:
    found: dict[str, int] = defaultdict(int)
    for line in lines:
        found[of(line)] += line.charge_micros
    return [Share(name, micros) for name, micros in found.items()]


def _billed(found: BillingBreakdown, name: Callable[[str], str], *, of_key: bool) -> Sequence[Share]:
    shares = []
    for one in found.results:
        key, tags = one.grouping.accessor, one.grouping.tags
        shown = name(key or "") if of_key else ", ".join(tags or ()) or "No tag"
        shares.append(Share(shown, round(one.dollars * 1_000_000)))
    return sorted(shares, key=lambda share: -share.micros)


def _months(today: date, count: int) -> list[str]:
    """The present month and those before it, newest first, as YYYY-MM."""
    found, first = [], today.replace(day=1)
    for _ in range(count):
        found.append(f"{first:%Y-%m}")
        first = (first - timedelta(days=1)).replace(day=1)
    return found


ROUTES: Final = (
    web.get("/projects/{project_id}/billing", in_project(show)),
    web.get(r"/projects/{project_id}/billing/{month}.{suffix:csv|json}", in_project(download)),
    web.get("/projects/{project_id}/billing/{month}", in_project(show_statement)),
)
