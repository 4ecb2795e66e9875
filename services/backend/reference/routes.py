"""Serves the reference: `/v1/openapi.json`, and a page at `/v1/docs` whose files come from this package."""

import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from aiohttp import hdrs, web

from backend.api.endpoint import Endpoint
from backend.reference.document import document
from backend.reference.page import page

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

STATIC: Final = Path(__file__).parent / "static"
DOCUMENT_PATH: Final = "/v1/openapi.json"
PAGE_PATH: Final = "/v1/docs"
# Everything from this address, nothing inline; the page's own calls go to this API alone.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def serve_reference(app: web.Application, endpoints: Sequence[Endpoint]) -> None:
    """Serve the reference of `endpoints`. It is made at the start, so that no request waits for it."""
    for path, serve in _files(tuple(endpoints)).items():
        app.router.add_get(path, serve)


@cache
def _files(endpoints: tuple[Endpoint, ...]) -> dict[str, Handler]:
    made = document(endpoints)
    return {
        DOCUMENT_PATH: _file(json.dumps(made, separators=(",", ":")).encode(), "application/json"),
        PAGE_PATH: _file(page(made).encode(), "text/html"),
        f"{PAGE_PATH}/reference.css": _file((STATIC / "reference.css").read_bytes(), "text/css"),
        f"{PAGE_PATH}/reference.js": _file((STATIC / "reference.js").read_bytes(), "text/javascript"),
    }


def _file(content: bytes, content_type: str) -> Handler:
    compressed = gzip.compress(content, mtime=0)
    headers = {
        "Content-Security-Policy": POLICY,
        hdrs.CACHE_CONTROL: "no-cache",  # stored, and revalidated before each use
        hdrs.ETAG: f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }

    async def serve(request: web.Request) -> web.Response:
        if headers[hdrs.ETAG] in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        response = web.Response(body=content, headers=headers, content_type=content_type, charset="utf-8")
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            response.body = compressed
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        return response

    return serve
