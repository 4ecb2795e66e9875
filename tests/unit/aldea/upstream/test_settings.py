"""The settings of whatever sends requests to STT servers."""

import pytest

from aldea.settings import read
from aldea.upstream import Upstreams, UpstreamSettings


def test_the_servers_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_UPSTREAMS", "http://a:8800,https://b")
    monkeypatch.setenv("STT_UPSTREAM_TOKEN", "t0p")
    monkeypatch.setenv("UPSTREAM_NAME_SECONDS", "20")
    upstreams = Upstreams.of(read(UpstreamSettings, port=0))
    assert [server.name for server in upstreams.servers] == ["a:8800", "b:443"]
    assert upstreams.authorization == {"Authorization": "Token t0p"}
    assert 16 <= upstreams._until_next_lookup() <= 24


@pytest.mark.parametrize("seconds", ["0", "0.5", "301", "nan", "x"])
def test_a_name_is_resolved_neither_all_the_time_nor_never(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("STT_UPSTREAMS", "http://a:8800")
    monkeypatch.setenv("UPSTREAM_NAME_SECONDS", seconds)
    with pytest.raises(ValueError, match="upstream_name_seconds"):
        read(UpstreamSettings, port=0)
