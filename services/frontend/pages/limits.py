"""Limits: what a project may do, how much of it is used, and what happens at the end of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from frontend import limit_fields
from frontend.api import ApiRefusal
from frontend.models import Limits
from frontend.page_views import UNUSABLE, PageView, in_project
from frontend.pages.projects import form_problem
from frontend.rendering import go
from frontend.wording import reset_of_month


async def show(view: PageView) -> web.Response:
    """The limits of the project and what of them is used."""
    return await _page(view)


async def change(view: PageView) -> web.Response:
    """Limit the project itself, at or below its plan; an empty field lifts a limit."""
    fields = await view.form()
    try:
        await view.api.send("PATCH", f"{view.api_path}/limits", limit_fields.wanted(fields))
    except ValueError:
        return await _page(view, fields, limit_fields.PROBLEM)
    except ApiRefusal as refusal:
        return await _page(view, fields, form_problem(refusal))
    return go(view.request, f"{view.path}/limits", notice="limits-changed")


async def _page(view: PageView, typed: Mapping[str, str] | None = None, problem: str = "") -> web.Response:
    limits = await view.api.get(f"{view.api_path}/limits", Limits)
    values = limit_fields.values(limits.own) if typed is None else typed
    return view.render(
        "limits.html",
        section="limits",
        status=UNUSABLE if problem else 200,
        limits=limits,
        resets=reset_of_month(datetime.now(UTC)),
        values={field: values.get(field, "") for field in limit_fields.FIELDS},
        problem=problem,
    )


ROUTES: Final = (
    web.get("/projects/{project_id}/limits", in_project(show)),
    web.post("/projects/{project_id}/limits", in_project(change)),
)
