"""The duration scanner, against every way in which a response may be written and cut."""

import json
import re
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_proxy import duration
from http_proxy.duration import DurationScanner


def scan(*chunks: bytes) -> tuple[float | None, int | None]:
    scanning = DurationScanner()
    for chunk in chunks:
        scanning.feed(chunk)
    return scanning.duration, scanning.channels


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


# Texts that look like JSON's own structure, and like what is searched for.
tricky = st.text(st.sampled_from('"\\{}[]:, metadurionchls\n\u00e9\u20ac1.5'), max_size=12) | st.sampled_from(
    ["metadata", "duration", "channels", '"metadata": {"duration": 7}', "\\", '\\"', "}}}}", "]]]]", "x" * 200]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | tricky,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(tricky, inner, max_size=4),
    max_leaves=25,
)
seconds = st.floats(0, 1e6) | st.integers(0, 10**6)


@st.composite
def responses(draw: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A response's object and its metadata, both among any other keys and in any order."""
    names = tricky.filter(lambda key: key not in {"metadata", "duration", "channels"})
    rest = draw(st.dictionaries(names, values, max_size=5))
    metadata = None
    if draw(st.booleans()):
        metadata = draw(st.dictionaries(names, values, max_size=3))
        metadata |= {"duration": draw(seconds), "channels": draw(st.integers(1, 8))}
        metadata = dict(draw(st.permutations(list(metadata.items()))))
    items = [*rest.items()]
    items += [("metadata", metadata)] if metadata is not None else [("duration", draw(seconds))]
    return dict(draw(st.permutations(items))), metadata


@given(responses(), st.integers(1, 40), st.booleans(), st.sampled_from([None, 2]))
def test_any_response_cut_anywhere_gives_what_it_reports(
    response: tuple[dict[str, Any], dict[str, Any] | None], size: int, ascii_only: bool, indent: int | None
) -> None:
    document, metadata = response
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    expected = (metadata["duration"], metadata["channels"]) if metadata else (document["duration"], None)
    assert scan(text) == expected
    assert scan(*cut(text, size)) == expected


@given(responses(), st.data())
def test_two_cuts_at_any_two_places_change_nothing(
    response: tuple[dict[str, Any], dict[str, Any] | None], data: st.DataObject
) -> None:
    text = json.dumps(response[0]).encode()
    first = data.draw(st.integers(0, len(text)))
    second = data.draw(st.integers(first, len(text)))
    assert scan(text[:first], text[first:second], text[second:]) == scan(text)


def test_a_response_whose_metadata_holds_objects_may_be_cut_at_every_place() -> None:
    """Python 3.11.2 lost the duration of this one, with patterns that are right elsewhere."""
    inner: dict[str, Any] = {"": None, "1": [], "5": {'\\"': "}"}}
    text = json.dumps({"metadata": {"1": [], "": inner, "duration": 0.5, "channels": 1}, "results": {}}).encode()
    for place in range(len(text) + 1):
        assert scan(text[:place], text[place:]) == (0.5, 1), place


def test_no_pattern_is_possessive() -> None:
    parser: Any = import_module("re._parser")
    patterns = [found for found in vars(duration).values() if isinstance(found, re.Pattern)]
    assert len(patterns) >= 4
    for pattern in patterns:
        parsed = str(parser.parse(pattern.pattern).data)
        assert "REPEAT" in parsed
        assert "POSSESSIVE" not in parsed
        assert "ATOMIC" not in parsed


@given(st.binary(max_size=200), st.integers(1, 20))
def test_garbage_never_raises(garbage: bytes, size: int) -> None:
    scan(*cut(garbage, size))
    scan(*cut(b'{"metadata":' + garbage, size))
    scan(*cut(b'{"results":[{' + garbage, size))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"metadata":{"duration":1.5,"channels":2}}', (1.5, 2)),
        ('{"text":"hi","duration":2.25,"request_id":"x"}', (2.25, None)),
        ('{"duration":9,"metadata":{"duration":1,"channels":1}}', (1.0, 1)),
        ('{"metadata":{"duration":0}}', (0.0, None)),
        (' \n\t{ "metadata" : { "duration" : 12e-1 , "channels" : 1 } , "results" : {} } ', (1.2, 1)),
        ('{"\\u006detadata":{"\\u0064uration":3}}', (3.0, None)),
        ('{"results":{"metadata":{"duration":7}},"x":[{"duration":8}]}', (None, None)),
        ('{"results":{"duration":7}}', (None, None)),
        ('{"metadata":{"inner":{"duration":7},"models":["duration",7]}}', (None, None)),
        ('{"metadata":[{"duration":7}]}', (None, None)),
        ('{"metadata":"duration","x":{"duration":4}}', (None, None)),
        ('{"metadata":{"duration":"7"}}', (None, None)),
        ('{"metadata":{"duration":null}}', (None, None)),
        ('{"metadata":{"duration":-1}}', (None, None)),
        ('{"metadata":{"duration":1e300}}', (None, None)),
        ('{"metadata":{"duration":NaN}}', (None, None)),
        ('{"metadata":{"duration":5,"channels":0}}', (5.0, None)),
        ('{"metadata":{"duration":5,"channels":1e9}}', (5.0, None)),
        ('[{"metadata":{"duration":5}}]', (None, None)),
        ('"metadata"', (None, None)),
        ("12", (None, None)),
        ("", (None, None)),
        ("<html>no</html>", (None, None)),
        ("{]", (None, None)),
        ('{"metadata":{"duration":true,"channels":true},"duration":2}', (2.0, None)),
        ('{"metadata":{"channels":2},"duration":2,"channels":3}', (2.0, 3)),
        ('{"metadata":{"duration":1,"duration":2}}', (2.0, None)),
        ('{"metadata":{"duration":1},"metadata":{"duration":2}}', (1.0, None)),
        ('{"duration":1}  ', (1.0, None)),
        ('{"metadata":{"a":{"b":["}"]},"duration":1,"channels":2},"results":', (1.0, 2)),
        ('{"metadata":{"a":"\\"}","duration":1,"channels":2},"results":', (1.0, 2)),
        ('{"metadata":{"a":[[[{}]]],"duration":1,"channels":2},"results":', (1.0, 2)),
        ('{"metadata":{"channels":2},"duration":3}', (3.0, None)),
        ('{"metadata":{"duration":1', (None, None)),
        ('{"duration":1}\n{"duration":2}', (1.0, None)),
        ("{" + '"a":{' * 1500 + "}" * 1500 + ',"duration":3}', (3.0, None)),
    ],
)
def test_the_duration_is_taken_from_its_place_alone(text: str, expected: tuple[float | None, int | None]) -> None:
    for size in (1, 3, 1000):
        assert scan(*cut(text.encode(), size)) == expected


