"""The http-proxy's settings."""

import pytest
from pydantic import ValidationError

from aldea.settings import explain, read
from http_proxy.settings import HttpProxySettings

REQUIRED = {"redis_url": "redis://localhost", "stt_upstreams": "http://stt-a:8800,http://stt-b:8800"}


def test_the_defaults_need_only_the_stores_and_the_servers() -> None:
    settings = read(HttpProxySettings, **REQUIRED)
    assert settings.port == 8102
    assert settings.stt_upstreams == ("http://stt-a:8800", "http://stt-b:8800")
    assert settings.max_body_bytes == 2 << 30
    assert settings.first_byte_seconds == 300


def test_loopback_urls_are_refused_where_customers_are() -> None:
    for environment in ("prod", "dev"):
        with pytest.raises(ValidationError) as caught:
            read(HttpProxySettings, **REQUIRED, allow_loopback_urls=True, environment=environment)
        assert "ALLOW_LOOPBACK_URLS" in explain(HttpProxySettings, caught.value)
    assert read(HttpProxySettings, **REQUIRED, allow_loopback_urls=True).allow_loopback_urls


def test_a_first_byte_deadline_beyond_the_balancers_patience_is_refused() -> None:
    with pytest.raises(ValidationError):
        read(HttpProxySettings, **REQUIRED, first_byte_seconds=301)
