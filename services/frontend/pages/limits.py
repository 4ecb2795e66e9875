"""Limits: what a project may do, how much of it is used, and what happens at the end of it."""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from frontend.models import Limits
from frontend.page_views import PageView, in_project
from frontend.wording import reset_of_month


async def show(view: PageView) -> web.Response:
    """The limits of the project and what of them is used."""
    limits = await view.api.get(f"{view.api_path}/limits", Limits)
    return view.render("limits.html", section="limits", limits=limits, resets=reset_of_month(datetime.now(UTC)))


ROUTES: Final = (web.get("/projects/{project_id}/limits", in_project(show)),)
