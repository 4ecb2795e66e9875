"""The setting that lists the servers, and the paths on them."""

import ssl

import pytest
from pydantic import Field

from aldea import errors, upstream
from aldea.settings import ServiceSettings, explain, read
from aldea.upstream import server_path, trust


@pytest.mark.parametrize(
    ("public", "own"),
    [
        ("/v1/listen", "/v1/listen"),
        ("/listen/v1", "/v1/listen"),
        ("/v1/listen/pcm", "/v1/listen/pcm"),
        ("/listen/v1/pcm", "/v1/listen/pcm"),
        ("/transcribe", "/transcribe"),
        ("/transcribe/", "/transcribe/"),
        ("/transcribe/en/fast%20one", "/transcribe/en/fast%20one"),
    ],
)
def test_either_spelling_of_a_path_becomes_the_servers_own(public: str, own: str) -> None:
    assert server_path(public) == own


@pytest.mark.parametrize(
    "path",
    [
        "/stats", "/", "", "/v1/listen/", "/v1/listen/other", "/V1/listen", "/transcribex", "/transcribe/../stats",
        "/transcribe/%2e%2e/stats", "/transcribe/%2E./stats", "/transcribe/./a", "/transcribe//stats",
        "/transcribe/..%2fstats", "/transcribe/..%5cstats", "/transcribe/a\\b", "/transcribe/a b", "/transcribe/a?b",
        "/transcribe/\r\nx", "/transcribe/é",
    ],
)  # fmt: skip
def test_no_path_leads_anywhere_else_on_the_server(path: str) -> None:
    with pytest.raises(errors.NotFound):
        server_path(path)


def test_servers_are_verified_by_name_and_the_authorities_are_read_once() -> None:
    assert trust() is trust()
    assert trust().check_hostname
    assert trust().verify_mode is ssl.CERT_REQUIRED


class Settings(ServiceSettings):
    port: int = 0
    stt_upstreams: upstream.ServerList = Field(description=upstream.SERVER_LIST_HELP)


def test_the_setting_is_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_UPSTREAMS", " http://a:8800/ , https://b ,http://[::1]:8800")
    assert read(Settings).stt_upstreams == ("http://a:8800", "https://b", "http://[::1]:8800")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (",", "no server is named"),
        ("a:8800", "http:// or https://"),
        ("ftp://a:21", "http:// or https://"),
        ("http://", "'http://'"),
        ("http://a:8800/v1", "path or a query"),
        ("http://a:8800?x=1", "path or a query"),
        ("http://a:8800,http://a:8800/", "named twice"),
        ("http://a:port", "is no URL"),
        ("http://a:99999", "is no URL"),
        ("http://user:hunter2@a:8800", "STT_UPSTREAM_TOKEN"),
    ],
)
def test_a_bad_list_stops_the_start_with_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, value: str, complaint: str
) -> None:
    monkeypatch.setenv("STT_UPSTREAMS", value)
    with pytest.raises(ValueError) as caught:
        read(Settings)
    line = explain(Settings, caught.value)  # type: ignore[arg-type]
    assert "STT_UPSTREAMS" in line
    assert complaint in line
    assert "own first" in line
    assert "hunter2" not in line
    assert "\n" not in line
