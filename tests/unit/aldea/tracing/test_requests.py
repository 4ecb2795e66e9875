"""Spans of an application's requests, and of the calls that they make: two applications, one trace."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from opentelemetry.sdk.trace import ReadableSpan

from aldea.service.lifecycle import new_app
from aldea.tracing import otlp, spans
from aldea.tracing.requests import calling, passed_on, trace_requests
from tests.unit.aldea.tracing.test_context import GOOD, SPAN, TRACE
from tests.unit.aldea.tracing.test_otlp import Kept

PROJECT = "11111111-1111-7111-8111-111111111111"
Sent = Callable[[], list[ReadableSpan]]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """The spans of this process so far; nothing is recorded any more once they were requested."""
    kept = Kept()
    recorder = otlp.OtlpRecorder("a-service", "dev", kept)
    monkeypatch.setattr(spans._Process, "recorder", recorder)

    def sent() -> list[ReadableSpan]:
        recorder.close()
        return kept.spans

    yield sent
    recorder.close()


@asynccontextmanager
async def serving(*, continues: bool, behind: str = "") -> AsyncIterator[str]:
    app = new_app()

    async def show(request: web.Request) -> web.Response:
        if request.match_info["name"] == "moved":
            raise web.HTTPFound("/elsewhere")
        if request.match_info["name"] == "broken":
            raise RuntimeError("a defect")
        if behind:
            server = {"server.address": "behind", "server.port": 1}
            with calling("GET", server) as span:
                async with (
                    ClientSession() as http,
                    http.get(f"{behind}/v1/projects/{PROJECT}/keys/x", headers=passed_on(span)) as response,
                ):
                    return web.Response(status=response.status)
        return web.Response()

    app.router.add_get("/v1/projects/{project_id}/keys/{name}", show)
    trace_requests(app, lambda _request: continues)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def request(url: str, method: str = "GET", **headers: str) -> int:
    async with ClientSession() as http, http.request(method, url, headers=headers, allow_redirects=False) as response:
        return response.status


async def test_a_request_and_the_call_that_it_makes_are_one_trace(recorded: Sent) -> None:
    async with serving(continues=True) as behind, serving(continues=True, behind=behind) as front:
        assert await request(f"{front}/v1/projects/{PROJECT}/keys/secret", traceparent=GOOD) == 200
    inner, call, outer = recorded()
    assert [f"{one.context.trace_id:032x}" for one in (inner, call, outer) if one.context] == [TRACE] * 3
    assert f"{outer.parent.span_id:016x}" == SPAN if outer.parent else False
    assert call.parent == outer.context
    assert inner.parent is not None and call.context is not None  # noqa: PT018 - for the types
    assert inner.parent.span_id == call.context.span_id
    assert call.name == "GET"
    assert dict(call.attributes or {}) == {
        "http.request.method": "GET", "server.address": "behind", "server.port": 1
    }  # fmt: skip
    for one in (inner, outer):
        assert one.name == "GET /v1/projects/{project_id}/keys/{name}"
        known = dict(one.attributes or {})
        assert known.pop("aldea.request_id")
        assert known == {
            "http.request.method": "GET",
            "http.route": "/v1/projects/{project_id}/keys/{name}",
            "http.response.status_code": 200,
            "aldea.project_id": PROJECT,
        }
        assert "secret" not in repr(one.to_json())


@pytest.mark.parametrize(
    ("path", "method", "status", "name", "error"),
    [
        (f"/v1/projects/{PROJECT}/keys/moved", "GET", 302, "GET /v1/projects/{project_id}/keys/{name}", None),
        (f"/v1/projects/{PROJECT}/keys/broken", "GET", 500, "GET /v1/projects/{project_id}/keys/{name}", "500"),
        ("/what/a/stranger/made/up?key=secret", "GET", 404, "GET", None),
        ("/v1/projects", "PURGE", 404, "HTTP", None),
    ],
)
async def test_a_span_says_how_its_request_ended_and_nothing_that_a_client_made_up(
    recorded: Sent, path: str, method: str, status: int, name: str, error: str | None
) -> None:
    async with serving(continues=True) as url:
        assert await request(url + path, method) == status
    [span] = recorded()
    known: dict[str, Any] = dict(span.attributes or {})
    assert (span.name, known["http.response.status_code"], known.get("error.type")) == (name, status, error)
    assert known["http.request.method"] == ("GET" if method == "GET" else "_OTHER")
    assert "stranger" not in repr(known)
    assert "secret" not in repr(known)


async def test_what_stands_in_place_of_a_projects_id_is_not_kept(recorded: Sent) -> None:
    async with serving(continues=True) as url:
        assert await request(f"{url}/v1/projects/org_a-secret/keys/x") == 200
    [span] = recorded()
    assert "secret" not in repr(span.to_json())


async def test_a_strangers_trace_is_not_continued_and_health_checks_have_none(recorded: Sent) -> None:
    async with serving(continues=False) as url:
        assert await request(f"{url}/healthz", traceparent=GOOD) == 200
        assert await request(f"{url}/readyz", traceparent=GOOD) == 200
        assert await request(f"{url}/v1/projects/{PROJECT}/keys/x", traceparent=GOOD) == 200
    [span] = recorded()
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" != TRACE


async def test_a_trace_that_is_not_recorded_is_passed_on_as_such(
    recorded: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    app = new_app()

    async def show(request: web.Request) -> web.Response:
        with calling("GET", {}) as span:
            seen.append(passed_on(span)["traceparent"])
        return web.Response()

    app.router.add_get("/", show)
    trace_requests(app, lambda _request: True)
    async with TestServer(app) as server:
        await request(str(server.make_url("/")), traceparent=GOOD[:-1] + "0")
    assert recorded() == []
    assert seen[0].startswith(f"00-{TRACE}-")
    assert seen[0].endswith("-00")
    assert passed_on(None) == {}
