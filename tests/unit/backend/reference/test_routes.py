"""Serving the reference: whole, compressed, sent again only if it changed, and with a strict policy."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from aldea.service.lifecycle import new_app
from backend.api.browsers import protect
from backend.app import ENDPOINTS
from backend.reference.document import document
from backend.reference.routes import POLICY, serve_reference
from backend.reference.speech import asyncapi, openapi


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = new_app()
    serve_reference(app, ENDPOINTS)
    protect(app, None)
    async with TestClient(TestServer(app)) as found:
        yield found


async def test_the_document_is_served_as_it_is_made(client: Any) -> None:
    async with client.get("/v1/openapi.json") as response:
        assert response.content_type == "application/json"
        assert await response.json() == document(ENDPOINTS)
        etag = response.headers["ETag"]
    async with client.get("/v1/openapi.json", headers={"If-None-Match": etag}) as again:
        assert again.status == 304
        assert await again.read() == b""


async def test_who_takes_no_gzip_gets_none(client: Any) -> None:
    async with client.get("/v1/openapi.json", headers={"Accept-Encoding": "identity"}) as plain:
        assert "Content-Encoding" not in plain.headers
        assert (await plain.json())["openapi"] == "3.1.1"


async def test_the_page_and_its_files_come_from_here_under_a_strict_policy(client: Any) -> None:
    for path, kind in (("", "text/html"), ("/reference.css", "text/css"), ("/reference.js", "text/javascript")):
        async with client.get(f"/v1/docs{path}") as response:
            assert (response.status, response.content_type) == (200, kind)
            assert response.headers["Content-Security-Policy"] == POLICY
            assert "unsafe" not in POLICY


async def test_the_guide_and_its_documents_are_served_and_the_bare_address_leads_there(client: Any) -> None:
    async with client.get("/", allow_redirects=True) as response:
        assert (response.status, response.url.path) == (200, "/docs")
        assert "The speech API" in await response.text()
    for page in ("/docs", "/docs/errors", "/docs/webhooks", "/v1/docs"):
        async with client.get(f"{page}/", allow_redirects=False) as typed:
            assert (typed.status, typed.headers["Location"]) == (302, page)
    for path, made in (("openapi", openapi.document()), ("asyncapi", asyncapi.document())):
        async with client.get(f"/docs/{path}.json") as response:
            assert await response.json() == made
    for path in (
        "/docs/errors",
        "/docs/reference",
        "/docs/live-reference",
        "/docs/reference.css",
        "/docs/reference.js",
    ):
        async with client.get(path) as response:
            assert response.status == 200
