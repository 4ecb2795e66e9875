"""What aiohttp raises for a client's fault, as the error of the contract that the client gets."""

from typing import Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from aldea import errors

# Statuses that aiohttp or a handler raises as web.HTTPException and that have one meaning in the contract. 401 keeps
# its fixed text: every unusable credential looks the same from outside.
_BY_STATUS: Final[dict[int, type[errors.ApiError]]] = {
    kind.status: kind
    for kind in (
        errors.BadRequest,
        errors.InsufficientPermissions,
        errors.SlowUpload,
        errors.Conflict,
        errors.LengthRequired,
        errors.UnprocessableEntity,
        errors.TooManyRequests,
        errors.BadGateway,
        errors.ServiceUnavailable,
        errors.GatewayTimeout,
    )
}


# Characters of a text that is not our own.
MAX_TEXT: Final = 300


class BodyEnded(ConnectionError):
    """The client's side of the connection ended, or made no sense, inside a body."""


def of_body(error: Exception) -> errors.ApiError | None:
    """The error that the client gets for a fault of a request's body; None for what is not the client's fault."""
    if isinstance(error, errors.ApiError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return errors.PayloadTooLarge("The request body is larger than allowed here.")
    if isinstance(error, BodyEnded):
        return errors.UnprocessableEntity(f"The body broke off: {error}. Send all of it.")
    if isinstance(error, web.RequestPayloadError | HttpProcessingError):
        return errors.BadRequest("The body is not framed as its headers say. Check its length, chunks and encoding.")
    return None


def from_http_exception(error: web.HTTPException, request: web.BaseRequest) -> errors.ApiError:
    """What aiohttp itself raises (routing, body limits), as one of our errors."""
    if isinstance(error, web.HTTPNotFound):
        return errors.NotFound(
            f"Nothing at {request.method:.20} {request.path:.200}. See the API reference for the addresses."
        )
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return _MethodNotAllowedHere(
            f"{request.method:.20} is not possible on {request.path:.200}; allowed: {allowed}.", allowed
        )
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return errors.PayloadTooLarge("The request body is larger than allowed here.")
    if error.status == errors.InvalidAuth.status:
        return errors.InvalidAuth()
    if isinstance(error, web.HTTPExpectationFailed):
        got = request.headers.get(hdrs.EXPECT, "")
        return errors.OtherStatus(error.status, f"Expect: got {got!r:.40}, allowed is 100-continue. Leave it out.")
    text = (error.text or error.reason)[:MAX_TEXT]  # it may quote the request
    kind = _BY_STATUS.get(error.status)
    return kind(text) if kind is not None else errors.OtherStatus(error.status, text)


class _MethodNotAllowedHere(errors.MethodNotAllowed):
    """405 carries the Allow header (RFC 9110 section 15.5.6)."""

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed

    def headers(self) -> dict[str, str]:
        return {"Allow": self.allowed}
