"""ws_proxy's application: a request's way from its credential to a running stream."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

import structlog
from aiohttp import ClientSession, web

from aldea import credentials, errors
from aldea.admission import Admission, Grant, Renewals
from aldea.credentials import Credential
from aldea.headers import ERROR_HEADER, REQUEST_ID_HEADER, request_id
from aldea.redis.link import RedisLink
from aldea.service import server
from aldea.service.client_address import client_address
from aldea.service.drain import DeregistrationWatch
from aldea.service.lane import LaneWatch
from aldea.service.lifecycle import LIFECYCLE, new_app
from aldea.standstill import lived
from aldea.tasks import cancel, spawn
from aldea.upstream import Upstreams, server_path
from aldea.usage.reading import Rank
from ws_proxy import metrics
from ws_proxy.meter import TURN_REPORT_MARK, Meter, raw_audio
from ws_proxy.placement import Finder, Placement, UpstreamRequest
from ws_proxy.session import Session
from ws_proxy.settings import Settings
from ws_proxy.streams import LiveStreams
from ws_proxy.websocket import handshake
from ws_proxy.websocket.continuation import Continuation
from ws_proxy.websocket.relay import Limits, Relay
from ws_proxy.websocket.window import Budget

log = structlog.get_logger("ws_proxy")

# Turn-based streaming: its messages are others, and number its turns, so that no other server could go on with them.
TURNS_PATH: Final = "/v2/listen"
PATHS: Final = ("/v1/listen", "/listen/v1", "/v1/listen/pcm", "/listen/v1/pcm", TURNS_PATH)
# The status booked for a request whose client left before its 101 (nginx's convention).
CLIENT_GONE: Final = 499
# One for all: nothing of it is ever sent or changed.
DEPARTED: Final = server.Departed()


@dataclass(frozen=True, slots=True)
class Resources:
    """What a request needs of the process."""

    settings: Settings
    admission: Admission
    upstreams: Upstreams
    finder: Finder
    windows: Budget
    streams: LiveStreams
    limits: Limits


RESOURCES: Final = web.AppKey("resources", Resources)


def make_app(settings: Settings) -> web.Application:
    """The application, ready to be run."""
    app = new_app()

    async def resources(app: web.Application) -> AsyncIterator[None]:
        link = RedisLink.of(settings)
        admission = Admission(
            link,
            lane=settings.lane,
            lease_ttl_ms=round(settings.lease_ttl_seconds * 1000),
            max_offline=settings.max_offline_streams,
        )
        renewals = Renewals(admission, every=settings.renew_seconds)
        upstreams = Upstreams.of(settings)
        streams = LiveStreams(settings, admission, renewals)
        finder = Finder(settings, upstreams)
        windows = Budget(settings.replay_bytes)
        metrics.WINDOW_BYTES.set_function(lambda: windows.used)
        metrics.UNRECOVERABLE_STREAMS.set_function(lambda: windows.torn)
        upstreams.on_leaving(streams.leave)
        app[RESOURCES] = Resources(settings, admission, upstreams, finder, windows, streams, settings.limits())
        lifecycle = app[LIFECYCLE]
        lifecycle.ready_check("redis", link.ping)
        lifecycle.ready_check("STT server", upstreams.check_ready)
        lifecycle.on_drain(streams.drain)
        async with link, admission, ClientSession(auto_decompress=False) as session:
            background = [
                spawn(renewals.run(), name="renewals"),
                spawn(streams.tick(), name="stream-ticker"),
                spawn(upstreams.watch(session), name="upstream-health"),
                spawn(DeregistrationWatch(lifecycle, settings).run(session), name="deregistration-watch"),
                spawn(LaneWatch(settings, upstreams.switch_own_lane).run(), name="lane-watch"),
            ]
            yield
            await streams.close()
            await cancel(*background)

    app.cleanup_ctx.append(resources)
    for path in PATHS:
        app.router.add_get(path, listen)
    return app


async def listen(request: web.Request) -> web.StreamResponse:
    """Open a live stream; a refusal is an HTTP response in the contract's shape, before the upgrade."""
    status = 500
    try:
        with request.app[RESOURCES].streams.handshake():
            status = await _listen(request)
    except errors.ApiError as error:
        status = error.status
        log.info("stream refused", request_id=request_id(request), status=status, reason=error.message)
        return error.response(request_id(request), {ERROR_HEADER: f"{error.err_code}: {error.err_msg}"})
    finally:
        metrics.HANDSHAKES.labels(str(status)).inc()
    return DEPARTED


