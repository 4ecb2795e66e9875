"""The way in and out: sign up, log in, log out, a forgotten password, an accepted invite."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from aldea.service.payload import form
from frontend.api import API, ApiRefusal, as_model
from frontend.cookies import COOKIES
from frontend.form_faults import form_words
from frontend.models import KnownDevice, ProjectId, SignedIn
from frontend.page_views import UNUSABLE, PageView, SignedOut, enter, reader_address, signed_in, text_fields
from frontend.rendering import go, local_path, render
from frontend.wording import counted, parse_time

# What the form shows again after a refusal: never a password.
_REPEATED: Final = ("email", "name", "project_name", "token")
# Refusals that are the form's: shown in it. Everything else is a page of its own.
FORM_REFUSALS: Final = frozenset({400, 401, 404, 409, 422, 429})
# What a password must be, said before the API has to.
SHORTEST_PASSWORD: Final = 12
# A longer wait is shown in minutes.
_SECONDS_SHOWN: Final = 90
# As much of a browser's name as the API looks at.
MAX_AGENT: Final = 200
# For a session or a device whose end cannot be read.
_DEFAULT_SECONDS: Final = 86_400


async def show_login(request: web.Request) -> web.Response:
    """The login form; a signed-in reader is redirected."""
    if request.app[COOKIES].session(request) is not None:
        return go(request, local_path(request.query.get("next", "")) or "/")
    return _form_page(request, "login.html", request.query)


async def log_in(request: web.Request) -> web.Response:
    """Open a session."""
    fields = text_fields(await form(request))
    email, jar = fields.get("email", ""), request.app[COOKIES]
    wanted = {"email": email, "password": _password(fields)}
    try:
        found = await _public(
            request, "/v1/sessions", **wanted, device_token=jar.device(request, email), replaces=jar.session(request)
        )
    except ApiRefusal as refusal:
        return _form_page(request, "login.html", fields, explain(refusal, "The e-mail or the password is wrong."))
    return _opened(request, as_model(SignedIn, found), fields)


async def show_signup(request: web.Request) -> web.Response:
    """The sign-up form."""
    return _form_page(request, "signup.html", request.query)


async def sign_up(request: web.Request) -> web.Response:
    """Make an account with its first project, signed in."""
    fields = text_fields(await form(request))
    if len(_password(fields)) < SHORTEST_PASSWORD:
        length = counted(len(_password(fields)), "character")
        problem = f"The password has {length}; at least {SHORTEST_PASSWORD} are needed."
        return _form_page(request, "signup.html", fields, problem)
    wanted = {"email": fields.get("email", ""), "name": fields.get("name", ""), "password": _password(fields)}
    if fields.get("project_name"):
        wanted["project_name"] = fields["project_name"]
    try:
        found = await _public(request, "/v1/accounts", **wanted, replaces=request.app[COOKIES].session(request))
    except ApiRefusal as refusal:
        return _form_page(request, "signup.html", fields, explain(refusal))
    return _opened(request, as_model(SignedIn, found), fields, notice="account-created")


async def log_out(request: web.Request) -> web.Response:
    """End the session here and in the API."""
    try:
        view = await enter(request)
        await view.api.send("DELETE", "/v1/sessions/current")
    except SignedOut:
        pass
    response = go(request, "/login", notice="signed-out")
    request.app[COOKIES].end_session(response)
    return response


async def show_reset(request: web.Request) -> web.Response:
    """The form for a new password by an operator's code."""
    return _form_page(request, "reset.html", {})


async def reset(request: web.Request) -> web.Response:
    """Set a new password by an operator's code."""
    fields = await form(request)
    token, password = (str(fields.get(name, "")) for name in ("token", "new_password"))
    try:
        await _public(request, "/v1/password-resets/use", token=token.strip(), new_password=password)
    except ApiRefusal as refusal:
        return _form_page(request, "reset.html", {"token": token}, explain(refusal))
    return go(request, "/login", notice="password-reset")


async def show_invite(request: web.Request) -> web.Response:
    """Where an invite's code is entered; it says first what to do without an account."""
    try:
        view: PageView | None = await enter(request)
    except SignedOut:
        view = None
    return render(request, "invite.html", view=view, values={"token": ""}, problem="")


async def accept_invite(view: PageView) -> web.Response:
    """Join the project of an invite."""
    token = (await view.form()).get("token", "")
    try:
        joined = await view.api.make("POST", "/v1/invites/accept", ProjectId, {"token": token})
    except ApiRefusal as refusal:
        if refusal.status not in FORM_REFUSALS | {403}:
            raise
        problem = form_words(refusal.message)
        return view.render("invite.html", section="", status=UNUSABLE, values={"token": token}, problem=problem)
    return go(view.request, f"/projects/{joined.project_id}/overview", notice="invite-accepted")


async def _public(request: web.Request, path: str, **body: str | None) -> Any:
    given = {name: value for name, value in body.items() if value is not None}
    agent = "".join(each for each in request.headers.get("User-Agent", "")[:MAX_AGENT] if " " <= each <= "~")
    return await request.app[API].call("POST", path, address=reader_address(request), body=given, agent=agent)


def _opened(
    request: web.Request, opened: SignedIn, fields: Mapping[str, str], notice: str | None = None
) -> web.Response:
    response = go(request, local_path(fields.get("next", "")) or "/", notice=notice)
    request.app[COOKIES].set_session(response, opened.session_token, _seconds_until(opened.expires))
    remember_device(request, response, fields.get("email", ""), opened)
    return response


def remember_device(request: web.Request, response: web.StreamResponse, email: str, given: KnownDevice) -> None:
    """Keep what the API knows this browser by at the account of `email`."""
    # An API of the version before, during a deployment, gives none.
    if token := given.device_token:
        seconds = _seconds_until(given.device_expires)
        request.app[COOKIES].set_device(request, response, email, token, seconds)


def _seconds_until(text: str | None) -> int:
    ends = parse_time(text)
    left = _DEFAULT_SECONDS if ends is None else int((ends - datetime.now(UTC)).total_seconds())
    return max(left, 0)


def _form_page(request: web.Request, template: str, fields: Mapping[str, str], problem: str = "") -> web.Response:
    return render(
        request,
        template,
        status=UNUSABLE if problem else 200,
        values={name: fields.get(name, "") for name in _REPEATED},
        next=local_path(fields.get("next", "")) or "",
        problem=problem,
    )


def _password(fields: Mapping[str, str]) -> str:
    return fields.get("password", "")


def explain(refusal: ApiRefusal, unauthorized: str = "") -> str:
    """The sentence for a form; `unauthorized`: that of a 401, where it is another than the API's.

    Raises the refusal again where it is not the form's.
    """
    if refusal.status not in FORM_REFUSALS:
        raise refusal
    if refusal.status == 401 and unauthorized:
        return unauthorized
    if refusal.status == 429 and refusal.retry_after:
        return f"Too many attempts. Try again in {_wait(refusal.retry_after)}."
    return form_words(refusal.message)


def _wait(retry_after: str) -> str:
    """A time to wait for people, rounded up."""
    seconds = int(retry_after) if retry_after.isdecimal() else 1
    return counted(seconds, "second") if seconds <= _SECONDS_SHOWN else counted(-(-seconds // 60), "minute")


ROUTES: Final = (
    web.get("/login", show_login),
    web.post("/login", log_in),
    web.get("/signup", show_signup),
    web.post("/signup", sign_up),
    web.post("/logout", log_out),
    web.get("/reset", show_reset),
    web.post("/reset", reset),
    web.get("/invite", show_invite),
    web.post("/invite", signed_in(accept_invite)),
)
