"""Forged requests are refused: every POST carries a token that only a page of ours, for this browser, can hold.

The token is a nonce with its HMAC under the browser's own cookie (the session's, before sign-in the visitor's). Both
reach the server with the POST, and a foreign page can read neither. The key is 190 random bits that the server keeps
nowhere, so there is no secret to configure, and a token dies with its session. The nonce is new on every page, so
compression cannot be made to spell the token out (BREACH).
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from aldea.errors import InsufficientPermissions
from aldea.service.payload import form
from frontend.cookies import COOKIES, new_visitor

FIELD: Final = "csrf"
HEADER: Final = "X-CSRF-Token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NONCE_BYTES: Final = 12

_VISITOR: Final = web.RequestKey("visitor", str)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Forged(InsufficientPermissions):
    """The request did not come from a page of ours, or from one that is too old."""

    def __init__(self) -> None:
        super().__init__("This form is out of date, or was not sent from this site. Load the page again and retry.")


def issue(request: web.Request) -> str:
    """A token for a form on the page that responds to `request`."""
    nonce = secrets.token_hex(_NONCE_BYTES)
    return f"{nonce}.{_mac(_secret(request), nonce)}"


def valid(request: web.Request, token: str) -> bool:
    """Whether `token` was issued to this browser."""
    nonce, _, mac = token.partition(".")
    return hmac.compare_digest(mac.encode(), _mac(_secret(request), nonce).encode())


@web.middleware
async def refuse_forgeries(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raise Forged for an unsafe method without a good token; give a new visitor the nonce that tokens hang on.

    Where nothing takes the request nothing can be forged: the router's own refusal (404, 405) says more.
    """
    if request.method not in SAFE_METHODS and request.match_info.http_exception is None:
        if foreign(request) or not valid(request, await _token(request)):
            raise Forged
        return await handler(request)
    response = await handler(request)
    if _VISITOR in request and not response.prepared:
        request.app[COOKIES].set_visitor(response, request[_VISITOR])
    return response


def foreign(request: web.Request) -> bool:
    """Whether the browser itself says that another origin sent this (a second lock; old browsers say nothing)."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        return True
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    try:
        # The scheme may have changed at the load balancer, where TLS ends; host and port have not.
        return urlsplit(origin).netloc != request.host
    except ValueError:  # what is no origin is not ours
        return True


async def _token(request: web.Request) -> str:
    given = request.headers.get(HEADER)
    if given is not None:
        return given
    return (await form(request)).get(FIELD, "")


def _secret(request: web.Request) -> str:
    cookies = request.app[COOKIES]
    known = cookies.session(request) or cookies.visitor(request) or request.get(_VISITOR)
    if known is None:
        known = request[_VISITOR] = new_visitor()
    return known


def _mac(secret: str, nonce: str) -> str:
    return hmac.new(secret.encode(), f"csrf {nonce}".encode(), hashlib.sha256).hexdigest()
