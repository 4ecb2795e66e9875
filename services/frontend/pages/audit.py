"""The audit log: every change to a project, for its owners."""

import asyncio
from typing import Final

from aiohttp import web

from frontend import names
from frontend.changes import shown
from frontend.visits import Visit, in_project

PAGE: Final = 50


async def show(visit: Visit) -> web.Response:
    """A page of changes, newest first. For everybody but owners the API says no, which is a page too."""
    token = visit.request.query.get("page_token")
    found, keys, members = await asyncio.gather(
        visit.api.get(f"{visit.api_path}/audit", limit=PAGE, page_token=token),
        names.of_keys(visit),
        names.of_members(visit),
    )
    return visit.render(
        "audit.html",
        section="audit",
        changes=[shown(entry, keys | members) for entry in found["entries"]],
        next_token=found["next_page_token"],
        first_page=token is None,
    )


ROUTES: Final = (web.get("/projects/{project_id}/audit", in_project(show)),)
