"""Wires the http-proxy: its routes, its rules for browsers, what lives as long as the process, and its drain."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from aldea import errors
from aldea.address_guard import AddressGuard, GuardedClient
from aldea.admission import Admission, Renewals
from aldea.openai_wire import reshaped
from aldea.redis.link import RedisLink
from aldea.service.drain import DeregistrationWatch
from aldea.service.lifecycle import LIFECYCLE, Lifecycle, new_app
from aldea.service.middleware import contract_errors, stamp_response
from aldea.service.server import ServerHandler
from aldea.tasks import cancel, spawn
from aldea.upstream import Upstreams
from aldea.upstream.fleet import FleetReports
from http_proxy.callbacks.delivery import CallbackWorker
from http_proxy.callbacks.store import Deliveries
from http_proxy.client_connection import RAW, SHORTCUT
from http_proxy.heads import CORS
from http_proxy.openai import transcription as openai
from http_proxy.resources import InFlight, Resources
from http_proxy.response import Relayed
from http_proxy.settings import HttpProxySettings
from http_proxy.transcription import Transcription
from http_proxy.upload import UploadLimits
from http_proxy.upstream_pool import Pool

FIXED_PATHS: Final = ("/v1/listen", "/listen/v1", "/transcribe")
PATHS: Final = (*FIXED_PATHS, "/transcribe/{rest:.*}")
# Everything below it speaks OpenAI's wire, errors included.
OPENAI_PATHS: Final = "/v1/audio/"
# Results of megabytes pass over this link, and no client waits for them.
DELIVERIES_COMMAND_SECONDS: Final = 2.0
# How long a browser may remember that it may send requests (Chromium's own cap is two hours).
PREFLIGHT_SECONDS: Final = 7200

RESOURCES: Final = web.AppKey("resources", Resources)


def make_app(settings: HttpProxySettings) -> web.Application:
    """The application; serve it with `http_proxy.client_connection.upload_runner`."""
    app = new_app()
    for path in PATHS:
        app.router.add_route(hdrs.METH_POST, path, transcribe, expect_handler=_continue_later)
        app.router.add_route(hdrs.METH_OPTIONS, path, preflight)
    app.router.add_route(hdrs.METH_POST, openai.PATH, transcribe_form, expect_handler=_continue_later)
    app.router.add_route(hdrs.METH_OPTIONS, openai.PATH, preflight)
    for path in openai.ABSENT:
        app.router.add_route(hdrs.METH_POST, path, openai.absent)
    app.on_response_prepare.append(_allow_browsers)

    async def resources(app: web.Application) -> AsyncIterator[None]:
        async for made in _resources(settings, app[LIFECYCLE]):
            app[RESOURCES] = made
            yield

    app.cleanup_ctx.append(resources)
    app[SHORTCUT] = lambda routed: _past_the_router(app, routed)
    if settings.raw_uploads:
        app[RAW] = lambda request: _transcribe(app[RESOURCES], request)
    return app


def _past_the_router(app: web.Application, routed: ServerHandler) -> ServerHandler:
    """Handle nearly all requests without aiohttp's router, middlewares and signals, which cost thirty calls each."""

    async def respond(request: web.Request) -> web.StreamResponse:
        if request.rel_url.raw_path.startswith(OPENAI_PATHS):
            response = await routed(request)
            return reshaped(response) if isinstance(response, web.Response) else response
        if request.method != hdrs.METH_POST or request.rel_url.raw_path not in FIXED_PATHS:
            return await routed(request)
        return await _transcribe(app[RESOURCES], request)

    return respond


async def _transcribe(resources: Resources, request: web.Request) -> web.StreamResponse:
    """What router, middlewares and signals would make of an upload."""
    try:
        response = await Transcription(resources, request).run()
        if isinstance(response, Relayed):
            return response
    except Exception as error:  # noqa: BLE001 - the middleware knows the response to each
        response = await contract_errors(request, _raiser(error))
    await stamp_response(request, response)
    await _allow_browsers(request, response)
    return response


def _raiser(error: Exception) -> Handler:
    async def failed(_request: web.Request) -> web.StreamResponse:
        raise error

    return failed


