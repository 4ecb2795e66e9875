"""Typed errors in the contract's shape: `{"err_code", "err_msg", "request_id"}` with a status and headers.

Texts say what was got, what is allowed and what to do next; they never contain a credential.
"""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from aldea.headers import REQUEST_ID_HEADER
from aldea.numbers import bounded_wait

MAX_FIELD_CHARACTERS: Final = 1000
# Where the API's host explains every error (docs/speech-api-errors.md); a path, since each stack has hosts of its own.
ERRORS_PAGE: Final = "/docs/errors"
_SEE: Final = f" See {ERRORS_PAGE}#"


def without_page(message: str) -> str:
    """An err_msg without the page that it names, for readers who are not at the API's host."""
    return message.partition(_SEE)[0]


class ApiError(Exception):
    """An error that a customer sees. Subclasses fix the status and the contract's err_code."""

    status: int = 500
    err_code: str = "INTERNAL_SERVER_ERROR"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """`message`: the err_msg without its page. `retry_after`: seconds until a retry makes sense, 1 to a day."""
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        # Of the request that met this error: aldea.admission.rate_limits.
        self.rate_limits: Mapping[str, str] = {}

    def headers(self) -> dict[str, str]:
        """The headers that belong to this error, beside `dg-request-id`."""
        if self.retry_after is None:
            return dict(self.rate_limits)
        return {**self.rate_limits, "Retry-After": str(math.ceil(bounded_wait(self.retry_after, least=1)))}

    @property
    def section(self) -> str:
        """The anchor of this error's section of the page: its heading is the err_code."""
        return self.err_code.lower().replace(" ", "-")

    @property
    def err_msg(self) -> str:
        """The message and the page that explains it; of an error that another service passed on, its page once."""
        return f"{without_page(self.message)}{_SEE}{self.section}"

    def body(self, request_id: str) -> dict[str, str]:
        """The contract's JSON body."""
        return {"err_code": self.err_code, "err_msg": self.err_msg, "request_id": request_id}

    def response(self, request_id: str, extra: Mapping[str, str] | None = None) -> web.Response:
        """This error as a response, ready to send. `extra`: further headers, whose values may quote what was sent."""
        return web.Response(
            status=self.status,
            text=json.dumps(self.body(request_id)),
            content_type="application/json",
            headers={
                REQUEST_ID_HEADER: request_id,
                **self.headers(),
                **{name: _field_value(text) for name, text in (extra or {}).items()},
            },
        )


def _field_value(text: str) -> str:
    """`text` as a header's value can carry it (RFC 9110 section 5.5), cut to what any client accepts."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:MAX_FIELD_CHARACTERS]).strip()


class BadRequest(ApiError):
    """Unusable parameters or undecodable audio."""

    status, err_code = 400, "Bad Request"


class InvalidAuth(ApiError):
    """No key, an unknown, revoked or expired one: all look the same from outside."""

    status, err_code = 401, "INVALID_AUTH"

    def __init__(self, message: str = "Invalid credentials. Send an API key as 'Authorization: Token <key>'.") -> None:
        super().__init__(message)


class PaymentRequired(ApiError):
    """Quota or credit is exhausted."""

    status, err_code = 402, "ASR_PAYMENT_REQUIRED"


class InsufficientPermissions(ApiError):
    """The credential is good but lacks the scope or role."""

    status, err_code = 403, "INSUFFICIENT_PERMISSIONS"


class NotFound(ApiError):
    """No such resource."""

    status, err_code = 404, "NOT_FOUND"


class ProjectNotFound(ApiError):
    """No such project, or none that the caller may see."""

    status, err_code = 404, "PROJECT_NOT_FOUND"


class MethodNotAllowed(ApiError):
    """The path exists, but not for this method."""

    status, err_code = 405, "METHOD_NOT_ALLOWED"


class SlowUpload(ApiError):
    """The body came too slowly."""

    status, err_code = 408, "SLOW_UPLOAD"


class Conflict(ApiError):
    """The request contradicts the present state."""

    status, err_code = 409, "CONFLICT"


class LengthRequired(ApiError):
    """Neither Content-Length nor chunked transfer coding."""

    status, err_code = 411, "LENGTH_REQUIRED"


class PayloadTooLarge(ApiError):
    """The body or result is larger than allowed."""

    status, err_code = 413, "PAYLOAD_TOO_LARGE"


class UnprocessableEntity(ApiError):
    """The body broke off."""

    status, err_code = 422, "ASR_UNPROCESSABLE_ENTITY"


class TooManyRequests(ApiError):
    """Request rate or concurrency limit; the message says which."""

    status, err_code = 429, "TOO_MANY_REQUESTS"


class BadGateway(ApiError):
    """The STT server's response is not valid."""

    status, err_code = 502, "BAD_GATEWAY"


class ServiceUnavailable(ApiError):
    """No STT server, draining, or a store is down."""

    status, err_code = 503, "SERVICE_UNAVAILABLE"

    def __init__(self, message: str, *, retry_after: float | None = 2.0) -> None:
        super().__init__(message, retry_after=retry_after)


class GatewayTimeout(ApiError):
    """The STT server was too slow."""

    status, err_code = 504, "GATEWAY_TIMEOUT"


class OtherStatus(ApiError):
    """A status that the contract gives no name of its own, as 417; the err_code is the status' standard name."""

    def __init__(self, status: int, message: str) -> None:
        """`status`: an error's that `http.HTTPStatus` knows; any other is 400 if it is of that class, else 500."""
        super().__init__(message)
        try:
            known = HTTPStatus(status if 400 <= status < 600 else HTTPStatus.INTERNAL_SERVER_ERROR)
        except ValueError:
            known = HTTPStatus.INTERNAL_SERVER_ERROR if status >= 500 else HTTPStatus.BAD_REQUEST
        self.status, self.err_code = known.value, known.name

    @property
    def section(self) -> str:
        """One for all of these."""
        return "other-statuses"
