import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aldea.admission.grant import Application, Grant, Verdict, united_tags
from aldea.tracing.context import Context
from aldea.tracing.trace import Trace
from aldea.usage.reading import Rank, UsageReading

REQUEST = Application(
    request_id="0190a5e2-0000-7000-8000-000000000001",
    started_ms=1,
    credential_sha256="ab",
    service="prerecorded",
    lane="main",
    path="/v1/listen",
    tags=("ü",),
)
IDS: dict[str, Any] = {
    "project_id": "0190a5e2-0000-7000-8000-00000000000a",
    "key_id": "0190a5e2-0000-7000-8000-00000000000b",
}


def test_a_grant_repeats_what_the_request_brought() -> None:
    grant = REQUEST.granted(**IDS, authority="cd", key_tags=(), offline=True)
    assert (grant.request_id, grant.started_ms, grant.path, grant.tags) == (REQUEST.request_id, 1, "/v1/listen", ("ü",))
    assert (grant.service, grant.lane, grant.offline, grant.authority) == ("prerecorded", "main", True, "cd")


def test_an_opening_with_the_scripts_three_fields_is_the_grants_first_reading() -> None:
    grant = REQUEST.granted(**IDS, authority="cd", key_tags=(), offline=False)
    assert UsageReading.from_object(
        {**IDS, "tags": json.loads(REQUEST.tags_json()), **json.loads(REQUEST.opening())}
    ) == grant.reading(Rank.OPEN, 0)


def test_an_opening_carries_whatever_a_client_wrote_into_its_path_and_tags() -> None:
    odd = replace(REQUEST, path='/transcribe/"\\\n\x7f\u2028', tags=('"', "\U0001f600", ""))
    for text in (odd.opening(), odd.closing(499)):
        assert json.loads(text)["path"] == odd.path
    assert tuple(json.loads(odd.tags_json())) == odd.tags


@pytest.mark.parametrize(
    ("of_key", "brought", "united"),
    [
        ((), (), ()),
        ((), ("b", "a"), ("b", "a")),
        (("k",), (), ("k",)),
        (("k", "l"), ("b", "k", "a"), ("k", "l", "b", "a")),
        (tuple("abcdefghijklmnop"), ("z",), tuple("abcdefghijklmnop")),
        (("K",), tuple("abcdefghijklmnop"), ("K", *"abcdefghijklmno")),
    ],
)
def test_a_keys_tags_come_first_and_nothing_comes_twice_or_seventeenth(
    of_key: tuple[str, ...], brought: tuple[str, ...], united: tuple[str, ...]
) -> None:
    assert united_tags(of_key, brought) == united
    request = replace(REQUEST, tags=brought)
    assert request.granted(**IDS, authority="", key_tags=of_key, offline=True).tags == united


def test_a_closing_is_final_and_says_what_the_client_got() -> None:
    reading = UsageReading.from_object({**IDS, **json.loads(REQUEST.closing(503))})
    assert (reading.rank, reading.status, reading.audio_ms) == (Rank.FINAL, 503, 0)


def test_the_authority_is_the_credential_itself_unless_a_parent_is_named(make_grant: Callable[[], Grant]) -> None:
    assert make_grant().authority == "ab"
    assert replace(make_grant(), authority_sha256="cd").authority == "cd"


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_refusing_verdict_has_a_reason_that_fits_a_close_frame(verdict: Verdict) -> None:
    assert verdict.refused == bool(verdict.close_reason)
    assert len(verdict.close_reason.encode()) <= 123


@pytest.mark.parametrize("sampled", [True, False])
def test_every_reading_of_a_request_carries_its_trace_if_that_is_recorded(sampled: bool) -> None:
    trace = Trace(Context("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=sampled))
    request = replace(REQUEST, trace=trace)
    grant = request.granted(**IDS, authority="cd", key_tags=(), offline=False)
    carried = trace.context.traceparent if sampled else ""
    assert grant.reading(Rank.FINAL, 1).traceparent == carried
    for text in (request.opening(), request.closing(499)):
        assert json.loads(text).get("traceparent", "") == carried
