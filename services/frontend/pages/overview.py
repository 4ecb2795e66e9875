"""The overview: what a project has done, does now and may do; the first steps until the first request arrives."""

from typing import Final

from aiohttp import web

from frontend.settings import SETTINGS
from frontend.snippets import snippets
from frontend.visits import Visit, in_project


async def show(visit: Visit) -> web.Response:
    """The overview of a project."""
    return visit.render("overview.html", section="overview", snippets=snippets(visit.request.app[SETTINGS]))


ROUTES: Final = (web.get("/projects/{project_id}/overview", in_project(show)),)
