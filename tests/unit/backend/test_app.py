"""The application's table of endpoints, as far as it needs no store."""

from collections import Counter

from aiohttp import web

from aldea.settings import read
from backend.api.access import InProject, Public
from backend.app import ENDPOINTS, make_app
from backend.catalogue.absent import ABSENT
from backend.reference.speech.guide import CHAPTERS
from backend.settings import BackendSettings


def test_every_endpoint_is_there_once_and_has_a_name_of_its_own() -> None:
    assert max(Counter((endpoint.method, endpoint.path) for endpoint in ENDPOINTS).values()) == 1
    assert max(Counter(endpoint.operation_id for endpoint in ENDPOINTS).values()) == 1


def test_every_path_that_names_a_project_is_guarded_by_a_scope_in_it() -> None:
    for endpoint in ENDPOINTS:
        if "{project_id}" in endpoint.path and not endpoint.path.startswith("/v1/operator/"):
            assert isinstance(endpoint.access, InProject), endpoint.path
        else:
            assert not isinstance(endpoint.access, InProject), endpoint.path


def test_every_error_that_an_endpoint_can_meet_is_in_its_table() -> None:
    for endpoint in ENDPOINTS:
        assert set(endpoint.raises) <= set(endpoint.errors), endpoint.operation_id


def test_every_endpoint_is_served_and_says_what_it_is_for() -> None:
    urls = {
        "database_url": "postgresql://u@h/d",
        "redis_url": "redis://h:6379/0",
        "usage_queue_url": "https://sqs/1/usage",
        "usage_dlq_url": "https://sqs/1/dead",
    }
    app = make_app(read(BackendSettings, **urls))
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if isinstance(route, web.ResourceRoute) and route.resource is not None
    }
    for endpoint in ENDPOINTS:
        assert (endpoint.method, endpoint.path) in served
        assert endpoint.handler.__doc__, endpoint.operation_id
    # What is served beside is documentation, and what says whether the service lives.
    beside = {
        *("/healthz", "/readyz", "/"),
        *("/v1/openapi.json", "/v1/docs", "/v1/docs/reference.css", "/v1/docs/reference.js"),
        *("/docs/openapi.json", "/docs/asyncapi.json", "/docs/reference", "/docs/live-reference"),
        *("/docs/reference.css", "/docs/reference.js", *(chapter.path for chapter in CHAPTERS)),
    }
    pages = {"/v1/docs", "/docs/reference", "/docs/live-reference", *(chapter.path for chapter in CHAPTERS)}
    beside_any = {("*", path + rest) for path in ABSENT for rest in ("", "/{rest}")}
    others = served - {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    assert {(method, path) for method, path in others if method != "HEAD"} == {
        *(("GET", path) for path in beside),
        *(("GET", f"{page}/") for page in pages),
        *beside_any,
    }


def test_only_what_a_stranger_must_reach_is_public() -> None:
    public = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if isinstance(endpoint.access, Public)}
    assert public <= {
        ("POST", "/v1/accounts"),
        ("POST", "/v1/sessions"),
        ("POST", "/v1/password-resets/use"),
        ("GET", "/v1/status"),
    }
