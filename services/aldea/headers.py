"""HTTP header names of the contract, and the request id that every answer carries."""

from typing import Final

from aiohttp import web

from aldea.ids import new_request_id

REQUEST_ID_HEADER: Final = "dg-request-id"
ERROR_HEADER: Final = "dg-error"

_REQUEST_ID: Final = "aldea.request_id"


def request_id(request: web.BaseRequest) -> str:
    """The id of this request: minted at the first call, the same ever after. A client's own is not taken over."""
    found: str | None = request.get(_REQUEST_ID)
    if found is None:
        found = request[_REQUEST_ID] = new_request_id()
    return found


def client_address(request: web.BaseRequest) -> str:
    """The client's address: the last entry of X-Forwarded-For (the one our own balancer wrote), else the peer's."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    return forwarded.rsplit(",", 1)[-1].strip() or request.remote or ""
