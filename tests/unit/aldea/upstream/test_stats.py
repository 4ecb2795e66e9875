"""What is believed of a server's statistics."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldea.upstream.stats import MAX_PLACES, UNKNOWN, AbsurdStats, Stats, read_stats


@pytest.mark.parametrize(
    ("body", "stats"),
    [
        (b'{"capacity": 8, "used": 3}', Stats(8, 3)),
        (b'{"capacity": 8, "used": 3, "draining": true, "workers": []}', Stats(8, 3, draining=True)),
        (b'{"capacity": 8.0, "used": 0.0}', Stats(8, 0)),
        (b'{"capacity": 0, "used": 0}', Stats(0, 0)),
        (b'{"capacity": 8, "used": 9}', Stats(8, 9)),
        (b'{"capacity": 8}', UNKNOWN),
        (b'{"used": 8, "draining": true}', Stats(draining=True)),
        (b"{}", UNKNOWN),
        (b"", UNKNOWN),
        (b"<html>", UNKNOWN),
        (b"[1]", UNKNOWN),
        (b"null", UNKNOWN),
        (b'"capacity"', UNKNOWN),
        (b"\xff\xfe\x00", UNKNOWN),
        (b'{"capacity": ' + b"9" * 5000 + b', "used": 1}', UNKNOWN),
        (b"[" * 60_000, UNKNOWN),
    ],
)
def test_what_can_be_used_is_and_everything_else_is_as_if_nothing_were_said(body: bytes, stats: Stats) -> None:
    assert read_stats(body) == stats


@pytest.mark.parametrize(
    "body",
    [
        b'{"capacity": -1, "used": 0}',
        b'{"capacity": 8, "used": -1}',
        b'{"capacity": true, "used": 0}',
        b'{"capacity": "8", "used": 0}',
        b'{"capacity": null, "used": 0}',
        b'{"capacity": 8.5, "used": 0}',
        b'{"capacity": 1e300, "used": 0}',
        b'{"capacity": NaN, "used": 0}',
        b'{"capacity": Infinity, "used": 0}',
        b'{"capacity": 8, "used": [3]}',
        b'{"capacity": 8, "used": 0, "draining": "false"}',
        b'{"capacity": 8, "used": 0, "draining": 1}',
        b'{"capacity": 100001, "used": 0}',
        b'{"capacity": ' + b"9" * 4000 + b', "used": 1}',
    ],
)
def test_what_cannot_be_true_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(AbsurdStats, match="allowed: ") as caught:
        read_stats(body)
    assert len(str(caught.value)) < 120


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.sampled_from(["capacity", "used", "draining", "x"]), JSON))
def test_whatever_is_said_the_figures_are_within_their_bounds(fields: dict[str, object]) -> None:
    try:
        found = read_stats(json.dumps(fields).encode())
    except AbsurdStats:
        return
    assert found.capacity is None or 0 <= found.capacity <= MAX_PLACES
    assert 0 <= found.used <= MAX_PLACES
    assert isinstance(found.draining, bool)
