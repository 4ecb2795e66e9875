"""Each service by itself: what it says when its settings are wrong."""

import pytest

from tests.e2e.box import run_once


@pytest.mark.parametrize(
    ("service", "missing"),
    [
        ("ws_proxy", "REDIS_URL"),
        ("http_proxy", "STT_UPSTREAMS"),
        ("backend", "DATABASE_URL"),
        ("sqs_updater", "DATABASE_URL"),
        ("frontend", "PLATFORM_API_URL"),
        ("stt_api", ""),
    ],
)
def test_a_service_with_a_missing_or_bad_setting_stops_with_one_clear_line(service: str, missing: str) -> None:
    done = run_once(["-m", service], PORT="no-number")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"{service}: bad settings: ")
    assert "PORT: got 'no-number'" in lines[0]
    if missing:
        assert f"{missing}: got nothing; allowed: " in lines[0]
