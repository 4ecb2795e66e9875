"""Finding an STT server for a stream: the lane's servers in order of preference, each failure with its status."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from aldea import errors
from aldea.numbers import retry_after_seconds
from aldea.standstill import lived
from aldea.tasks import Deadline
from aldea.tracing.trace import Trace
from aldea.upstream import Upstream, Upstreams, to_server, trust
from ws_proxy.websocket.connect import ConnectFailed, NoResponse, Opened, Refused, open_websocket
from ws_proxy.websocket.handshake import InvalidHandshake, Refusal

log = structlog.get_logger("ws_proxy.upstream_handshake")

# Statuses of a server that say something about the request; every other refusal says something about the server.
_CLIENT_FAULTS = frozenset({400, 404, 405, 413, 414, 415, 422})
# The server is healthy but has no place for another stream.
_BUSY = frozenset({429, 503})
# When to come back to a busy server that does not say so.
BUSY_RETRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds for a connection, and for the handshake's response; `until`: for all, in the loop's lived time.

    A response gets half of what is left until then, if that is less.
    """

    connect: float
    response: float
    until: float


async def open_upstream(
    upstreams: Upstreams,
    path: str,
    query: str,
    headers: Mapping[str, str],
    deadlines: Deadlines,
    *,
    avoiding: Upstream | None = None,
    trace: Trace | None = None,
) -> tuple[Upstream, Opened]:
    """An open WebSocket to the first server that takes the stream.

    `avoiding`: a server that is not tried. `trace`: in which each attempt gets a span.

    The stream counts as that server's work until the caller says `upstreams.release(server)`.
    Raises BadRequest for what a server says is the client's fault, else BadGateway, ServiceUnavailable or
    GatewayTimeout once no server is left.
    """
    fault: errors.ApiError | None = None
    left = deadlines.until - lived(asyncio.get_running_loop())
    if left <= 0:
        raise _overdue()
    try:
        with upstreams.attempts(avoiding=avoiding) as attempts, Deadline(left):
            async for server in attempts:
                try:
                    opened = await _open(upstreams, server, path, query, headers, deadlines, trace)
                except _TryNext as failure:
                    fault = failure.fault
                    continue
                upstreams.succeeded(server)
                return attempts.keep(), opened
    except TimeoutError:
        raise _overdue() from None
    raise fault or errors.ServiceUnavailable(
        "No STT server is available right now. Connect again shortly.", retry_after=upstreams.retry_after()
    )


def _overdue() -> errors.GatewayTimeout:
    return errors.GatewayTimeout("No STT server took the stream in time. Connect again.")


class _TryNext(Exception):
    """This server did not take the stream; `fault` is the client's response if no other does."""

    def __init__(self, fault: errors.ApiError) -> None:
        super().__init__(fault.message)
        self.fault = fault


async def _open(
    upstreams: Upstreams,
    server: Upstream,
    path: str,
    query: str,
    headers: Mapping[str, str],
    deadlines: Deadlines,
    trace: Trace | None,
) -> Opened:
    def failed(fault: errors.ApiError, reason: str) -> _TryNext:
        upstreams.failed(server, reason)
        log.warning("STT server failed a handshake", server=server.name, reason=reason)
        return _TryNext(fault)

    url = upstreams.ws_url(server, path, query)
    # Half of what is left at most: where all servers of a lane hang, there is time for another lane's.
    left = deadlines.until - lived(asyncio.get_running_loop())
    try:
        with to_server(trace, "GET", path, server) as span:
            return await open_websocket(
                url,
                {**upstreams.authorization, **headers, **({} if span is None else span.context.headers())},
                connect_seconds=deadlines.connect,
                response_seconds=min(deadlines.response, left / 2),
                tls=trust() if url.scheme == "wss" else None,
                host=server.host,
            )
    except ConnectFailed as error:
        fault: errors.ApiError = errors.ServiceUnavailable(
            "No STT server is reachable right now. Connect again shortly."
        )
        raise failed(fault, str(error)) from None
    except NoResponse as error:
        fault = errors.GatewayTimeout("The STT server did not take the stream in time. Connect again.")
        raise failed(fault, str(error)) from None
    except InvalidHandshake as error:
        fault = errors.BadGateway("The STT server's response is not valid. Connect again.")
        raise failed(fault, f"invalid handshake: {error}") from None
    except Refused as error:
        status = error.refusal.status
        if status in _CLIENT_FAULTS:
            upstreams.succeeded(server)
            raise errors.BadRequest(_message(error.refusal)) from None
        if status in _BUSY:
            seconds = retry_after_seconds(error.refusal.headers.get("Retry-After", ""))
            upstreams.busy(server, seconds)
            busy = errors.ServiceUnavailable(
                "All STT servers are busy. Connect again shortly.",
                retry_after=BUSY_RETRY_SECONDS if seconds is None else seconds,
            )
            raise _TryNext(busy) from None
        fault = errors.BadGateway("The STT server refused the stream. Connect again.")
        raise failed(fault, f"handshake response {status}") from None


def _message(refusal: Refusal) -> str:
    """What the server says is wrong with the request, for the client."""
    try:
        said = json.loads(refusal.body).get("err_msg")
    except (ValueError, AttributeError, RecursionError):
        said = None
    return said if isinstance(said, str) and said else "The STT server does not accept the request's parameters."
