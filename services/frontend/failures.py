"""What a reader sees when something fails: plain pages that say what happened and what to do."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import web

from aldea import faults
from aldea.errors import ApiError
from aldea.headers import request_id
from frontend import csrf
from frontend.api import ApiDown, ApiRefusal
from frontend.cookies import COOKIES
from frontend.page_views import SignedOut
from frontend.rendering import HTMX_HEADER, go, local_path, render

log = structlog.get_logger("frontend.failures")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Where there is a page for people; everything else gives programs an error in the contract's shape.
_FOR_PROGRAMS: Final = ("/healthz", "/readyz", "/static/")
_WORDS: Final = {
    403: ("Not allowed", "Your role in this project does not allow this. Ask an owner of the project."),
    404: ("Nothing here", "There is no such page, or it belongs to a project that you are not a member of."),
    405: ("Not possible", "This address does not take that kind of request."),
    413: ("Too large", "What was sent is larger than this page takes."),
}
_OTHERWISE: Final = ("That did not work", "The request was refused. Go back, look it over and try again.")


@web.middleware
async def failure_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a page's handler raises into a page."""
    if request.path.startswith(_FOR_PROGRAMS):
        return await handler(request)
    try:
        return await handler(request)
    except SignedOut:
        return _to_login(request)
    except ApiDown as failure:
        log.warning("platform api unavailable", path=request.path, reason=str(failure))
        return _api_down(request)
    except ApiRefusal as refusal:
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            return _to_login(request)
        status = refusal.status if refusal.status < 500 else 502
        return page(request, status, message=refusal.message, failed_request=refusal.request_id)
    except ApiError as error:  # our own, as a forged form
        if isinstance(error, csrf.Forged) and _outlived_its_session(request):
            return _to_login(request)
        return page(request, error.status, message=error.message)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return page(request, error.status)
    except Exception as error:
        if isinstance(error, ConnectionError):  # the reader left; the outer middleware knows what to do
            raise
        if (fault := faults.of_body(error)) is not None:
            return page(request, fault.status, message=fault.message)
        log.exception("page failed", request_id=request_id(request), method=request.method, path=request.path)
        return page(
            request, 500, title="This page failed",
            message="The fault is ours and is logged. Try again in a moment.", failed_request=request_id(request),
        )  # fmt: skip


def page(
    request: web.Request, status: int, *, title: str = "", message: str = "", failed_request: str = ""
) -> web.Response:
    """The page of an error."""
    usual_title, usual_message = _WORDS.get(status, _OTHERWISE)
    return render(
        request, "error.html", status=status, title=title or usual_title, message=message or usual_message,
        failed_request=failed_request,
    )  # fmt: skip


def _to_login(request: web.Request) -> web.Response:
    """To the login page, and after it back to the page that the reader looks at.

    What they had typed there comes back too: static/js/app.js keeps it meanwhile.
    """
    shown = _shown_page(request)
    location = "/login" if shown in ("", "/") else f"/login?next={quote(shown, safe='')}"
    jar = request.app[COOKIES]
    response = go(request, location, notice="session-ended" if jar.session(request) else None)
    jar.end_session(response)
    return response


def _outlived_its_session(request: web.Request) -> bool:
    """Whether a form of ours comes from a browser whose session cookie has expired since: it proves nothing."""
    public = request.path in {"/login", "/signup", "/reset"}
    return not public and request.app[COOKIES].session(request) is None and not csrf.foreign(request)


def _shown_page(request: web.Request) -> str:
    """The path of the page that is on the reader's screen, empty where that is not known."""
    if request.method == "GET" and not request.headers.get(HTMX_HEADER):
        return request.raw_path
    # Our pages send it along with their forms (Referrer-Policy); htmx also for what it fetches.
    page = urlsplit(request.headers.get("HX-Current-URL") or request.headers.get("Referer", ""))
    if page.netloc != request.host or local_path(page.path) is None:
        return ""
    return f"{page.path}?{page.query}" if page.query else page.path


def _api_down(request: web.Request) -> web.Response:
    """503; the page looks for the API itself and comes back when it responds."""
    response = render(request, "down.html", status=503, repeatable=request.method == "GET")
    response.headers["Retry-After"] = "5"
    return response
