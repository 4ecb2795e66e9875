import pytest
from pydantic import ValidationError

from aldea.admission.renewal import JITTER
from aldea.redis_link import COMMAND_SECONDS
from aldea.settings import read
from ws_proxy.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("STT_UPSTREAMS", "http://127.0.0.1:8800, https://other:8800")


def test_lists_come_from_comma_separated_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example, https://b.example")
    settings = read(Settings)
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.stt_upstreams == ("http://127.0.0.1:8800", "https://other:8800")


def test_limits_are_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_MESSAGE_BYTES", "2048")
    monkeypatch.setenv("IDLE_SECONDS", "7")
    limits = read(Settings).limits()
    assert (limits.client_message_bytes, limits.idle) == (2048, 7.0)


def test_a_revoked_keys_stream_ends_within_fifteen_seconds() -> None:
    """It ends with the renewal after the revocation; test_ws_proxy.py shows that it does."""
    assert read(Settings).renew_seconds * (1 + JITTER) + COMMAND_SECONDS < 15


@pytest.mark.parametrize(("name", "value"), [("LANE", "a b"), ("PING_SECONDS", "0"), ("STT_UPSTREAMS", "ftp://x")])
def test_a_bad_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        read(Settings)
