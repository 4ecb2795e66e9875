"""The embedded STT server's routes: live streams, recorded audio, statistics."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from typing import Final

import structlog
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler
from pydantic import SecretStr

from aldea.address_guard import AddressGuard, GuardedClient
from aldea.errors import ApiError, BadRequest, InvalidAuth, ServiceUnavailable
from aldea.headers import ERROR_HEADER, adopt_request_id, request_id
from aldea.service.lifecycle import LIFECYCLE, Lifecycle, new_app
from aldea.tasks import spawn
from aldea.tracing.incoming import begin
from stt_api import messages
from stt_api.audio.opus_packets import OpusPackets
from stt_api.body import departure, multipart_body, plain_body
from stt_api.features import EFFECTIVE, OF_RECORDED_AUDIO, warnings
from stt_api.fetch import fetched
from stt_api.live import FINISH_SECONDS, LiveSession
from stt_api.options import ListenOptions
from stt_api.query import flag, may_be_packets, parse
from stt_api.recognition.pool import WorkerPool
from stt_api.recorded import Recorded, transcribe
from stt_api.settings import SttSettings
from stt_api.stats import Stats
from stt_api.turn_based import query as turn_query
from stt_api.turn_based.turns import TurnWire
from stt_api.wire import ListenWire, Wire
from stt_api.wording import wording

log = structlog.get_logger("stt_api")

SETTINGS: Final = web.AppKey("settings", SttSettings)
POOL: Final = web.AppKey("pool", WorkerPool)
STATS: Final = web.AppKey("stats", Stats)
SESSIONS: Final = web.AppKey("sessions", set[LiveSession])
FETCHER: Final = web.AppKey("fetcher", GuardedClient)

# Audio comes in messages of a few kilobytes; beyond this one is a mistake (close code 1009).
MAX_MESSAGE_BYTES: Final = 4 << 20
# How long a peer may take to reply to a Close frame.
CLOSE_SECONDS: Final = 5.0
# So long before a drain's deadline its streams begin to be closed, each at its next final words: a pause between two
# sentences comes within that nearly always.
FINAL_SECONDS: Final = 10.0
# The subprotocols of browsers, which can set no header; the first word is echoed, never the credential.
_SUBPROTOCOLS: Final = ("token", "bearer")
_LISTEN_PATHS: Final = ("/v1/listen", "/v1/listen/pcm")
_TURNS_PATH: Final = "/v2/listen"


def make_app(settings: SttSettings) -> web.Application:
    """The application; its recognition processes run while it does."""
    app = new_app()
    app.middlewares.append(_adopt_request_id)
    app.middlewares.append(_authorize)
    app[SETTINGS] = settings
    app[POOL] = WorkerPool(
        settings.stt_workers,
        settings.stt_streams_per_worker,
        settings.model,
        max_waiting=settings.stt_waiting_streams,
        waiting_seconds=settings.stt_waiting_seconds,
        memory_mb=settings.worker_memory_mb,
    )
    app[STATS] = Stats()
    app[SESSIONS] = set()
    app[LIFECYCLE].ready_check("recognition", app[POOL].check)
    app[LIFECYCLE].on_drain(_Drain(app))
    app.cleanup_ctx.append(_pool)
    app.cleanup_ctx.append(_fetcher)
    for path in (*_LISTEN_PATHS, _TURNS_PATH):
        app.router.add_get(path, listen_live)
    for path in _LISTEN_PATHS:
        app.router.add_post(path, listen_recorded)
    app.router.add_post("/transcribe", transcribe_plainly)
    app.router.add_post("/transcribe/{rest:.*}", transcribe_plainly)
    app.router.add_get("/stats", show_stats)
    return app


async def _pool(app: web.Application) -> AsyncIterator[None]:
    app[POOL].start()
    yield
    await app[POOL].close()


async def _fetcher(app: web.Application) -> AsyncIterator[None]:
    async with GuardedClient(AddressGuard(allow_loopback=app[SETTINGS].allow_loopback_urls)) as client:
        app[FETCHER] = client
        yield


class _Drain:
    """Drain: live streams and uploads go on, and `/stats` says that this server is about to stop.

    A proxy that reads that moves its streams to another server. Each that is left shortly before the deadline is closed
    with 1012 at its next final words, and all others at the deadline.
    """

    def __init__(self, app: web.Application) -> None:
        self._app = app

    async def __call__(self, lifecycle: Lifecycle) -> None:
        sessions = self._app[SESSIONS]
        soon = spawn(lifecycle.deadline_reached(ahead=FINAL_SECONDS), name="drain-nearly-over")
        overdue = spawn(lifecycle.deadline_reached(), name="drain-deadline")
        idle = spawn(self._app[STATS].idle(), name="drain-idle")
        try:
            await asyncio.wait({soon, idle}, return_when=asyncio.FIRST_COMPLETED)
            for session in sessions:
                session.restart_at_final()
            await asyncio.wait({overdue, idle}, return_when=asyncio.FIRST_COMPLETED)
            for session in sessions:
                session.restart()
            await asyncio.wait({idle}, timeout=FINISH_SECONDS + CLOSE_SECONDS)
        finally:
            soon.cancel()
            overdue.cancel()
            idle.cancel()


@web.middleware
async def _adopt_request_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    # The proxies' id becomes ours, so that words, metadata and bill share one. So does their trace.
    adopt_request_id(request)
    resource = request.match_info.route.resource
    trace = begin(request, resource.canonical if resource is not None else "", continues=True, begins=False)
    status = 500
    try:
        response = await handler(request)
        status = response.status
    finally:
        if trace is not None:
            trace.end(status)
    return response


@web.middleware
async def _authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    token = request.app[SETTINGS].stt_api_token
    if token is not None and request.path not in {"/healthz", "/readyz"} and not _carries(request, token):
        raise InvalidAuth
    return await handler(request)


def _carries(request: web.Request, token: SecretStr) -> bool:
    scheme, _, credential = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if not scheme:
        scheme, _, credential = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").partition(",")
    expected = token.get_secret_value().encode()
    return scheme.lower() in _SUBPROTOCOLS and hmac.compare_digest(credential.strip().encode(), expected)


async def listen_live(request: web.Request) -> web.StreamResponse:
    """A live stream; a refusal comes before the upgrade."""
    try:
        _check_live(request)
        wire, options = _spoken(request)
        async with request.app[POOL].stream(options) as stream:
            socket = web.WebSocketResponse(
                protocols=_SUBPROTOCOLS, compress=False, max_msg_size=MAX_MESSAGE_BYTES, timeout=CLOSE_SECONDS
            )
            await socket.prepare(request)
            session = LiveSession(
                socket,
                stream,
                wire,
                request_id=request_id(request),
                silence_seconds=request.app[SETTINGS].stt_silence_seconds,
                packets=OpusPackets(options.channels) if may_be_packets(request.query) else None,
            )
            request.app[SESSIONS].add(session)
            try:
                with request.app[STATS].live():
                    code = await session.run()
            finally:
                request.app[SESSIONS].discard(session)
                request.app[STATS].heard(session.duration)
            log.info("stream ended", request_id=request_id(request), code=code, audio_seconds=session.duration)
            return socket
    except ApiError as refusal:
        return refusal.response(request_id(request), {ERROR_HEADER: refusal.err_msg})


def _spoken(request: web.Request) -> tuple[Wire, ListenOptions]:
    """What a live stream speaks, by its path, and what its query requests. Raises BadRequest."""
    model, query = request.app[POOL].model, request.query
    if request.path == _TURNS_PATH:
        wanted = turn_query.parse(query, model)
        wire = TurnWire(
            wanted.thresholds,
            request_id(request),
            keyterms=wanted.keyterms,
            wording=wanted.wording,
            warnings=wanted.warnings,
        )
        return wire, wanted.options
    options = parse(query, raw_only=request.path.endswith("/pcm"))
    unmet = warnings(query, model, effective=EFFECTIVE - OF_RECORDED_AUDIO)
    live = replace(wording(query), paragraphs=False, split_seconds=None)
    return ListenWire(options, model, request_id(request), unmet, live), options


def _check_live(request: web.Request) -> None:
    _refuse_while_draining(request)
    if "websocket" not in request.headers.get(hdrs.UPGRADE, "").lower():
        raise BadRequest("GET here opens a live stream: send a WebSocket upgrade, or POST recorded audio.")
    if request.method != hdrs.METH_GET or request.version < HttpVersion11:
        raise BadRequest("A live stream opens with GET and HTTP/1.1 (RFC 6455 section 4.1).")
    if request.body_exists:
        raise BadRequest("An upgrade request must not have a body; send audio as WebSocket messages.")
    if "callback" in request.query:
        raise BadRequest("callback: not possible on a live stream; read the words from the WebSocket.")


async def listen_recorded(request: web.Request) -> web.StreamResponse:
    """Recorded audio; the response has words in the contract's shape."""
    options = _recorded_options(request, raw_only=request.path.endswith("/pcm"))
    unmet, requested = warnings(request.query, request.app[POOL].model), wording(request.query)
    created = messages.now()
    found = await _transcribe(request, options)
    metadata = messages.metadata_fields(
        model=request.app[POOL].model,
        request_id=request_id(request),
        sha256=found.sha256,
        created=created,
        duration=found.duration,
        channels=found.channels,
        warnings=unmet,
    )
    return web.json_response(
        messages.recorded(found.transcripts, metadata, found.channels, punctuate=options.punctuate, wording=requested)
    )


