"""Projects: the way in, a new one, and one's settings."""

from typing import Final

from aiohttp import web

from frontend.api import ApiRefusal
from frontend.cookies import COOKIES
from frontend.form_faults import form_words
from frontend.pages.account import FORM_REFUSALS
from frontend.rendering import go
from frontend.visits import UNUSABLE, Visit, in_project, signed_in


async def home(visit: Visit) -> web.Response:
    """To the project that was looked at last, else the first, else to making one."""
    last = visit.request.app[COOKIES].last_project(visit.request)
    known = [project.project_id for project in visit.projects]
    if not known:
        return go(visit.request, "/projects/new")
    return go(visit.request, f"/projects/{last if last in known else known[0]}/overview")


async def show_new(visit: Visit) -> web.Response:
    """The form for a new project."""
    return visit.render("new_project.html", section="", values={"name": ""}, problem="")


async def create(visit: Visit) -> web.Response:
    """Make a project; its overview is next."""
    name = (await visit.form()).get("name", "")
    try:
        made = await visit.api.send("POST", "/v1/projects", {"name": name})
    except ApiRefusal as refusal:
        problem = form_problem(refusal)
        return visit.render("new_project.html", section="", status=UNUSABLE, values={"name": name}, problem=problem)
    return go(visit.request, f"/projects/{made['project_id']}/overview", notice="project-created")


async def open_project(visit: Visit) -> web.Response:
    """A project's own address: its overview."""
    return go(visit.request, f"{visit.path}/overview")


async def show_settings(visit: Visit) -> web.Response:
    """A project's name, its ids for programs, and the ways out of it."""
    return visit.render("settings.html", section="settings", problem="")


async def rename(visit: Visit) -> web.Response:
    """Give the project another name."""
    name = (await visit.form()).get("name", "")
    return await _change(visit, "PATCH", visit.api_path, {"name": name}, f"{visit.path}/settings", "project-renamed")


async def leave(visit: Visit) -> web.Response:
    """Leave the project."""
    keep = (await visit.form()).get("keys") == "keep"
    path = f"{visit.api_path}/leave"
    return await _change(visit, "DELETE", path, None, "/", "project-left", {"keys": "keep"} if keep else None)


async def delete(visit: Visit) -> web.Response:
    """Delete the project, if its name was typed."""
    typed = (await visit.form()).get("confirm", "")
    if typed != visit.project.name.strip():
        problem = f"Type the project's name, “{visit.project.name}”, to delete it."
        return visit.render("settings.html", section="settings", status=UNUSABLE, problem=problem)
    return await _change(visit, "DELETE", visit.api_path, None, "/", "project-deleted")


async def _change(
    visit: Visit,
    method: str,
    path: str,
    body: dict[str, str] | None,
    afterwards: str,
    notice: str,
    query: dict[str, str] | None = None,
) -> web.Response:
    try:
        await visit.api.send(method, path, body, query)
    except ApiRefusal as refusal:
        problem = form_problem(refusal)
        return visit.render("settings.html", section="settings", status=UNUSABLE, problem=problem)
    return go(visit.request, afterwards, notice=notice)


def form_problem(refusal: ApiRefusal) -> str:
    """The sentence for the form that was refused. Raises the refusal again where it is not the form's."""
    if refusal.status not in FORM_REFUSALS - {401, 404}:
        raise refusal
    return form_words(refusal.message)


ROUTES: Final = (
    web.get("/", signed_in(home)),
    web.get("/projects/new", signed_in(show_new)),
    web.post("/projects/new", signed_in(create)),
    web.get("/projects/{project_id}", in_project(open_project)),
    web.get("/projects/{project_id}/settings", in_project(show_settings)),
    web.post("/projects/{project_id}/settings", in_project(rename)),
    web.post("/projects/{project_id}/leave", in_project(leave)),
    web.post("/projects/{project_id}/delete", in_project(delete)),
)
