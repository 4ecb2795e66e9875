"""A refusal of the STT server on its way to the client: read whole, with the request's own id in it."""

import json
from typing import Final

from aiohttp import hdrs, web

from aldea import errors
from aldea.headers import ERROR_HEADER, REQUEST_ID_HEADER
from http_proxy.response import coding_of, next_piece
from http_proxy.upstream_connection import UpstreamResponse

# Of a refusal's body; an error in the contract's shape takes a few hundred.
MAX_REFUSAL_BYTES: Final = 64 * 1024
# What of its head says something about the refusal.
_KEPT: Final = (hdrs.RETRY_AFTER, ERROR_HEADER, hdrs.WWW_AUTHENTICATE, hdrs.ALLOW)


def is_refusal(response: UpstreamResponse) -> bool:
    """Whether it is one whose body can be read here. A compressed one is relayed as it is: none was requested."""
    return response.head.code >= 400 and not coding_of(response)


async def read_refusal(response: UpstreamResponse, stall_seconds: float) -> bytes:
    """Its body. Raises BadGateway for one that is too long, and as `next_piece`."""
    body = b""
    while piece := await next_piece(response, stall_seconds):
        body += piece
        if len(body) > MAX_REFUSAL_BYTES:
            raise errors.BadGateway("The STT server could not transcribe this, and its response says why at length.")
    return body


def passed_on(response: UpstreamResponse, body: bytes, request_id: str) -> web.Response:
    """The response for the client. In a JSON object the id is ours, whatever a server of another make has in there."""
    headers = {name: response.head.headers[name] for name in _KEPT if name in response.head.headers}
    kind = response.head.headers.get(hdrs.CONTENT_TYPE, "application/octet-stream")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        body, kind = json.dumps({**found, "request_id": request_id}).encode(), "application/json"
    return web.Response(
        status=response.head.code,
        body=body,
        headers={**headers, hdrs.CONTENT_TYPE: kind, REQUEST_ID_HEADER: request_id},
    )
