import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldea.usage.reading import InvalidReading, Rank, UsageReading, fitting_text, identify

UUID = "0190a5e2-0000-7000-8000-000000000001"
READING = UsageReading(
    request_id=UUID,
    started_ms=1_700_000_000_000,
    project_id=UUID,
    key_id=UUID,
    service="streaming",
    lane="main",
    path="/v1/listen",
    tags=("a", "ü"),
    rank=Rank.FINAL,
    seq=3,
    audio_ms=1500,
    audio_source="stt",
    channels=2,
    connection_ms=1600,
    bytes_in=48_000,
    bytes_out=300,
    status=101,
    close_code=1000,
)


def raw(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(READING.to_json())
    return {**found, **changes}


def test_a_reading_reads_back_as_it_was_written() -> None:
    assert UsageReading.from_json(READING.to_json()) == READING
    assert UsageReading.from_json(READING.to_json().encode()) == READING


def test_moving_fields_may_be_missing_and_unknown_ones_are_ignored() -> None:
    short = {name: raw()[name] for name in raw() if name not in {"audio_ms", "tags", "close_code", "status"}}
    reading = UsageReading.from_object({**short, "from_the_future": 1})
    assert (reading.audio_ms, reading.tags, reading.close_code, reading.status) == (0, (), None, 0)


def test_a_final_reading_is_above_all_others_and_among_those_the_later_one() -> None:
    orders = [
        (Rank.OPEN, 0),
        (Rank.OPEN, 4),
        (Rank.INCOMPLETE, 4),
        (Rank.OPEN, 5),  # the proxy was only cut off, and came back
        (Rank.INCOMPLETE, 5),
        (Rank.FINAL, 0),
        (Rank.FINAL, 1),
    ]
    readings = [UsageReading.from_object(raw(rank=int(rank), seq=seq)) for rank, seq in orders]
    assert sorted(readings, key=lambda reading: reading.order) == readings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_id", "no uuid"),
        ("project_id", 7),
        ("key_id", None),
        ("started_ms", -1),
        ("seq", True),
        ("audio_ms", 1.5),
        ("bytes_in", 1 << 53),
        ("service", "batch"),
        ("lane", "x" * 513),
        ("path", "nul\0"),
        ("path", "\ud800"),
        ("tags", "a"),
        ("tags", ["x"] * 17),
        ("tags", [1]),
        ("rank", 3),
        ("rank", True),
        ("audio_source", "guess"),
        ("close_code", 999),
        ("close_code", True),
    ],
)
def test_a_field_that_does_not_fit_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidReading, match=name):
        UsageReading.from_object(raw(**{name: value}))


def test_a_missing_field_is_named() -> None:
    short = raw()
    del short["key_id"]
    with pytest.raises(InvalidReading, match="key_id"):
        UsageReading.from_object(short)


@pytest.mark.parametrize("text", ["", "[]", "1", "null", "{", b"\xff", "[" * 200_000, "9" * 10_000])
def test_what_is_no_reading_is_refused_as_such(text: str | bytes) -> None:
    with pytest.raises(InvalidReading):
        UsageReading.from_json(text)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
json_values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=5), scalars, max_size=3)


@given(st.sampled_from(sorted(raw())), json_values)
def test_whatever_comes_in_a_reading_or_a_refusal_comes_out(name: str, value: Any) -> None:
    try:
        reading = UsageReading.from_object(raw(**{name: value}))
    except InvalidReading:
        return
    assert UsageReading.from_json(reading.to_json()) == reading


@given(st.text(st.characters(exclude_categories=[])))
def test_a_text_made_to_fit_is_accepted_whatever_a_client_sent(path: str) -> None:
    fitted = raw(path=fitting_text(path * 100))
    assert UsageReading.from_object(fitted).path == fitted["path"]


def test_a_text_that_fits_is_not_changed() -> None:
    assert fitting_text("/v1/listen/ü") == "/v1/listen/ü"


def test_a_forwarder_learns_whose_reading_it_is_and_which_one_as_the_parser_would() -> None:
    for rank in Rank:
        one = UsageReading.from_object(raw(rank=int(rank), seq=12))
        assert identify(one.to_json()) == (one.request_id, one.order)
    odd = READING.request_id.upper().replace("-", "")
    assert identify(json.dumps(raw(request_id=odd)))[0] == READING.request_id


@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, "{}", '{"request_id":"x","rank":0,"seq":0}', json.dumps({"request_id": None})]
)
def test_a_text_that_is_nobodys_reading_is_refused_by_the_forwarder(text: str) -> None:
    with pytest.raises(InvalidReading):
        identify(text)


@pytest.mark.parametrize(("name", "value"), [("rank", 3), ("rank", True), ("rank", None), ("seq", -1), ("seq", 1.5)])
def test_a_reading_without_an_order_is_refused_by_the_forwarder(name: str, value: object) -> None:
    with pytest.raises(InvalidReading, match=name):
        identify(json.dumps({**raw(), name: value}))


def test_its_json_is_what_an_encoder_would_write() -> None:
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    for reading in (
        READING,
        replace(READING, path='/v1/"\\\n\x7f\u00e9\u2028', tags=("a", '"', "\U0001f600"), close_code=None),
        replace(READING, traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ):
        written = {field.name: getattr(reading, field.name) for field in fields(reading)}
        if not reading.traceparent:  # most have none
            del written["traceparent"]
        assert reading.to_json() == encode(written)
