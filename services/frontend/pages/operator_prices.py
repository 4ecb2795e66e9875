"""The operators' pages of money: the price book, and a billing account's plan."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from aiohttp import web

from frontend import limit_fields
from frontend.api import ApiRefusal
from frontend.models import AccountPlan, OperatedProject, Prices
from frontend.page_views import UNUSABLE, PageView, operator_only
from frontend.pages.operator import PLANS
from frontend.pages.projects import form_problem
from frontend.rendering import go
from frontend.usage_view import SERVICES
from frontend.wording import MICROS

_NO_AMOUNT: Final = "Give an amount in US dollars: 0.36, or 1,000."
_EMPTY: Final = {"plan": "free", "service": "streaming", "model": "", "dollars": "", "effective_from": ""}


async def show_prices(view: PageView) -> web.Response:
    """The price book."""
    return await _prices(view, _EMPTY)


async def add_price(view: PageView) -> web.Response:
    """Add a price. One that is sent twice is added once."""
    fields = await view.form()
    values = {name: fields.get(name, "") for name in _EMPTY}
    try:
        wanted: dict[str, Any] = {
            "plan": values["plan"],
            "service": values["service"],
            "micros_per_hour": _micros(values["dollars"]),
            "effective_from": values["effective_from"],
        }
    except ValueError:
        return await _prices(view, values, _NO_AMOUNT)
    if values["model"]:
        wanted["model"] = values["model"]
    try:
        await view.api.send("POST", "/v1/operator/prices", wanted)
    except ApiRefusal as refusal:
        return await _prices(view, values, form_problem(refusal))
    return go(view.request, "/operator/prices", notice="price-added")


async def show_plan(view: PageView) -> web.Response:
    """The form for another plan."""
    return await _plan(view)


async def change_plan(view: PageView) -> web.Response:
    """Give the billing account of a project another plan."""
    fields = await view.form()
    values = {name: fields.get(name, "") for name in ("plan", "dollars")}
    wanted: dict[str, Any] = {"plan": values["plan"]}
    try:
        if values["dollars"]:
            wanted["credit_limit_micros"] = _micros(values["dollars"])
    except ValueError:
        return await _plan(view, values, _NO_AMOUNT)
    project_id = _project_id(view)
    try:
        await view.api.send("PUT", f"/v1/operator/projects/{project_id}/plan", wanted)
    except ApiRefusal as refusal:
        return await _plan(view, values, form_problem(refusal))
    return go(view.request, f"/operator/projects/{project_id}", notice="plan-changed")


async def _prices(view: PageView, values: Mapping[str, str], problem: str = "") -> web.Response:
    found = await view.api.get("/v1/operator/prices", Prices)
    return view.render(
        "operator_prices.html",
        section="operator",
        utc=True,
        status=UNUSABLE if problem else 200,
        prices=found.prices,
        plans=PLANS,
        services=SERVICES,
        values=values,
        problem=problem,
    )


async def _plan(view: PageView, values: Mapping[str, str] | None = None, problem: str = "") -> web.Response:
    """The form, as it was typed or as the plan is now."""
    path = f"/v1/operator/projects/{_project_id(view)}"
    found, now = await asyncio.gather(view.api.get(path, OperatedProject), view.api.get(f"{path}/plan", AccountPlan))
    if values is None:
        limit = now.credit_limit_micros
        values = {"plan": now.plan, "dollars": "" if limit is None else f"{Decimal(limit) / MICROS:f}"}
    return view.render(
        "operator_plan.html",
        section="operator",
        status=UNUSABLE if problem else 200,
        shown=found,
        plans=PLANS,
        values=values,
        problem=problem,
    )


def _micros(text: str) -> int:
    """An amount as typed, in micro-dollars. Raises ValueError for what is none, finer than that, or below zero."""
    micros = limit_fields.dollars(text)
    if micros < 0:
        raise ValueError(text)
    return micros


def _project_id(view: PageView) -> str:
    try:
        return str(UUID(view.request.match_info["project_id"]))
    except ValueError:
        raise web.HTTPNotFound from None


ROUTES: Final = (
    web.get("/operator/prices", operator_only(show_prices)),
    web.post("/operator/prices", operator_only(add_price)),
    web.get("/operator/projects/{project_id}/plan", operator_only(show_plan)),
    web.post("/operator/projects/{project_id}/plan", operator_only(change_plan)),
)
