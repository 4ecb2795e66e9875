"""The headers that every response of the console carries: what a browser may load, send, and reveal to others."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from aldea.service.security_headers import browser_headers
from frontend.settings import FrontendSettings

OnPrepare = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def content_security_policy(settings: FrontendSettings) -> str:
    """The policy: all from this origin, nothing inline; the playground alone also reaches the API."""
    directives = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": f"'self' {settings.public_api_url} {settings.public_ws_url}",
        "media-src": "'self' blob:",
        "worker-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def headers(settings: FrontendSettings) -> Mapping[str, str]:
    """All of them."""
    return browser_headers(tls=settings.cookie_secure) | {
        "Content-Security-Policy": content_security_policy(settings),
        # Not "no-referrer": browsers then send "Origin: null" with our own forms.
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
    }


def stamp(settings: FrontendSettings) -> OnPrepare:
    """An `on_response_prepare` signal: adds the headers to every response, and `no-store` unless it says otherwise."""
    fixed = headers(settings)

    async def stamp_headers(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(fixed)
        response.headers.setdefault("Cache-Control", "no-store")

    return stamp_headers
