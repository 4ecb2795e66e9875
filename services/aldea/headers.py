"""HTTP header names of the contract, and the request id that every response carries."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from uuid import UUID

from aiohttp import web

from aldea.ids import new_request_id

REQUEST_ID_HEADER: Final = "dg-request-id"
ERROR_HEADER: Final = "dg-error"
# The server's name in every response, whatever made it: no version, which would only help somebody choose an attack.
SERVER: Final = "aldea"

_REQUEST_ID: Final = web.RequestKey("request_id", str)
# What every response to this request says of its rate limits, whatever else it says.
RATE_LIMITS: Final[web.RequestKey[Mapping[str, str]]] = web.RequestKey("rate_limits", Mapping)


def request_id(request: web.BaseRequest) -> str:
    """The id of this request: minted at the first call, the same ever after. A client's own is not taken over."""
    made = request.get(_REQUEST_ID)
    if made is None:
        made = request[_REQUEST_ID] = new_request_id()
    return made


def adopt_request_id(request: web.BaseRequest) -> str:
    """Take over the id of a trusted caller's `dg-request-id`; without a UUID there, `request_id`'s.

    Only for servers behind the proxies, before anything has read the id.
    """
    with suppress(ValueError):
        request[_REQUEST_ID] = str(UUID(request.headers.get(REQUEST_ID_HEADER, "")))
    return request_id(request)
