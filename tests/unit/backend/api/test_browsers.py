"""What a browser is told: which origin may read, and that no answer is run, framed or kept."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from aldea.service.lifecycle import new_app
from backend.api.browsers import protect

CONSOLE = "https://platform.example.com"
ASKS = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}


def application(console_origin: str | None) -> web.Application:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Cache-Control": "no-cache"})

    app = new_app()
    app.router.add_get("/thing", answer)
    protect(app, console_origin)
    return app


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async with TestClient(TestServer(application(CONSOLE))) as found:
        yield found


async def test_the_consoles_origin_may_ask_and_read(client: Any) -> None:
    async with client.options("/thing", headers={"Origin": CONSOLE, **ASKS}) as allowed:
        assert allowed.status == 204
        assert allowed.headers["Access-Control-Allow-Origin"] == CONSOLE
        assert "PATCH" in allowed.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
    async with client.get("/thing", headers={"Origin": CONSOLE}) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == CONSOLE
        assert "dg-request-id" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
    async with client.get("/nothing", headers={"Origin": CONSOLE}) as refused:
        assert refused.status == 404
        assert refused.headers["Access-Control-Allow-Origin"] == CONSOLE


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "http://platform.example.com", f"{CONSOLE}.evil.example", "null", "*", ""]
)
async def test_no_other_origin_is_told_anything(client: Any, origin: str) -> None:
    async with client.options("/thing", headers={"Origin": origin, **ASKS}) as refused:
        assert refused.status == 405
        assert not [name for name in refused.headers if name.startswith("Access-Control")]
    async with client.get("/thing", headers={"Origin": origin}) as answer:
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        assert answer.headers["Vary"] == "Origin"


async def test_without_a_console_no_origin_reads() -> None:
    async with TestClient(TestServer(application(None))) as client:
        for origin in (CONSOLE, "null", ""):
            async with client.get("/thing", headers={"Origin": origin}) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers


async def test_every_answer_is_harmless_in_a_browser_errors_too(client: Any) -> None:
    for path in ("/thing", "/nothing", "/healthz"):
        async with client.get(path) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert answer.headers["Strict-Transport-Security"].startswith("max-age=63072000")
            assert answer.headers["Cache-Control"] == ("no-cache" if path == "/thing" else "no-store")


async def test_a_console_without_tls_is_not_pinned_to_it() -> None:
    async with (
        TestClient(TestServer(application("http://platform.localhost:8080"))) as client,
        client.get("/thing") as answer,
    ):
        assert "Strict-Transport-Security" not in answer.headers
