"""Operators' forms about the billing account of a project: its limits, and another account for the project."""

from typing import Final

from aiohttp import web

from frontend import limit_fields
from frontend.api import ApiRefusal
from frontend.page_views import PageView, operator_only
from frontend.pages.operator import api_path, page_path, project_page
from frontend.pages.projects import form_problem
from frontend.rendering import go


async def change_limits(view: PageView) -> web.Response:
    """Limit what all projects of the account use together; an empty field lifts a limit."""
    fields = await view.form()
    try:
        wanted = limit_fields.wanted(fields)
    except ValueError:
        return await project_page(view, "account-limits", limit_fields.PROBLEM, account_values=fields)
    try:
        await view.api.send("PATCH", f"{api_path(view)}/account/limits", wanted)
    except ApiRefusal as refusal:
        return await project_page(view, "account-limits", form_problem(refusal), account_values=fields)
    return go(view.request, page_path(view), notice="limits-changed")


async def move(view: PageView) -> web.Response:
    """Move the project to another billing account."""
    typed = (await view.form()).get("account_id", "")
    try:
        await view.api.send("PUT", f"{api_path(view)}/account", {"account_id": typed})
    except ApiRefusal as refusal:
        # Where the project itself does not exist, its page is not found either.
        problem = "No billing account has that id." if refusal.status == 404 else form_problem(refusal)
        return await project_page(view, "move", problem, target=typed)
    return go(view.request, page_path(view), notice="project-moved")


_ACCOUNT: Final = "/operator/projects/{project_id}/account"
ROUTES: Final = (
    web.post(_ACCOUNT, operator_only(move)),
    web.post(_ACCOUNT + "/limits", operator_only(change_limits)),
)
