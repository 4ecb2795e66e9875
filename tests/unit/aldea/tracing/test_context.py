"""The rules of W3C's Trace Context, each with the inputs that its section names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldea.tracing.context import MAX_STATE, Context, is_recorded, read_context, trace_id_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (GOOD, True),
        (f" {GOOD}\t", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        # Flags that are not known are ignored.
        (f"00-{TRACE}-{SPAN}-02", False),
        (f"00-{TRACE}-{SPAN}-ff", True),
        # Of a version that is not known the known fields are read.
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"01-{TRACE}-{SPAN}-01-what-the-future-holds", True),
        (f"01-{TRACE}-{SPAN}-01-", True),
    ],
)
def test_a_traceparent_is_read(header: str, sampled: bool) -> None:
    assert read_context([header]) == Context(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["00"],
        [GOOD, GOOD],
        [f"{GOOD},{GOOD}"],
        [GOOD.upper()],
        [f"00-{TRACE.upper()}-{SPAN}-01"],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"{GOOD}-more"],
        [f"{GOOD}-"],
        [f"01-{TRACE}-{SPAN}-01more"],
        [f"01-{TRACE}-{SPAN}-01-{'x' * 600}"],
        [f"00-{TRACE}-{SPAN}-1"],
        [f"00-{TRACE}-{SPAN}"],
        [f"00-{TRACE[1:]}-{SPAN}-01"],
        [f"00-{TRACE}g-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-01\r\nX-Evil: 1"],
        [f"00-{TRACE}-{SPAN}-\u0661\u0661"],
        [GOOD + "\0"],
        [GOOD + "\n"],
    ],
)
def test_whatever_does_not_fit_is_as_if_it_were_not_there(headers: list[str]) -> None:
    assert read_context(headers, ["a=1"]) is None


@pytest.mark.parametrize(
    ("values", "passed"),
    [
        ([], ""),
        (["congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"], "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
        (["a=1 ,\tb=2", "", " , t0/x@v-1=x y"], "a=1,b=2,t0/x@v-1=x y"),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a=1,b"], ""),
        (["a="], ""),
        (["a=x=y"], ""),
        (["a=\u00e9"], ""),
        (["a=1\r\nX-Evil: 1"], ""),
        ([",".join(f"k{n}=1" for n in range(32))], ",".join(f"k{n}=1" for n in range(32))),
        ([",".join(f"k{n}=1" for n in range(33))], ""),
        # Too much: the long members go first, from behind, and then the others from behind.
        (
            [f"long={'x' * 200},short=1,longer={'x' * 250},most={'x' * 150}"],
            f"long={'x' * 200},short=1,longer={'x' * 250}",
        ),
        ([",".join(f"k{n}={'x' * 100}" for n in range(6))], ",".join(f"k{n}={'x' * 100}" for n in range(4))),
    ],
)
def test_the_vendors_members_are_passed_on_as_far_as_they_are_valid_and_fit(values: list[str], passed: str) -> None:
    found = read_context([GOOD], values)
    assert found is not None
    assert found.state == passed
    assert found.headers() == {"traceparent": GOOD} | ({"tracestate": passed} if passed else {})


@given(st.lists(st.text(max_size=80), max_size=3), st.lists(st.text(max_size=700), max_size=3))
def test_strangers_headers_raise_nothing_and_what_is_passed_on_is_bounded(
    parents: list[str], states: list[str]
) -> None:
    assert read_context(parents, states) is None or len(parents) == 1
    found = read_context([GOOD], states)
    assert found is not None
    assert len(found.state) <= MAX_STATE
    assert found.state.isascii()
    assert found.state.isprintable()


@pytest.mark.parametrize("value", ["", f"00-{TRACE}-{SPAN}-00", f"01-{TRACE}-{SPAN}-01", GOOD + "\n", None, 1, [GOOD]])
def test_only_what_is_written_here_of_a_recorded_trace_is_one(value: object) -> None:
    assert not is_recorded(value)


def test_a_recorded_trace_is_known_by_its_header() -> None:
    assert is_recorded(Context(TRACE, SPAN, sampled=True).traceparent)
    assert trace_id_of(GOOD) == TRACE
    assert trace_id_of("") == ""
