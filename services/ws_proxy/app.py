"""ws_proxy's application: a request's way from its credential to a running stream."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import structlog
from aiohttp import ClientSession, web

from aldea import credentials, errors
from aldea.admission import Admission, Grant, Renewals, rate_limits
from aldea.credentials import Credential
from aldea.headers import ERROR_HEADER, RATE_LIMITS, REQUEST_ID_HEADER, request_id
from aldea.redis.link import RedisLink
from aldea.service import server
from aldea.service.drain import DeregistrationWatch
from aldea.service.lane import LaneWatch
from aldea.service.lifecycle import LIFECYCLE, new_app
from aldea.standstill import lived
from aldea.tasks import cancel, spawn
from aldea.tracing.incoming import trace_of
from aldea.upstream import Upstreams, server_path
from aldea.upstream.fleet import FleetReports
from ws_proxy import metrics
from ws_proxy.meter import TURN_REPORT_MARK, raw_audio
from ws_proxy.placement import Finder, UpstreamRequest
from ws_proxy.realtime import handler as realtime
from ws_proxy.resources import (
    RESOURCES,
    Resources,
    about_to_restart,
    begin_trace,
    book,
    check_origin,
    new_session,
    observe_connected,
    refuse_in_a_drain,
    upstream_headers,
)
from ws_proxy.settings import Settings
from ws_proxy.streams import LiveStreams
from ws_proxy.websocket import handshake
from ws_proxy.websocket.window import Budget

log = structlog.get_logger("ws_proxy")

# Turn-based streaming: its messages are others, and number its turns, so that no other server could go on with them.
TURNS_PATH: Final = "/v2/listen"
PATHS: Final = ("/v1/listen", "/listen/v1", "/v1/listen/pcm", "/listen/v1/pcm", TURNS_PATH)
_OPENED: Final = metrics.HANDSHAKES.labels("101")
# The status booked for a request whose client left before its 101 (nginx's convention).
CLIENT_GONE: Final = 499
# One for all: nothing of it is ever sent or changed.
DEPARTED: Final = server.Departed()


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
        lane_watch = LaneWatch(settings, upstreams.switch_own_lane)
        fleet = FleetReports(
            link, upstreams, service=settings.service_name, lane=settings.lane, running=lambda: len(renewals),
            weight=lambda: lane_watch.weight,
        )  # fmt: skip
        app[RESOURCES] = Resources(
            settings, admission, renewals, upstreams, finder, windows, streams, settings.limits()
        )
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
                spawn(fleet.run(), name="fleet-reports"),
                spawn(lane_watch.run(), name="lane-watch"),
            ]
            yield
            await streams.close()
            await cancel(*background)

    app.cleanup_ctx.append(resources)
    for path in PATHS:
        app.router.add_get(path, listen)
    app.router.add_get(realtime.PATH, realtime.realtime)
    return app


async def listen(request: web.Request) -> web.StreamResponse:
    """Open a live stream; a refusal is an HTTP response in the contract's shape, before the upgrade."""
    status = 500
    trace = begin_trace(request)
    try:
        with request.app[RESOURCES].streams.handshake():
            status = await _listen(request)
    except errors.ApiError as error:
        status = error.status
        log.info("stream refused", request_id=request_id(request), status=status, reason=error.message)
        return error.response(request_id(request), {ERROR_HEADER: f"{error.err_code}: {error.err_msg}"})
    finally:
        (_OPENED if status == 101 else metrics.HANDSHAKES.labels(str(status))).inc()
        if trace is not None and status != 101:
            trace.end(status)
    return DEPARTED


async def _listen(request: web.Request) -> int:
    """The status that the handshake ended with, the connection having left HTTP: 101, or CLIENT_GONE."""
    resources = request.app[RESOURCES]
    until = lived(asyncio.get_running_loop()) + resources.settings.handshake_seconds
    refuse_in_a_drain(request)
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
        trace=trace_of(request),
    )
    rate_limits.note(request, grant)
    try:
        return await _start(request, resources, grant, credential, key, until)
    except errors.ApiError as error:
        await book(resources, grant, error.status)
        raise
    except BaseException:
        await book(resources, grant, 503 if request.app[LIFECYCLE].draining else 500)
        raise


def _check(request: web.Request, settings: Settings) -> None:
    if "callback" in request.query:
        raise errors.BadRequest(
            "'callback' is not possible on a live stream. POST recorded audio to /v1/listen for it."
        )
    check_origin(request, settings)


async def _start(
    request: web.Request, resources: Resources, grant: Grant, credential: Credential, key: str, until: float
) -> int:
    """`until`: the loop's lived time by which an STT server must have taken the stream."""
    refuse_in_a_drain(request)  # which may have begun during admission
    upstream_request = UpstreamRequest(
        request.rel_url.raw_path,
        request.rel_url.raw_query_string,
        upstream_headers(request, grant),
        grant.trace,
    )
    began = time.monotonic()
    try:
        async with resources.streams.opening():
            upstream, opened = await resources.finder.first(upstream_request, until)
    except TimeoutError:
        raise about_to_restart() from None
    connect_seconds = time.monotonic() - began
    observe_connected(grant, connect_seconds)
    # From here to the relay's start nothing awaits: no event can come between.
    if request.app[LIFECYCLE].draining:
        resources.upstreams.release(upstream)
        opened.transport.abort()
        raise about_to_restart()
    connection = server.leave_http(request)
    if connection is None or opened.transport.is_closing():
        resources.upstreams.release(upstream)
        opened.transport.abort()
        if connection is None:
            await book(resources, grant, CLIENT_GONE)
            return CLIENT_GONE
        raise errors.BadGateway("The STT server closed the connection. Connect again.")
    client, early = connection
    headers = {REQUEST_ID_HEADER: grant.request_id, **request.get(RATE_LIMITS, {})}
    if credential.subprotocol is not None:
        headers["Sec-WebSocket-Protocol"] = credential.subprotocol
    client.write(handshake.upgrade_response(key, headers))
    turns = request.path == TURNS_PATH
    raw = raw_audio(request.path, request.query)
    session = new_session(
        resources, grant, upstream_request, raw, upstream, continues=not turns, connect_seconds=connect_seconds
    )
    if turns:
        session.relay.upstream.scanner.report_mark = TURN_REPORT_MARK
    session.relay.start(client, early, opened.transport, opened.early)
    resources.streams.add(session)
    return 101
