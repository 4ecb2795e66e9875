"""The routing table and the load balancer's matching rules."""

import json

import pytest
from multidict import CIMultiDict

from aldea_infra.routing import DEFAULT_RESPONSE, Hosts, Rule, Target, match, rules, wildcard_match

HOSTS = Hosts(api="api.aldea.ai", backend="backend.aldea.ai", platform="platform.aldea.ai")
TABLE = rules(HOSTS)
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


def taken(host: str, path: str, headers: dict[str, str] | None = None) -> int | None:
    rule = match(TABLE, host, path, headers or {})
    return rule.priority if rule else None


def test_the_table_is_the_agreed_one() -> None:
    assert [
        (rule.priority, rule.hosts, rule.paths, rule.header and (rule.header.name, rule.header.values), rule.target)
        for rule in TABLE
    ] == [
        (10, ("platform.aldea.ai",), (), None, Target.FRONTEND),
        (20, ("backend.aldea.ai",), (), None, Target.BACKEND),
        (30, (), ("/v1/projects*", "/v1/auth/*", "/v1/models*", "/v1/status*"), None, Target.BACKEND),
        (40, (), ("/", "/docs", "/docs/*"), None, Target.BACKEND),
        (
            100,
            (),
            ("/listen/*", "/v1/listen*", "/v2/listen", "/v1/realtime"),
            ("Upgrade", ("websocket",)),
            Target.WS_PROXY,
        ),
        (200, (), ("/listen/*", "/v1/listen*"), None, Target.HTTP_PROXY),
        (300, (), ("/transcribe", "/transcribe/*", "/v1/audio/*"), None, Target.HTTP_PROXY),
    ]


@pytest.mark.parametrize(
    ("host", "path", "headers", "priority"),
    [
        ("platform.aldea.ai", "/", {}, 10),
        ("platform.aldea.ai", "/v1/projects", {}, 10),
        ("PLATFORM.Aldea.AI:443", "/login", {}, 10),
        ("backend.aldea.ai", "/v1/projects", {}, 20),
        ("backend.aldea.ai", "/v1/listen", UPGRADE, 20),
        ("api.aldea.ai", "/v1/projects", {}, 30),
        ("api.aldea.ai", "/v1/projects/p/keys?status=active", {}, 30),
        ("api.aldea.ai", "/v1/models", {}, 30),
        ("api.aldea.ai", "/v1/status", {}, 30),
        ("api.aldea.ai", "/v1/status/runs", {}, 30),
        ("platform.aldea.ai", "/status", {}, 10),
        ("api.aldea.ai", "/", {}, 40),
        ("backend.aldea.ai", "/", {}, 20),
        ("api.aldea.ai", "/docs", {}, 40),
        ("api.aldea.ai", "/docsets", {}, None),
        ("api.aldea.ai", "/docs/errors", {}, 40),
        ("api.aldea.ai", "/v1/audio/transcriptions", {}, 300),
        ("api.aldea.ai", "/v1/models/7d1f9c4e-3b52-4c0e-9a55-2f6e0d1c8b3a", {}, 30),
        ("api.aldea.ai", "/v1/auth/grant", {}, 30),
        ("api.aldea.ai", "/v1/auth", {}, None),
        ("api.aldea.ai", "/v1/listen", UPGRADE, 100),
        ("api.aldea.ai", "/v1/listen?model=x", UPGRADE, 100),
        ("api.aldea.ai", "/v1/listen/pcm", {"upgrade": "WebSocket"}, 100),
        ("api.aldea.ai", "/listen/v1", UPGRADE, 100),
        ("api.aldea.ai", "/listen/v1/pcm", UPGRADE, 100),
        ("api.aldea.ai", "/v2/listen?model=flux-general-en", UPGRADE, 100),
        ("api.aldea.ai", "/v2/listen", {}, None),
        ("api.aldea.ai", "/v2/listen/x", UPGRADE, None),
        ("api.aldea.ai", "/v1/realtime?intent=transcription", UPGRADE, 100),
        ("api.aldea.ai", "/v1/realtime", {}, None),
        ("api.aldea.ai", "/v1/realtime/sessions", UPGRADE, None),
        ("api.aldea.ai", "/v1/listen", {"Upgrade": "h2c"}, 200),
        ("api.aldea.ai", "/v1/listen", {}, 200),
        ("api.aldea.ai", "/listen/v1", {}, 200),
        ("api.aldea.ai", "/listen", {}, None),
        ("api.aldea.ai", "/listen", UPGRADE, None),
        ("api.aldea.ai", "/V1/listen", UPGRADE, None),
        ("api.aldea.ai", "/x/v1/listen", UPGRADE, None),
        ("api.aldea.ai", "/transcribe", {}, 300),
        ("api.aldea.ai", "/transcribe/file", {}, 300),
        ("api.aldea.ai", "/transcribed", {}, None),
        ("api.aldea.ai", "/?x=/v1/listen", {}, 40),
        ("203.0.113.9", "/index.html", {}, None),
        ("[2001:db8::1]:8080", "/v1/listen", {}, 200),
    ],
)
def test_a_request_takes_the_rule_it_should(
    host: str, path: str, headers: dict[str, str], priority: int | None
) -> None:
    assert taken(host, path, headers) == priority


def test_no_rule_has_more_values_than_a_load_balancer_takes() -> None:
    for rule in TABLE:
        values = (*rule.hosts, *rule.paths, *(rule.header.values if rule.header else ()))
        assert len(values) <= 5, rule


def test_headers_may_be_a_multidict() -> None:
    headers: CIMultiDict[str] = CIMultiDict([("UPGRADE", "websocket"), ("X", "y"), ("X", "z")])
    rule = match(TABLE, "api.aldea.ai", "/v1/listen", headers)
    assert rule is not None
    assert rule.target is Target.WS_PROXY


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("/a*", "/a", True),
        ("/a*", "/a/b/c", True),
        ("/a?", "/a", False),
        ("/a?", "/ab", True),
        ("/a?", "/abc", False),
        ("/a.c", "/abc", False),
        ("/*/x", "/a/b/x", True),
        ("/A", "/a", False),
        ("", "", True),
    ],
)
def test_wildcards_are_the_load_balancers(pattern: str, text: str, *, fits: bool) -> None:
    assert wildcard_match(pattern, text) is fits


def test_the_lowest_priority_wins_whatever_the_order_of_the_table() -> None:
    first, second = Rule(1, Target.BACKEND, paths=("/*",)), Rule(2, Target.FRONTEND, paths=("/*",))
    assert match([second, first], "h", "/", {}) is first


def test_the_default_response_has_the_contracts_shape() -> None:
    assert DEFAULT_RESPONSE.status == 404
    assert DEFAULT_RESPONSE.content_type == "application/json"
    assert set(json.loads(DEFAULT_RESPONSE.body)) == {"err_code", "err_msg", "request_id"}
    assert json.loads(DEFAULT_RESPONSE.body)["err_code"] == "NOT_FOUND"
    assert len(DEFAULT_RESPONSE.body) <= 1024  # the ALB's limit for a fixed response