async def _resources(settings: HttpProxySettings, lifecycle: Lifecycle) -> AsyncIterator[Resources]:
    upstreams = Upstreams.of(settings)
    pool = Pool(connect_seconds=settings.connect_seconds, idle_seconds=settings.upstream_idle_seconds)
    guard = AddressGuard(allow_loopback=settings.allow_loopback_urls)
    async with (
        RedisLink.of(settings) as link,
        RedisLink(settings.redis_url.get_secret_value(), command_seconds=DELIVERIES_COMMAND_SECONDS) as deliveries_link,
        Admission(link, lane=settings.lane, lease_ttl_ms=round(settings.lease_ttl_seconds * 1000)) as admission,
        GuardedClient(guard) as client,
        aiohttp.ClientSession(auto_decompress=False) as probes,
    ):
        renewals = Renewals(admission, every=settings.renew_seconds)
        deliveries = Deliveries(deliveries_link, most_bytes=settings.callback_pending_bytes)
        callback_worker = CallbackWorker(
            deliveries,
            client,
            retries=settings.callback_retries,
            retry_seconds=settings.callback_retry_seconds,
            attempt_seconds=settings.callback_attempt_seconds,
        )
        lifecycle.ready_check("redis", link.ping)
        lifecycle.ready_check("stt", upstreams.check_ready)
        in_flight = InFlight()
        lifecycle.on_drain(lambda lifecycle: _drain(lifecycle, in_flight, callback_worker))
        fleet = FleetReports(
            link, upstreams, service=settings.service_name, lane=settings.lane, running=lambda: len(renewals)
        )
        background = [
            spawn(renewals.run(), name="renewals"),
            spawn(upstreams.watch(probes), name="watch-servers"),
            spawn(callback_worker.run(), name="callback-worker"),
            spawn(fleet.run(), name="fleet-reports"),
            spawn(DeregistrationWatch(lifecycle, settings).run(probes), name="deregistration-watch"),
        ]
        try:
            yield Resources(
                settings=settings,
                lifecycle=lifecycle,
                upstreams=upstreams,
                pool=pool,
                admission=admission,
                renewals=renewals,
                guard=guard,
                deliveries=deliveries,
                callback_worker=callback_worker,
                limits=UploadLimits(
                    max_bytes=settings.max_body_bytes,
                    stall_seconds=settings.upload_stall_seconds,
                    min_bytes_per_second=settings.upload_min_bytes_per_second,
                ),
                in_flight=in_flight,
            )
        finally:
            await cancel(*background)
            pool.close()


async def _drain(lifecycle: Lifecycle, in_flight: InFlight, callback_worker: CallbackWorker) -> None:
    """Wait until the last request and the last delivery under way have ended, at most until the deadline.

    What is left then, or when the drain is cut short, gets a 503.
    """
    ended = spawn(_all_ended(in_flight, callback_worker), name="await-last-request")
    due = spawn(lifecycle.deadline_reached(), name="await-drain-deadline")
    try:
        await asyncio.wait({ended, due}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        in_flight.cut()
        await cancel(ended, due)


async def _all_ended(in_flight: InFlight, callback_worker: CallbackWorker) -> None:
    await callback_worker.finish()
    await in_flight.ended()


async def transcribe(request: web.Request) -> web.StreamResponse:
    """`POST` on any of the paths."""
    return await Transcription(request.app[RESOURCES], request).run()


async def transcribe_form(request: web.Request) -> web.StreamResponse:
    """`POST` of a form in OpenAI's shape."""
    return await openai.AudioTranscription(request.app[RESOURCES], request).run()


async def preflight(request: web.Request) -> web.Response:
    """A browser checks whether a page may send this request (Fetch standard, CORS-preflight)."""
    requested = request.headers.get("Access-Control-Request-Headers", "Authorization, Content-Type")
    if not requested.isprintable() or len(requested) > 1024:
        raise errors.BadRequest("Access-Control-Request-Headers is not a list of header names.")
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": requested,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        },
    )


async def _continue_later(_request: web.Request) -> None:
    """`100 Continue` is sent once the body is wanted (http_proxy.upload), not before admission."""


async def _allow_browsers(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    for name, value in CORS.items():
        response.headers.setdefault(name, value)
