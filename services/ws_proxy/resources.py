"""What a request needs of the process, and what every live address checks and books in the same way."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Final

from aiohttp import web
from prometheus_client import Histogram

from aldea import errors
from aldea.admission import Admission, Grant, Renewals
from aldea.headers import REQUEST_ID_HEADER
from aldea.service.client_address import client_address
from aldea.service.lifecycle import LIFECYCLE
from aldea.tasks import spawn
from aldea.tracing.incoming import begin
from aldea.tracing.spans import Kind
from aldea.tracing.trace import Trace
from aldea.upstream import Upstream, Upstreams
from aldea.usage.reading import Rank
from ws_proxy import metrics
from ws_proxy.meter import Meter, RawAudio
from ws_proxy.placement import Finder, Placement, UpstreamRequest
from ws_proxy.session import Session
from ws_proxy.settings import Settings
from ws_proxy.streams import LiveStreams
from ws_proxy.websocket.continuation import Continuation
from ws_proxy.websocket.final_lag import FinalLag
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import Limits
from ws_proxy.websocket.window import Budget


@dataclass(frozen=True, slots=True)
class Resources:
    """One for the process."""

    settings: Settings
    admission: Admission
    renewals: Renewals
    upstreams: Upstreams
    finder: Finder
    windows: Budget
    streams: LiveStreams
    limits: Limits


RESOURCES: Final = web.AppKey("resources", Resources)


def refuse_in_a_drain(request: web.Request) -> None:
    """Raise ServiceUnavailable while the process drains."""
    if request.app[LIFECYCLE].draining:
        raise about_to_restart()


def about_to_restart() -> errors.ServiceUnavailable:
    """The refusal of a process that drains."""
    return errors.ServiceUnavailable("This server is about to restart. Connect again.", retry_after=1)


def check_origin(request: web.Request, settings: Settings) -> None:
    """Raise InsufficientPermissions for a page of an origin that may not connect."""
    origin = request.headers.get("Origin")
    if origin is not None and settings.allowed_origins and origin not in settings.allowed_origins:
        raise errors.InsufficientPermissions(
            f"Browsers at {origin:.100} may not connect. Ask for the origin to be allowed."
        )


def begin_trace(request: web.Request) -> Trace | None:
    """Give the request its trace, if it has one: before anything is logged of it."""
    return begin(request, request.path, continues=request.app[RESOURCES].settings.continues_trace(request))


def observe_connected(grant: Grant, seconds: float) -> None:
    """An STT server took the stream after so long."""
    metrics.CONNECT_SECONDS.observe(seconds, None if grant.trace is None else grant.trace.exemplar)


def upstream_headers(request: web.Request, grant: Grant) -> dict[str, str]:
    """What an STT server is sent of who calls, beside the platform's own credential."""
    headers = {REQUEST_ID_HEADER: grant.request_id, "X-Forwarded-For": client_address(request)}
    return headers if grant.trace is None else headers | grant.trace.headers()


def new_session(
    resources: Resources,
    grant: Grant,
    request: UpstreamRequest,
    raw: RawAudio | None,
    server: Upstream,
    *,
    continues: bool,
    connect_seconds: float,
) -> Session:
    """A session whose relay is to be started, on the server that took its stream.

    `continues`: another server can go on with it, if it is raw audio.
    """
    settings = resources.settings
    keeps = raw is not None and continues and settings.replay_seconds > 0
    continuation = Continuation(raw.shape, settings.replay_seconds, resources.windows) if raw and keeps else None
    relay = Relay(resources.limits, continuation)
    per_second = raw.bytes_per_second if raw is not None else 1
    placement = Placement(resources.finder, relay, request, server, per_second)
    lane, name = grant.lane, server.configured
    on_words = _observer(metrics.FIRST_WORDS_SECONDS, lane, name)
    on_lag = _observer(metrics.FINAL_LAG_SECONDS, lane, name)
    trace = grant.trace
    if trace is not None and trace.exemplar is not None:
        on_words, on_lag = partial(_first_words, on_words, trace), partial(on_lag, exemplar=trace.exemplar)
    relay.first_words.on_words = on_words
    if raw is not None:
        relay.final_lag = FinalLag(raw.bytes_per_second, on_lag)
    return Session(grant, relay, Meter(raw), placement, connect_ms=round(connect_seconds * 1000))


@lru_cache(maxsize=256)
def _observer(histogram: Histogram, lane: str, server: str) -> Callable[..., None]:
    """One for all streams of a server: each would hold one of its own."""
    observe: Callable[..., None] = histogram.labels(lane, server).observe
    return observe


def _first_words(observe: Callable[..., None], trace: Trace, seconds: float) -> None:
    observe(seconds, exemplar=trace.exemplar)
    if trace.span is not None:
        trace.span.child("first words", Kind.INTERNAL, {}, seconds_ago=seconds).end()


async def book(resources: Resources, grant: Grant, status: int, close_code: int | None = None) -> None:
    """Release what admission gave and record that the request came to nothing."""
    reading = replace(grant.reading(Rank.FINAL, 1), status=status, close_code=close_code)
    await asyncio.shield(spawn(resources.admission.finish(grant, reading), name="finish"))
