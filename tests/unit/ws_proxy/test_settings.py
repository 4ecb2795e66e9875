import pytest
from pydantic import ValidationError

from aldea.redis.link import COMMAND_SECONDS
from aldea.settings import read, read_or_exit
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
    assert read(Settings).renew_seconds + COMMAND_SECONDS < 15


@pytest.mark.parametrize(
    "origin",
    ["https://a.example", "http://localhost:3000", "http://a.example:443", "https://[::1]:8443", "null", "app://x"],
)
def test_an_origin_is_given_as_browsers_send_it(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", origin)
    assert read(Settings).allowed_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    ["a.example", "https://a.example/", "https://A.example", "https://a.example:443", "https://u@a.example", "*"],
)
def test_an_origin_that_no_browser_would_send_is_refused_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, origin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", origin)
    with pytest.raises(SystemExit):
        read_or_exit("ws_proxy", Settings)
    (line,) = capsys.readouterr().err.splitlines()
    assert origin in line
    assert "https://app.example.com" in line


def test_a_lease_that_one_failed_renewal_would_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEASE_TTL_SECONDS", "19")
    with pytest.raises(SystemExit):
        read_or_exit("ws_proxy", Settings)
    (line,) = capsys.readouterr().err.splitlines()
    assert "RENEW_SECONDS: got 10 with a LEASE_TTL_SECONDS of 19" in line


@pytest.mark.parametrize(("name", "value"), [("LANE", "a b"), ("PING_SECONDS", "0"), ("STT_UPSTREAMS", "ftp://x")])
def test_a_bad_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        read(Settings)
