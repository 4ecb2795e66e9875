import re
from typing import Any

import pytest

from backend.usage.filters import FAILED
from frontend.models import Request
from frontend.outcomes import outcome, timeline
from tests.fakes.platform_api import FakePlatformApi


def request(**changes: Any) -> Request:
    return Request.model_validate(FakePlatformApi().add_request(**changes))


@pytest.mark.parametrize(
    ("changes", "tone", "text"),
    [
        ({"state": "open", "close_code": None, "code": None}, "", "active"),
        ({"state": "incomplete"}, "warn", "incomplete"),
        ({"code": 503, "close_code": None}, "bad", "failed"),
        ({"code": 101, "close_code": 1000}, "good", "completed"),
        ({"code": 101, "close_code": 1011}, "bad", "failed"),
        ({"code": 101, "close_code": 4000}, "warn", "closed by client"),
        ({"code": 200, "close_code": None, "service": "prerecorded"}, "good", "completed"),
        ({"code": 101, "close_code": 1006}, "warn", "connection lost"),
        ({"code": 101, "close_code": 1012}, "good", "service restart"),
        ({"code": None, "close_code": None}, "good", "completed"),
    ],
)
def test_every_end_has_its_word(changes: dict[str, Any], tone: str, text: str) -> None:
    found = outcome(request(**changes))
    assert (found.tone, found.text) == (tone, text)
    assert found.detail


def test_a_timeline_ends_when_the_connection_did() -> None:
    first, heard, end = timeline(request(channels=2))
    assert first.detail == "/v1/listen in lane local"
    assert heard.detail == "18.725 s, 2 channels counted"
    assert end.at is not None
    assert end.at.startswith("2026-11-23T15:00:19.5")
    assert end.tone == "good"


@pytest.mark.parametrize(("failovers", "times"), [(1, "once"), (3, "3 times")])
def test_a_stream_that_another_server_took_over_says_so(failovers: int, times: str) -> None:
    events = timeline(request(failovers=failovers))
    assert [event.title for event in events][1:3] == ["Audio received", "Went on at another server"]
    assert events[2].detail.startswith(f"{times}; ")


def test_what_still_runs_has_no_end_and_silence_costs_nothing() -> None:
    events = timeline(request(state="open", close_code=None, audio_seconds=0))
    assert events[-1].at is None
    assert events[1].detail == "nothing billed"


def test_what_reads_as_failed_is_what_the_filter_finds() -> None:
    listed = re.search(r"close_code, 0\) in \(([\d, ]+)\)", FAILED)
    assert listed is not None
    failed = {int(code) for code in listed[1].split(",")}
    found = {code for code in range(1000, 5000) if outcome(request(code=101, close_code=code)).text == "failed"}
    assert found == failed
