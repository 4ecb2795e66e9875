"""A page view of a signed-in reader: who they are, which project they look at, and the API on their behalf."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from aiohttp import web

from aldea.service.client_address import client_address
from aldea.service.payload import form
from frontend.api import API, ApiRefusal, SignedInApi
from frontend.cookies import COOKIES
from frontend.models import Me, Role, User
from frontend.rendering import render
from frontend.settings import SETTINGS

# The status of a form that comes back with its fault: htmx is configured to swap it in.
UNUSABLE: Final = 422
# What pages offer by role; the API decides, this only spares people buttons that would be refused.
_MANAGES: Final = frozenset({"owner", "admin"})


class SignedOut(Exception):
    """There is no session, or the API does not know it any more."""


@dataclass(frozen=True, slots=True)
class Project:
    """One of the reader's projects and their role in it."""

    project_id: str
    name: str
    role: Role
    state: str

    @property
    def manages(self) -> bool:
        """Whether the reader may change keys, members and the project itself."""
        return self.role in _MANAGES

    @property
    def owns(self) -> bool:
        """Whether the reader may delete the project and read its audit log."""
        return self.role == "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """One request of a signed-in reader. `selected`: the page's project, else the one before it."""

    request: web.Request
    api: SignedInApi
    user: User
    projects: tuple[Project, ...]
    selected: Project | None = None

    @property
    def project(self) -> Project:
        """The project that the page is about."""
        assert self.selected is not None
        return self.selected

    @property
    def api_path(self) -> str:
        """Where the API keeps that project."""
        return f"/v1/projects/{self.project.project_id}"

    @property
    def path(self) -> str:
        """Where the console keeps that project."""
        return f"/projects/{self.project.project_id}"

    @property
    def origin(self) -> str:
        """Where the reader's browser finds the console, to be shown to others."""
        secure = self.request.app[SETTINGS].cookie_secure
        return f"{'https' if secure else 'http'}://{self.request.host}"

    def render(self, template: str, /, *, section: str, status: int = 200, **context: Any) -> web.Response:
        """A page of this view."""
        return render(self.request, template, status=status, section=section, view=self, **context)

    def panel(self, template: str, /, *, section: str, problem: str = "", **context: Any) -> web.Response:
        """A page of one form, which htmx takes into a dialog. `problem`: why the form is back (422).

        A form that was sent from the dialog requested the page behind it; its own response belongs in the dialog.
        """
        response = self.render(
            template, section=section, status=UNUSABLE if problem else 200, problem=problem, **context
        )
        if self.request.method == "POST" and "X-Dialog" in self.request.headers:
            response.headers.update({"HX-Retarget": "#dialog-body", "HX-Reselect": "#panel", "HX-Reswap": "innerHTML"})
        return response

    async def form(self) -> dict[str, str]:
        """The request's fields; of a repeated one the last."""
        return text_fields(await form(self.request))


PageHandler = Callable[[PageView], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def text_fields(fields: Any) -> dict[str, str]:
    """A form's text fields without surrounding space, which belongs to nothing but a password; files are no text."""
    return {
        name: value if "password" in name else value.strip() for name, value in fields.items() if isinstance(value, str)
    }


def reader_address(request: web.Request) -> str:
    """The reader's address, for the API's throttles: the console passes on what its own balancer reports, once."""
    return client_address(request, request.app[SETTINGS].forwarded_hops)


async def enter(request: web.Request) -> PageView:
    """The page view of this request. Raises SignedOut, ApiDown, ApiRefusal."""
    token = request.app[COOKIES].session(request)
    if token is None:
        raise SignedOut
    api = SignedInApi(request.app[API], token, reader_address(request))
    try:
        me = await api.get("/v1/me", Me)
    except ApiRefusal as refusal:
        if refusal.status == 401:
            raise SignedOut from None
        raise
    projects = tuple(Project(item.project_id, item.name, item.role, item.state) for item in me.projects)
    return PageView(
        request=request,
        api=api,
        user=me.user,
        projects=projects,
        selected=_find(projects, request.app[COOKIES].last_project(request)),
    )


def _find(projects: tuple[Project, ...], project_id: str | None) -> Project | None:
    return next((found for found in projects if found.project_id == project_id), None)


def signed_in(handler: PageHandler) -> Handler:
    """A handler for anybody who is signed in."""

    async def serve(request: web.Request) -> web.StreamResponse:
        return await handler(await enter(request))

    return serve


def in_project(handler: PageHandler) -> Handler:
    """A handler below `/projects/{project_id}`, for that project's members; 404 for everybody else."""

    async def serve(request: web.Request) -> web.StreamResponse:
        project_id = _uuid(request.match_info["project_id"])
        view = await enter(request)
        selected = _find(view.projects, project_id)
        if selected is None:
            raise web.HTTPNotFound
        chosen = PageView(request=request, api=view.api, user=view.user, projects=view.projects, selected=selected)
        response = await handler(chosen)
        jar = request.app[COOKIES]
        if not response.prepared and jar.last_project(request) != project_id:
            jar.set_last_project(response, project_id)
        return response

    return serve


def operator_only(handler: PageHandler) -> Handler:
    """A handler for the platform's operators; 404 for everybody else."""

    async def serve(request: web.Request) -> web.StreamResponse:
        view = await enter(request)
        if not view.user.operator:
            raise web.HTTPNotFound
        return await handler(view)

    return serve


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise web.HTTPNotFound from None
