"""The audit log: every change to a project, for its owners."""

import asyncio
from typing import Final

from aiohttp import web

from frontend import display_names
from frontend.changes import shown
from frontend.models import AuditPage
from frontend.page_views import PageView, in_project

PAGE: Final = 50


async def show(view: PageView) -> web.Response:
    """A page of changes, newest first. For everybody but owners the API says no, which is a page too."""
    token = view.request.query.get("page_token")
    found, keys, members = await asyncio.gather(
        view.api.get(f"{view.api_path}/audit", AuditPage, limit=PAGE, page_token=token),
        display_names.of_keys(view),
        display_names.of_members(view),
    )
    return view.render(
        "audit.html",
        section="audit",
        changes=[shown(entry, keys | members) for entry in found.entries],
        next_token=found.next_page_token,
        first_page=token is None,
    )


ROUTES: Final = (web.get("/projects/{project_id}/audit", in_project(show)),)
