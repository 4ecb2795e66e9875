"""Serves what describes the APIs, as files that are made at the start.

The Platform API: `/v1/openapi.json` and the page `/v1/docs`. The speech API, on the API's host too: the guide below
`/docs`, with its documents and their pages.
"""

import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from aiohttp import hdrs, web

from backend.api.endpoint import Endpoint
from backend.reference.document import Json, document
from backend.reference.page import page
from backend.reference.speech import asyncapi, guide, openapi
from backend.reference.speech.live_page import live_page

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

STATIC: Final = Path(__file__).parent / "static"
DOCUMENT_PATH: Final = "/v1/openapi.json"
PAGE_PATH: Final = "/v1/docs"
# Everything from this address, nothing inline; the page's own calls go to this API alone.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGES: Final = (PAGE_PATH, *(chapter.path for chapter in guide.CHAPTERS), *guide.REFERENCES)


def serve_reference(app: web.Application, endpoints: Sequence[Endpoint]) -> None:
    """Serve the reference of `endpoints`, and the speech API's. No request waits for them to be made."""
    for path, serve in _files(tuple(endpoints)).items():
        app.router.add_get(path, serve)
    for page_path in _PAGES:
        app.router.add_get(f"{page_path}/", _to(page_path))  # as people type an address
    app.router.add_get("/", _to(guide.HOME))


def _to(path: str) -> Handler:
    async def lead(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={hdrs.LOCATION: path}, text=f"The documentation is at {path}\n")

    return lead


@cache
def _files(endpoints: tuple[Endpoint, ...]) -> dict[str, Handler]:
    made, recorded, live = document(endpoints), openapi.document(), asyncapi.document()
    style = _file((STATIC / "reference.css").read_bytes(), "text/css")
    script = _file((STATIC / "reference.js").read_bytes(), "text/javascript")
    return {
        DOCUMENT_PATH: _json(made),
        PAGE_PATH: _page(page(made)),
        f"{PAGE_PATH}/reference.css": style,
        f"{PAGE_PATH}/reference.js": script,
        **{chapter.path: _page(guide.page(chapter)) for chapter in guide.CHAPTERS},
        f"{guide.HOME}/openapi.json": _json(recorded),
        f"{guide.HOME}/asyncapi.json": _json(live),
        guide.REFERENCE: _page(page(recorded, assets="")),
        guide.LIVE_REFERENCE: _page(live_page(live)),
        f"{guide.HOME}/reference.css": style,
        f"{guide.HOME}/reference.js": script,
    }


def _json(made: Json) -> Handler:
    return _file(json.dumps(made, separators=(",", ":")).encode(), "application/json")


def _page(made: str) -> Handler:
    return _file(made.encode(), "text/html")


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
