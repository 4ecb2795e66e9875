"""The outermost layer of every HTTP service: request id on each answer, every failure in the contract's shape."""

import asyncio

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from aldea import errors
from aldea.headers import REQUEST_ID_HEADER, request_id

log = structlog.get_logger("aldea.http")


@web.middleware
async def contract_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn any exception of a handler into the contract's error shape; an unknown one is logged and answered 500."""
    try:
        return await handler(request)
    except errors.ApiError as error:
        return error.response(request_id(request))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return from_http_exception(error, request).response(request_id(request))
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("request failed", request_id=request_id(request), method=request.method, path=request.path)
        fault = errors.ApiError("The service failed on this request. It is logged under the request id; try again.")
        return fault.response(request_id(request))


def from_http_exception(error: web.HTTPException, request: web.BaseRequest) -> errors.ApiError:
    """What aiohttp itself raises (routing, body limits), as one of our errors."""
    if isinstance(error, web.HTTPNotFound):
        return errors.NotFound(f"Nothing at {request.method} {request.path}. See the API reference for the addresses.")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return _AllowHeader(f"{request.method} is not possible on {request.path}; allowed: {allowed}.", allowed)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return errors.PayloadTooLarge("The request body is larger than allowed here.")
    if error.status == 401:
        return errors.InvalidAuth()
    fault = errors.BadRequest(error.text or error.reason)
    fault.status = error.status  # type: ignore[misc]  # rare statuses keep their number
    return fault


class _AllowHeader(errors.MethodNotAllowed):
    """405 carries the Allow header (RFC 9110 section 15.5.6)."""

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed

    def headers(self) -> dict[str, str]:
        return {"Allow": self.allowed}


async def stamp_request_id(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """`on_response_prepare` signal: every answer carries the request's id."""
    response.headers.setdefault(REQUEST_ID_HEADER, request_id(request))
