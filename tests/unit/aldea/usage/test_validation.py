"""The compiled check and the one that names a fault agree: what passes the first comes out of the second the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldea.usage.envelope import VERSION, decode
from aldea.usage.reading import MAX_COUNT, MAX_TAGS, MAX_TEXT, InvalidReading, UsageReading
from aldea.usage.validation import well_formed as found_in
from tests.readings import reading

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
RAW: dict[str, Any] = json.loads(
    reading(tags=("a", "é"), close_code=1000, failovers=2, first_word_ms=700, traceparent=TRACEPARENT).to_json()
)
# What a field might hold that it should not, or only some should.
ODD = st.sampled_from(
    [
        None, True, False, 0, 1, 2, 3, -1, 1.0, 1.5, 999, 1000, 4999, 5000, MAX_COUNT - 1, MAX_COUNT, 1 << 70,
        float("inf"), "", "0", "1", "stt", "pcm", "streaming", "prerecorded", "x" * MAX_TEXT, "x" * (MAX_TEXT + 1),
        "a\0b", "\ud800", "😀",
        RAW["request_id"], RAW["request_id"].upper(), RAW["request_id"] + "\n", RAW["request_id"].replace("-", ""),
        TRACEPARENT, TRACEPARENT[:-1] + "0", TRACEPARENT + "\n", TRACEPARENT.upper(),
        [], ["a"], ["\0"], ["a", 1], ["x"] * MAX_TAGS, ["x"] * (MAX_TAGS + 1), [None], {}, {"a": 1},
    ]
)  # fmt: skip


def well_formed(raw: list[Any]) -> list[UsageReading] | None:
    found = found_in(json.dumps({"v": VERSION, "written_ms": [0] * len(raw), "readings": raw}), VERSION)
    return None if found is None else found[1]


@given(
    st.dictionaries(st.sampled_from(sorted(RAW)), ODD, max_size=3), st.sets(st.sampled_from(sorted(RAW)), max_size=1)
)
def test_what_passes_the_compiled_check_is_the_same_reading(changes: dict[str, Any], missing: set[str]) -> None:
    raw = {name: value for name, value in {**RAW, **changes, "from_the_future": 1}.items() if name not in missing}
    found = well_formed([raw])
    if found is not None:
        [one] = found
        raw = json.loads(json.dumps(raw))
        assert one == UsageReading.from_object(raw)
        assert type(one.rank) is type(UsageReading.from_object(raw).rank)
        assert hash(one) == hash(UsageReading.from_object(raw))


@given(st.sampled_from(sorted(RAW)), ODD)
def test_what_the_parser_refuses_the_compiled_check_refuses(name: str, value: object) -> None:
    raw = {**RAW, name: value}
    try:
        UsageReading.from_object(raw)
    except InvalidReading:
        assert well_formed([RAW, raw]) is None


def test_what_is_written_here_passes() -> None:
    assert well_formed([RAW, RAW]) == [UsageReading.from_object(RAW)] * 2
    assert well_formed([]) == []


@pytest.mark.parametrize("item", [None, 1, "x", [], {}])
def test_what_is_no_object_or_lacks_fields_is_left_to_the_parser(item: object) -> None:
    assert well_formed([RAW, item]) is None


RAW_TEXT = json.dumps(RAW)


@pytest.mark.parametrize(
    "body",
    [
        f'{{"v":1,"written_ms":[7],"readings":[{RAW_TEXT}],"v":2}}',
        f'{{"v":1.0,"written_ms":[7],"readings":[{RAW_TEXT}]}}',
        f'{{"v":true,"written_ms":[7],"readings":[{RAW_TEXT}]}}',
        f'{{"v":"1","written_ms":[7],"readings":[{RAW_TEXT}]}}',
        f'{{"v":2,"written_ms":[7],"readings":[{RAW_TEXT}]}}',
        f'{{"v":1,"written_ms":[7],"readings":[{RAW_TEXT[:-1]},"rank":2,"seq":9}}]}}',
        f'{{"v":1,"written_ms":[NaN],"readings":[{RAW_TEXT}]}}',
        f'{{"v":1,"written_ms":[true,1],"readings":[{RAW_TEXT}]}}',
        f'{{"v":1,"written_ms":{{}},"readings":[{RAW_TEXT}]}}',
        f'{{"v":1,"readings":[{RAW_TEXT}]}}',
        f'{{"v":1,"written_ms":[7],"readings":[{RAW_TEXT}]}} x',
        f'\ufeff{{"v":1,"written_ms":[7],"readings":[{RAW_TEXT}]}}',
        '{"v":1,"written_ms":[7],"readings":[' + RAW_TEXT[:-1] + ',"more":' + "[" * 400 + "]" * 400 + "}]}",
        '{"v":1,"written_ms":[7],"readings":[' + RAW_TEXT[:-1] + ',"lane":"\\ud800"}]}',
        '{"v":1,"written_ms":[7],"readings":[' + RAW_TEXT[:-1] + ',"more":"\\ud800"}]}',
        "", "null", "[]", '{"v":1,"written_ms":[],"readings":[]}',
    ],
)  # fmt: skip
def test_a_message_is_read_alike_in_compiled_code_and_without(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = decode(body)
    monkeypatch.setattr("aldea.usage.envelope.well_formed", lambda *_: None)
    assert decode(body) == fast


@pytest.mark.parametrize(
    "odd", ["", "x", TRACEPARENT[:-1] + "0", TRACEPARENT + "\n", None, 7, [TRACEPARENT], "x" * 10_000]
)
def test_an_odd_trace_costs_no_reading(odd: object) -> None:
    body = json.dumps({"v": VERSION, "written_ms": [7], "readings": [{**RAW, "traceparent": odd}]})
    [good], bad = decode(body)
    assert (good.reading.traceparent, good.reading.request_id, bad) == ("", RAW["request_id"], [])
