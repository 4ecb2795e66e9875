"""The audit log: every change to a project, for its owners."""

import asyncio
from typing import Any, Final

from aiohttp import web

from frontend import usage_view
from frontend.changes import shown
from frontend.pages.overview import if_any
from frontend.visits import Visit, in_project

PAGE: Final = 50


async def show(visit: Visit) -> web.Response:
    """A page of changes, newest first. For everybody but owners the API says no, which is a page too."""
    token = visit.request.query.get("page_token")
    found, names = await asyncio.gather(
        visit.api.get(f"{visit.api_path}/audit", limit=PAGE, page_token=token), _names(visit)
    )
    return visit.render(
        "audit.html",
        section="audit",
        changes=[shown(entry, names) for entry in found["entries"]],
        next_token=found["next_page_token"],
        first_page=token is None,
    )


async def _names(visit: Visit) -> dict[str, str]:
    """What members and keys are called that are there still; a page can do without."""
    members: Any
    keys: Any
    members, keys = await asyncio.gather(
        if_any(visit.api.get(f"{visit.api_path}/members")), if_any(visit.api.get(f"{visit.api_path}/keys"))
    )
    return {
        **{member["member_id"]: member["email"] for member in (members or {"members": []})["members"]},
        **usage_view.key_names((keys or {"api_keys": []})["api_keys"]),
    }


ROUTES: Final = (web.get("/projects/{project_id}/audit", in_project(show)),)
