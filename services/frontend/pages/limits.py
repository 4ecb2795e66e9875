"""Limits: what a project may do, how much of it is used, and what happens at the end of it."""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from frontend.visits import Visit, in_project
from frontend.wording import reset_of_month


async def show(visit: Visit) -> web.Response:
    """The limits of the project and what of them is used."""
    limits = await visit.api.get(f"{visit.api_path}/limits")
    return visit.render("limits.html", section="limits", limits=limits, resets=reset_of_month(datetime.now(UTC)))


ROUTES: Final = (web.get("/projects/{project_id}/limits", in_project(show)),)