async def transcribe_plainly(request: web.Request) -> web.StreamResponse:
    """Recorded audio; the response is its text, with words and their times if the header `timestamps` requests them."""
    timed = flag(request.headers, "timestamps")
    options = _recorded_options(request)
    unmet, requested = warnings(request.query, request.app[POOL].model), wording(request.query)
    found = await _transcribe(request, options)
    heard = messages.alternative(found.transcripts, punctuate=options.punctuate, wording=requested)
    response = {"text": heard["transcript"], "duration": found.duration, "request_id": request_id(request)}
    if timed:
        response["words"] = heard["words"]
    return web.json_response({**response, "warnings": unmet} if unmet else response)


def _recorded_options(request: web.Request, *, raw_only: bool = False) -> ListenOptions:
    options = parse(request.query, raw_only=raw_only)
    # Paragraphs are made of sentences.
    punctuate = options.punctuate or flag(request.query, "paragraphs")
    return replace(options, recorded=True, punctuate=punctuate, max_seconds=request.app[SETTINGS].stt_max_audio_seconds)


async def _transcribe(request: web.Request, options: ListenOptions) -> Recorded:
    _refuse_while_draining(request)
    async with _audio(request) as body:
        with request.app[STATS].recorded():
            found = await transcribe(
                request.app[POOL],
                options,
                body,
                max_bytes=request.app[SETTINGS].stt_max_body_bytes,
                departure=departure(request),
            )
    request.app[STATS].heard(found.duration * found.channels)
    return found


def _audio(request: web.Request) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
    if request.content_type == "application/json":
        return fetched(request, request.app[FETCHER])
    multipart = request.content_type.startswith("multipart/")
    return aclosing(multipart_body(request) if multipart else plain_body(request))


def _refuse_while_draining(request: web.Request) -> None:
    if request.app[LIFECYCLE].draining:
        raise ServiceUnavailable("This server is about to stop; try again, another one takes over.")


async def show_stats(request: web.Request) -> web.Response:
    """What this server is doing."""
    draining = request.app[LIFECYCLE].draining
    return web.json_response(request.app[STATS].snapshot(request.app[POOL], draining=draining))
