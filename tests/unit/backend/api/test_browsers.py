"""Headers for browsers: which origin may read, and that no response is run, framed or stored."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from aldea.service.lifecycle import new_app
from backend.api.browsers import protect

CONSOLE = "https://platform.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}


def application(console_origin: str | None) -> web.Application:
    async def response(_request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Cache-Control": "no-cache"})

    app = new_app()
    app.router.add_get("/thing", response)
    protect(app, console_origin)
    return app


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async with TestClient(TestServer(application(CONSOLE))) as found:
        yield found


async def test_the_consoles_origin_may_send_requests_and_read_responses(client: Any) -> None:
    async with client.options("/thing", headers={"Origin": CONSOLE, **PREFLIGHT}) as allowed:
        assert allowed.status == 204
        assert allowed.headers["Access-Control-Allow-Origin"] == CONSOLE
        assert "PATCH" in allowed.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
    async with client.get("/thing", headers={"Origin": CONSOLE}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == CONSOLE
        assert "dg-request-id" in response.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in response.headers
    async with client.get("/nothing", headers={"Origin": CONSOLE}) as refused:
        assert refused.status == 404
        assert refused.headers["Access-Control-Allow-Origin"] == CONSOLE


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "http://platform.example.com", f"{CONSOLE}.evil.example", "null", "*", ""]
)
async def test_no_other_origin_gets_cors_headers(client: Any, origin: str) -> None:
    async with client.options("/thing", headers={"Origin": origin, **PREFLIGHT}) as refused:
        assert refused.status == 405
        assert not [name for name in refused.headers if name.startswith("Access-Control")]
    async with client.get("/thing", headers={"Origin": origin}) as response:
        assert not [name for name in response.headers if name.startswith("Access-Control")]
        assert response.headers["Vary"] == "Origin"


async def test_without_a_console_no_origin_reads() -> None:
    async with TestClient(TestServer(application(None))) as client:
        for origin in (CONSOLE, "null", ""):
            async with client.get("/thing", headers={"Origin": origin}) as response:
                assert "Access-Control-Allow-Origin" not in response.headers


async def test_every_response_is_harmless_in_a_browser_errors_too(client: Any) -> None:
    for path in ("/thing", "/nothing", "/healthz"):
        async with client.get(path) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert response.headers["Strict-Transport-Security"].startswith("max-age=63072000")
            assert response.headers["Cache-Control"] == ("no-cache" if path == "/thing" else "no-store")


async def test_a_console_without_tls_is_not_pinned_to_it() -> None:
    async with (
        TestClient(TestServer(application("http://platform.localhost:8080"))) as client,
        client.get("/thing") as response,
    ):
        assert "Strict-Transport-Security" not in response.headers
