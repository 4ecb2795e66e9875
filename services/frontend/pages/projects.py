"""Projects: the way in, a new one, and one's settings."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from frontend.api import ApiRefusal
from frontend.cookies import COOKIES
from frontend.form_faults import form_words
from frontend.models import ProjectId
from frontend.page_views import UNUSABLE, PageView, in_project, signed_in
from frontend.pages.account import FORM_REFUSALS
from frontend.rendering import go


async def home(view: PageView) -> web.Response:
    """To the project that was looked at last, else the first, else to making one."""
    last = view.request.app[COOKIES].last_project(view.request)
    known = [project.project_id for project in view.projects]
    if not known:
        return go(view.request, "/projects/new")
    return go(view.request, f"/projects/{last if last in known else known[0]}/overview")


async def show_new(view: PageView) -> web.Response:
    """The form for a new project."""
    return view.render("new_project.html", section="", values={"name": ""}, problem="")


async def create(view: PageView) -> web.Response:
    """Make a project; its overview is next."""
    name = (await view.form()).get("name", "")
    try:
        made = await view.api.make("POST", "/v1/projects", ProjectId, {"name": name})
    except ApiRefusal as refusal:
        problem = form_problem(refusal)
        return view.render("new_project.html", section="", status=UNUSABLE, values={"name": name}, problem=problem)
    return go(view.request, f"/projects/{made.project_id}/overview", notice="project-created")


async def open_project(view: PageView) -> web.Response:
    """A project's own address: its overview."""
    return go(view.request, f"{view.path}/overview")


async def show_settings(view: PageView) -> web.Response:
    """A project's name, its ids for programs, and the ways out of it."""
    return _settings(view)


async def rename(view: PageView) -> web.Response:
    """Give the project another name."""
    name = (await view.form()).get("name", "")
    try:
        await view.api.send("PATCH", view.api_path, {"name": name})
    except ApiRefusal as refusal:
        return _settings(view, "name", form_problem(refusal), {"name": name})
    return go(view.request, f"{view.path}/settings", notice="project-renamed")


async def leave(view: PageView) -> web.Response:
    """Leave the project."""
    keep = (await view.form()).get("keys") == "keep"
    try:
        await view.api.send("DELETE", f"{view.api_path}/leave", query={"keys": "keep"} if keep else None)
    except ApiRefusal as refusal:
        return _settings(view, "leave", form_problem(refusal), {"keep": "yes"} if keep else {})
    return go(view.request, "/", notice="project-left")


async def delete(view: PageView) -> web.Response:
    """Delete the project, if its name was typed."""
    typed = (await view.form()).get("confirm", "")
    if typed != view.project.name.strip():
        problem = f"Type the project's name, “{view.project.name}”, to delete it."
        return _settings(view, "delete", problem, {"confirm": typed})
    try:
        await view.api.send("DELETE", view.api_path)
    except ApiRefusal as refusal:
        return _settings(view, "delete", form_problem(refusal), {"confirm": typed})
    return go(view.request, "/", notice="project-deleted")


def _settings(
    view: PageView, form: str = "", problem: str = "", values: Mapping[str, str] | None = None
) -> web.Response:
    """The page. `form`: whose `problem` it is; `values`: what was typed into it."""
    status = UNUSABLE if problem else 200
    return view.render(
        "settings.html", section="settings", status=status, form=form, problem=problem, values=values or {}
    )


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
    web.get("/projects/{project_id}/{form:leave|delete}", in_project(show_settings)),
    web.post("/projects/{project_id}/leave", in_project(leave)),
    web.post("/projects/{project_id}/delete", in_project(delete)),
)
