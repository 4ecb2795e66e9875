"""The reader's own account: its name, address and password, and its end."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from aldea.service.payload import form
from frontend.api import ApiRefusal
from frontend.cookies import COOKIES, PREFERENCE_SECONDS
from frontend.models import KnownDevice, User
from frontend.page_views import UNUSABLE, PageView, signed_in
from frontend.pages.account import explain, remember_device
from frontend.rendering import go


async def show(view: PageView) -> web.Response:
    """The account's page."""
    return _page(view)


async def change_name(view: PageView) -> web.Response:
    """Give the reader another name."""
    name = (await view.form()).get("name", "")
    try:
        await view.api.make("PATCH", "/v1/me", User, {"name": name})
    except ApiRefusal as refusal:
        return _page(view, "name", _problem(refusal), {"name": name})
    return go(view.request, "/account", notice="name-changed")


async def change_email(view: PageView) -> web.Response:
    """Give the reader another address; this browser stays a known one of theirs."""
    fields = await view.form()
    wanted = {name: fields.get(name, "") for name in ("email", "current_password")}
    try:
        changed = await view.api.make("PATCH", "/v1/me", User, wanted)
    except ApiRefusal as refusal:
        return _page(view, "email", _problem(refusal), {"email": wanted["email"]})
    response = go(view.request, "/account", notice="email-changed")
    jar = view.request.app[COOKIES]
    if known := jar.device(view.request, view.user.email):
        jar.set_device(view.request, response, changed.email, known, PREFERENCE_SECONDS)
    return response


async def change_password(view: PageView) -> web.Response:
    """Change the password of the reader's account."""
    fields = await form(view.request)
    wanted = {name: str(fields.get(name, "")) for name in ("current_password", "new_password")}
    try:
        changed = await view.api.make("PUT", "/v1/me/password", KnownDevice, wanted)
    except ApiRefusal as refusal:
        return _page(view, "password", _problem(refusal))
    response = go(view.request, "/account", notice="password-changed")
    remember_device(view.request, response, view.user.email, changed)
    return response


async def delete(view: PageView) -> web.Response:
    """Delete the reader's account, if they give its password."""
    fields = await view.form()
    try:
        await view.api.send("DELETE", "/v1/me", {"current_password": fields.get("current_password", "")})
    except ApiRefusal as refusal:
        return _page(view, "delete", _problem(refusal))
    response = go(view.request, "/login", notice="account-deleted")
    view.request.app[COOKIES].end_session(response)
    return response


def _page(view: PageView, which: str = "", problem: str = "", values: Mapping[str, str] | None = None) -> web.Response:
    """The page; `which` of its forms has the problem."""
    status = UNUSABLE if problem else 200
    return view.render(
        "account.html", section="account", status=status, form=which, problem=problem, values=values or {}
    )


def _problem(refusal: ApiRefusal) -> str:
    """The sentence for the form. Raises the refusal again where it is not the form's."""
    if refusal.status == 401:  # the session has ended meanwhile
        raise refusal
    # What the API does not permit here is a wrong current password.
    return refusal.message if refusal.status == 403 else explain(refusal)


async def back(view: PageView) -> web.Response:
    """From a form's own address, where a reload or a login may lead, to the page that has it."""
    return go(view.request, "/account")


ROUTES: Final = (
    web.get("/account", signed_in(show)),
    web.get("/account/{form:name|email|password|delete}", signed_in(back)),
    web.post("/account/name", signed_in(change_name)),
    web.post("/account/email", signed_in(change_email)),
    web.post("/account/password", signed_in(change_password)),
    web.post("/account/delete", signed_in(delete)),
)