async def _listen(request: web.Request) -> int:
    """The status that the handshake ended with, the connection having left HTTP: 101, or CLIENT_GONE."""
    resources = request.app[RESOURCES]
    until = lived(asyncio.get_running_loop()) + resources.settings.handshake_seconds
    _refuse_in_a_drain(request)
    key = handshake.check_request(request.method, request.version, request.headers)
    # aiohttp's router reads %6c as l; an STT server need not. What it would not know must not be admitted first.
    server_path(request.rel_url.raw_path)
    _check(request, resources.settings)
    credential = credentials.from_request(request)
    grant = await resources.admission.admit(
        credential,
        request_id=request_id(request),
        service="streaming",
        path=request.path,
        tags=request.query.getall("tag", []),
        query=request.query.items(),
    )
    try:
        return await _start(request, resources, grant, credential, key, until)
    except errors.ApiError as error:
        await _book_refusal(resources, grant, error.status)
        raise
    except BaseException:
        await _book_refusal(resources, grant, 503 if request.app[LIFECYCLE].draining else 500)
        raise


def _refuse_in_a_drain(request: web.Request) -> None:
    if request.app[LIFECYCLE].draining:
        raise _about_to_restart()


def _about_to_restart() -> errors.ServiceUnavailable:
    return errors.ServiceUnavailable("This server is about to restart. Connect again.", retry_after=1)


def _check(request: web.Request, settings: Settings) -> None:
    if "callback" in request.query:
        raise errors.BadRequest(
            "'callback' is not possible on a live stream. POST recorded audio to /v1/listen for it."
        )
    origin = request.headers.get("Origin")
    if origin is not None and settings.allowed_origins and origin not in settings.allowed_origins:
        raise errors.InsufficientPermissions(
            f"Browsers at {origin:.100} may not connect. Ask for the origin to be allowed."
        )


async def _start(
    request: web.Request, resources: Resources, grant: Grant, credential: Credential, key: str, until: float
) -> int:
    """`until`: the loop's lived time by which an STT server must have taken the stream."""
    settings = resources.settings
    _refuse_in_a_drain(request)  # which may have begun during admission
    upstream_request = UpstreamRequest(
        request.rel_url.raw_path,
        request.rel_url.raw_query_string,
        {REQUEST_ID_HEADER: grant.request_id, "X-Forwarded-For": client_address(request)},
    )
    began = time.monotonic()
    try:
        async with resources.streams.opening():
            upstream, opened = await resources.finder.first(upstream_request, until)
    except TimeoutError:
        raise _about_to_restart() from None
    connect_seconds = time.monotonic() - began
    metrics.CONNECT_SECONDS.observe(connect_seconds)
    # From here to the relay's start nothing awaits: no event can come between.
    if request.app[LIFECYCLE].draining:
        resources.upstreams.release(upstream)
        opened.transport.abort()
        raise _about_to_restart()
    connection = server.leave_http(request)
    if connection is None or opened.transport.is_closing():
        resources.upstreams.release(upstream)
        opened.transport.abort()
        if connection is None:
            await _book_refusal(resources, grant, CLIENT_GONE)
            return CLIENT_GONE
        raise errors.BadGateway("The STT server closed the connection. Connect again.")
    client, early = connection
    headers = {REQUEST_ID_HEADER: grant.request_id}
    if credential.subprotocol is not None:
        headers["Sec-WebSocket-Protocol"] = credential.subprotocol
    client.write(handshake.upgrade_response(key, headers))
    raw = raw_audio(request.path, request.query)
    keeps = raw is not None and settings.replay_seconds > 0 and request.path != TURNS_PATH
    continuation = Continuation(raw.shape, settings.replay_seconds, resources.windows) if raw and keeps else None
    relay = Relay(resources.limits, continuation)
    if request.path == TURNS_PATH:
        relay.upstream.scanner.report_mark = TURN_REPORT_MARK
    per_second = raw.bytes_per_second if raw is not None else 1
    placement = Placement(resources.finder, relay, upstream_request, upstream, per_second)
    session = Session(grant, relay, Meter(raw), placement, connect_ms=round(connect_seconds * 1000))
    relay.start(client, early, opened.transport, opened.early)
    resources.streams.add(session)
    return 101


async def _book_refusal(resources: Resources, grant: Grant, status: int) -> None:
    """Release what admission gave and record that the request came to nothing."""
    reading = replace(grant.reading(Rank.FINAL, 1), status=status)
    await asyncio.shield(spawn(resources.admission.finish(grant, reading), name="finish"))