def test_a_large_response_before_the_metadata_is_skipped_with_little_memory() -> None:
    word = {"word": 'say "\\{[', "start": 1.5, "end": 2.0, "confidence": 0.99, "punctuated_word": "Say"}
    results = {"channels": [{"alternatives": [{"transcript": "x" * 300_000, "words": [word] * 20_000}]}]}
    text = json.dumps({"results": results, "metadata": {"duration": 3600.5, "channels": 2}}).encode()
    duration = DurationScanner()
    for chunk in cut(text, 65_536):
        duration.feed(chunk)
        assert len(duration._carry) <= 64
    assert (duration.duration, duration.channels) == (3600.5, 2)


def test_it_stops_looking_once_the_metadata_has_ended() -> None:
    duration = DurationScanner()
    duration.feed(b'{"metadata":{"duration":1,"channels":1},')
    assert duration.done


def test_a_string_longer_than_a_chunk_is_not_kept() -> None:
    duration = DurationScanner()
    duration.feed(b'{"text":"')
    for _ in range(100):
        duration.feed(b"metadata" * 1000)
        assert len(duration._carry) <= 64
    duration.feed(b'\\"","duration":4}')
    assert duration.duration == 4.0


def test_many_small_values_in_one_chunk_are_scanned_in_linear_steps() -> None:
    text = json.dumps({str(number): {"a": [1]} for number in range(5_000)} | {"duration": 6}).encode()
    assert scan(text) == (6.0, None)
