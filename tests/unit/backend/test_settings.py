"""The backend's settings."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from pydantic import ValidationError

from aldea.settings import read
from backend.app import make_app
from backend.settings import BackendSettings
from tests.unit.aldea.tracing.test_context import GOOD

URLS = {
    "database_url": "postgresql://u:secret@h/d",
    "redis_url": "redis://h:6379/0",
    "usage_queue_url": "https://sqs/1/usage",
    "usage_dlq_url": "https://sqs/1/dead",
}


def test_the_stores_and_queues_are_all_that_must_be_given() -> None:
    settings = read(BackendSettings, **URLS)
    assert settings.port == 8103
    assert settings.plan_requests_per_minute
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("origin", ["*", "platform.example.com", "https://platform.example.com/", "https://a b"])
def test_a_console_origin_that_no_browser_would_send_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError):
        read(BackendSettings, **URLS, console_origin=origin)


class _Peer:
    """The other end of a request's connection."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._address, 40_000) if name == "peername" else default


@pytest.mark.parametrize(
    ("peer", "headers", "continued"),
    [
        # The console calls, for a reader anywhere.
        ("10.1.2.3", {"X-Forwarded-For": "203.0.113.9"}, True),
        ("127.0.0.1", {}, True),
        # A customer, through the load balancer, whatever they write themselves.
        ("10.1.2.3", {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Port": "443"}, False),
        ("10.1.2.3", {"X-Forwarded-For": "10.0.0.1, 203.0.113.9", "X-Forwarded-Port": "443"}, False),
        # One of our own programs, through the load balancer.
        ("10.1.2.3", {"X-Forwarded-For": "203.0.113.9, 10.0.0.1", "X-Forwarded-Port": "443"}, True),
        # Somebody who reaches it past everything.
        ("203.0.113.9", {"X-Forwarded-For": "10.0.0.1"}, False),
    ],
)
def test_the_consoles_trace_is_continued_and_its_readers_are_not(
    peer: str, headers: dict[str, str], continued: bool
) -> None:
    settings = read(BackendSettings, **URLS)
    transport: Any = _Peer(peer)
    request = make_mocked_request("GET", "/v1/me", {"traceparent": GOOD, **headers}, transport=transport)
    assert request.remote == peer
    assert settings.continues_trace(request) is continued


def test_requests_have_spans_only_where_these_are_sent_somewhere() -> None:
    silent, traced = (
        make_app(read(BackendSettings, **URLS, otel_exporter_otlp_endpoint=endpoint))
        for endpoint in (None, "http://127.0.0.1:4318")
    )
    assert len(traced.middlewares) == len(silent.middlewares) + 1
