"""Headers for browsers: CORS for the console's origin alone, and those that keep a response harmless in a browser."""

from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from aldea.headers import REQUEST_ID_HEADER
from aldea.service.security_headers import browser_headers

# How long a browser remembers a preflight; Chromium takes no more than two hours.
PREFLIGHT_SECONDS: Final = 7200

# A response of the API is data that a browser must neither run nor store. A page sets other headers itself.
_DATA: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# No Allow-Credentials: there are no cookies here, a script sends the Authorization that it has.
_PREFLIGHT: Final[Mapping[str, str]] = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PUT, PATCH, DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, Idempotency-Key",
    hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
}
_EXPOSED: Final = (
    f"{REQUEST_ID_HEADER}, Retry-After, RateLimit, RateLimit-Policy, Content-Disposition, Idempotency-Replayed"
)


def protect(app: web.Application, console_origin: str | None) -> None:
    """Put the headers on every response of `app`, and allow preflights of the console's origin (None: no origin)."""
    fixed = {**browser_headers(tls=(console_origin or "").startswith("https://")), **_DATA}

    def from_console(request: web.BaseRequest) -> bool:
        return console_origin is not None and request.headers.get(hdrs.ORIGIN) == console_origin

    async def stamp(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in fixed.items():
            response.headers.setdefault(name, value)
        if console_origin is not None:
            # A cache must not give one origin's response to another.
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if from_console(request):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = console_origin or ""
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED

    @web.middleware
    async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if is_preflight and from_console(request):
            return web.Response(status=204, headers=_PREFLIGHT)
        return await handler(request)

    app.on_response_prepare.append(stamp)
    app.middlewares.append(preflight)
