"""The load balancer's place on one machine: one port, routed by the deployment's own table to the services.

HTTP goes through as a stream, WebSockets as raw bytes. Its own responses (no rule, no service, too slow) look like the
load balancer's: the contract's body without a request id, since no service has seen the request.
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Final

import aiohttp
import structlog
import uvloop
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from multidict import CIMultiDict, MultiMapping
from pydantic import Field
from yarl import URL

from aldea import log as logs
from aldea.errors import NotFound
from aldea.faults import from_http_exception
from aldea.headers import ERROR_HEADER, SERVER, request_id
from aldea.service.server import ServiceRunner
from aldea.settings import ServiceSettings, read_or_exit
from aldea.settings_help import take_no_arguments
from aldea_infra import routing
from onebox import tunnel

log = structlog.get_logger("onebox.balancer")

HOSTS: Final = routing.Hosts(api="api.localhost", backend="backend.localhost", platform="platform.localhost")

# As on the load balancer: a connection with no bytes for so long is given up, and a service keeps its own longer.
IDLE_SECONDS: Final = 330.0
CONNECT_SECONDS: Final = 5.0
# Connections that may wait to be accepted.
BACKLOG: Final = 1024
# The most that is read from an upload or a response before it is passed on.
CHUNK_BYTES: Final = 64 * 1024

# RFC 9110 section 7.6.1: fields of one hop, and what `Connection` names. Expect got its 100 here already.
_HOP_BY_HOP: Final = frozenset(
    {
        "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
        "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
# What aiohttp's client would add by itself.
_NOT_ADDED: Final = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.USER_AGENT, hdrs.CONTENT_TYPE)


class BalancerSettings(ServiceSettings):
    """What the balancer reads."""

    targets: dict[str, str] = Field(
        description='JSON that gives each target of the routing table its base URL: {"ws-proxy": "http://127.0.0.1:8101"}'
    )


SETTINGS: Final = web.AppKey("settings", BalancerSettings)
SESSION: Final = web.AppKey("session", aiohttp.ClientSession)
_RULES: Final = routing.rules(HOSTS)


def make_app(settings: BalancerSettings) -> web.Application:
    """The balancer as an application: every path, every method, one handler."""
    app = web.Application(middlewares=[_refusals])
    app[SETTINGS] = settings
    app.cleanup_ctx.append(_session)
    app.on_response_prepare.append(_name_server)
    app.router.add_route("*", r"/{path:[\s\S]*}", forward)
    return app


def runner(app: web.Application) -> web.BaseRunner:
    """A runner that cancels a request whose client has left, so that its service hears of it too.

    It is the services' own: bodies pass as they were sent, and what is no HTTP is refused in the contract's shape.
    """
    return ServiceRunner(
        app,
        handle_signals=False,
        access_log=None,
        keepalive_timeout=IDLE_SECONDS,
        shutdown_timeout=1.0,
        handler_cancellation=True,
    )


async def _session(app: web.Application) -> AsyncIterator[None]:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_NOT_ADDED,
    )
    async with session:
        app[SESSION] = session
        yield


async def forward(request: web.Request) -> web.StreamResponse:
    """Pass one request to the service that the table names, and its response back."""
    wanted = request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"
    # What is of one hop stays on it (RFC 9110 section 7.8): without `Connection: Upgrade`, no upgrade was requested.
    upgrading = wanted and "upgrade" in _named_in_connection(request.headers)
    if (fault := _fault_of_head(request, upgrading=wanted)) is not None:
        return _own_response(400, "Bad Request", fault)
    rule = routing.match(_RULES, request.host, request.raw_path, request.headers)
    if rule is None:
        # The real load balancer sends a fixed text, without an id; this one knows one.
        refusal = NotFound(json.loads(routing.DEFAULT_RESPONSE.body)["err_msg"])
        return refusal.response(request_id(request), {ERROR_HEADER: f"{refusal.err_code}: {refusal.err_msg}"})
    base = request.app[SETTINGS].targets.get(rule.target)
    if base is None:
        return _own_response(503, "SERVICE_UNAVAILABLE", f"The service {rule.target} does not run here.")
    upload = _Upload(request)
    try:
        upstream = await request.app[SESSION].request(
            request.method,
            URL(base + request.raw_path, encoded=True),
            headers=_forwarded_headers(request, upgrading=upgrading),
            data=upload.pieces() if request.body_exists else None,
            allow_redirects=False,
        )
    except TimeoutError:
        return _own_response(504, "GATEWAY_TIMEOUT", f"The service {rule.target} did not respond in time. Try again.")
    except (aiohttp.ClientError, OSError) as error:
        if upload.broken:
            return _own_response(422, "ASR_UNPROCESSABLE_ENTITY", "The body broke off. Send all of it.")
        log.warning("service not reachable", target=rule.target, path=request.path, reason=str(error))
        return _own_response(502, "BAD_GATEWAY", f"The service {rule.target} did not respond. Try again in a moment.")
    async with upstream:
        if upstream.status == 101:
            return await _tunnel(request, upstream)
        return await _stream(request, upstream, last=upgrading)


def _fault_of_head(request: web.Request, *, upgrading: bool) -> str | None:
    """Why a request cannot be passed on; the next hop would not see it, since it gets HTTP/1.1 with a Host."""
    if upgrading and (request.version < HttpVersion11 or request.method != hdrs.METH_GET):
        return "A WebSocket opens with GET and HTTP/1.1."
    # An empty one is allowed (RFC 9112 section 3.2): the public API's Go client opens its streams with it.
    if hdrs.HOST not in request.headers:
        return "The request has no Host."
    if request.headers.get(hdrs.TRANSFER_ENCODING, "chunked").strip().lower() != "chunked":
        return "The request's Transfer-Encoding is not 'chunked', the only one that is taken. Send the audio as it is."
    return None


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What aiohttp refuses by itself, as CONNECT, like every response of the balancer's own."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        fault = from_http_exception(error, request)
        return _own_response(fault.status, fault.err_code, fault.message)


class _Upload:
    """A request's body on its way. `broken`: it ended before its end, by the client's fault."""

    def __init__(self, request: web.Request) -> None:
        self._content = request.content
        self.broken = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        try:
            async for piece in self._content.iter_chunked(CHUNK_BYTES):
                yield piece
        except (OSError, HttpProcessingError, web.RequestPayloadError):
            self.broken = True
            raise


async def _name_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = SERVER


async def _stream(request: web.Request, upstream: aiohttp.ClientResponse, *, last: bool) -> web.StreamResponse:
    """Pass a response on as it comes. `last`: the connection cannot be used again (its parser expects an upgrade)."""
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=_end_to_end(upstream.headers))
    if last:
        response.force_close()
    await response.prepare(request)
    try:
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        # The head is out already: only a connection that breaks off shows the client that the response did.
        log.warning("response broke off", path=request.path, reason=str(error))
        if request.transport is not None:
            request.transport.abort()
    return response


async def _tunnel(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    """Pass the upgrade on, then raw bytes both ways until either side ends."""
    headers = _end_to_end(upstream.headers)
    headers[hdrs.CONNECTION] = "upgrade"
    headers[hdrs.UPGRADE] = upstream.headers.get(hdrs.UPGRADE, "websocket")
    response = web.StreamResponse(status=101, reason=upstream.reason, headers=headers)
    response.force_close()
    await response.prepare(request)
    connection = upstream.connection
    if connection is not None and connection.protocol is not None:
        connection.protocol.read_timeout = None  # a silent stream is kept alive by its own pings
        await tunnel.carry(request.protocol, connection.protocol)
    upstream.close()
    return response


def _forwarded_headers(request: web.Request, *, upgrading: bool) -> CIMultiDict[str]:
    headers = _end_to_end(request.headers)
    before = headers.popall("X-Forwarded-For", [])
    headers["X-Forwarded-For"] = ", ".join([*before, request.remote or "unknown"])
    headers["X-Forwarded-Proto"] = request.scheme
    headers["X-Forwarded-Port"] = str(request.url.port)
    if upgrading:
        headers[hdrs.CONNECTION] = "Upgrade"
        headers[hdrs.UPGRADE] = request.headers[hdrs.UPGRADE]
    return headers


def _named_in_connection(headers: MultiMapping[str]) -> set[str]:
    return {name.strip().lower() for line in headers.getall(hdrs.CONNECTION, []) for name in line.split(",")}


def _end_to_end(headers: MultiMapping[str]) -> CIMultiDict[str]:
    named = _named_in_connection(headers)
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP | named)


def _own_response(status: int, err_code: str, message: str) -> web.Response:
    body = {"err_code": err_code, "err_msg": message, "request_id": ""}
    headers = {"Retry-After": "1"} if status == 503 else None
    return web.Response(status=status, text=json.dumps(body), content_type="application/json", headers=headers)


async def serve(settings: BalancerSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError if the port is taken."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = runner(make_app(settings))
    await serving.setup()
    try:
        await web.TCPSite(serving, settings.bind_host, settings.port, backlog=BACKLOG).start()
        log.info("serving", host=settings.bind_host, port=settings.port)
        await stop.wait()
    finally:
        await serving.cleanup()


def main(arguments: Sequence[str] = ()) -> None:
    """Run the balancer; it has nothing to drain, its services have."""
    take_no_arguments("onebox.balancer", BalancerSettings, arguments)
    settings = read_or_exit("balancer", BalancerSettings)
    logs.configure("balancer", settings.log_level, settings.environment)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except OSError as error:
        log.error("cannot listen", host=settings.bind_host, port=settings.port, reason=error.strerror)  # noqa: TRY400
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(sys.argv[1:])
