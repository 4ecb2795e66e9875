"""The outermost layer of every HTTP service: its headers on each response, every failure in the contract's shape."""

import string
from typing import Final
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from aldea import errors, faults
from aldea.headers import ERROR_HEADER, RATE_LIMITS, REQUEST_ID_HEADER, SERVER, request_id

log = structlog.get_logger("aldea.http")

# Of a header's value that has to be percent-encoded: what stays as it is.
_AS_WRITTEN: Final = string.punctuation + " "


@web.middleware
async def contract_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn any exception of a handler into the contract's error shape; an unknown one is logged and becomes a 500."""
    try:
        return await handler(request)
    except errors.ApiError as error:
        fault: errors.ApiError = error
    except web.HTTPException as error:
        if error.status < 400:
            raise
        fault = faults.from_http_exception(error, request)
    except Exception as error:
        if isinstance(error, ConnectionError) and _client_left(request):
            log.info("client disconnected", request_id=request_id(request), method=request.method, path=request.path)
            return web.Response()  # aiohttp finds the connection closed and drops it
        if (found := faults.of_body(error)) is not None:
            fault = found
        else:
            log.exception("request failed", request_id=request_id(request), method=request.method, path=request.path)
            fault = errors.ApiError("The service failed on this request. It is logged under the request id; try again.")
    if request.writer.output_size > 0 and request.transport is not None:
        # A response had begun; a second one inside its body would look like content. The cut shows the failure.
        log.warning("response aborted", request_id=request_id(request), path=request.path, fault=fault.message)
        request.transport.abort()
    # A refused upgrade, wherever it was meant to go: WebSocket clients hide the body.
    upgrade = request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
    return fault.response(
        request_id(request), {ERROR_HEADER: f"{fault.err_code}: {fault.err_msg}"} if upgrade else None
    )


def _client_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def stamp_response(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """`on_response_prepare` signal: every response has the request's id, its rate limits and a server's name."""
    response.headers.setdefault(REQUEST_ID_HEADER, request_id(request))
    headers = response.headers
    headers[hdrs.SERVER] = SERVER
    for name, value in request.get(RATE_LIMITS, {}).items():
        headers.setdefault(name, value)
    for name in {name for name, value in headers.items() if not _sendable(value)}:
        # A client's text that found its way here. For it, a balancer would refuse the whole response.
        for value in headers.popall(name):
            headers.add(name, value if _sendable(value) else quote(value, safe=_AS_WRITTEN, errors="replace"))


def _sendable(value: str) -> bool:
    return value.isascii() and value.isprintable()
