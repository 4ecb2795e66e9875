"""The console's application: its client of the Platform API, middlewares and pages, wired together."""

from collections.abc import AsyncIterator, Callable
from typing import Final, TypeAlias

import aiohttp
from aiohttp import web

from aldea.service.lifecycle import LIFECYCLE, new_app
from aldea.tracing.requests import trace_requests
from frontend import api, security
from frontend.assets import ASSETS, shipped
from frontend.cookies import COOKIES, Cookies
from frontend.csrf import refuse_forgeries
from frontend.failures import failure_pages
from frontend.pages import (
    account,
    alerts,
    audit,
    billing,
    keys,
    limits,
    members,
    operator,
    operator_account,
    operator_fleet,
    operator_incidents,
    operator_prices,
    overview,
    own_account,
    playground,
    projects,
    requests,
    status,
    usage,
)
from frontend.requests_log import log_requests
from frontend.settings import SETTINGS, FrontendSettings
from frontend.status_feed import STATUS_FEED, StatusFeed

# The largest form is a few hundred bytes; audio never comes here.
MAX_FORM_BYTES: Final = 64 * 1024

Context: TypeAlias = Callable[[web.Application], AsyncIterator[None]]

PAGES: Final = (
    account,
    own_account,
    projects,
    overview,
    keys,
    playground,
    requests,
    usage,
    billing,
    alerts,
    limits,
    members,
    audit,
    operator,
    operator_account,
    operator_fleet,
    operator_incidents,
    operator_prices,
    status,
)


def make_app(settings: FrontendSettings) -> web.Application:
    """The whole application."""
    app = new_app(client_max_size=MAX_FORM_BYTES)
    app.middlewares.insert(0, log_requests)
    app.middlewares.extend([failure_pages, refuse_forgeries])
    app.on_response_prepare.append(security.stamp(settings))
    app[SETTINGS] = settings
    app[COOKIES] = Cookies(secure=settings.cookie_secure)
    app[ASSETS] = shipped()
    app.cleanup_ctx.append(_platform_api(settings))
    app.router.add_get("/static/{version}/{name:.+}", app[ASSETS].serve)
    for pages in PAGES:
        app.router.add_routes(pages.ROUTES)
    if settings.otel_exporter_otlp_endpoint is not None:
        trace_requests(app, settings.continues_trace)
    return app


def _platform_api(settings: FrontendSettings) -> Context:
    async def platform_api(app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=api.MAX_CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
            app[api.API] = api.PlatformApi(http, settings.platform_api_url, timeout=settings.api_timeout_seconds)
            app[STATUS_FEED] = StatusFeed(app[api.API])
            app[LIFECYCLE].ready_check("platform api", app[api.API].check)
            yield

    return platform_api
