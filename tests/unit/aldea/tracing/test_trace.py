from aldea.tracing.context import Context
from aldea.tracing.trace import RUNNING, Trace
from tests.unit.aldea.tracing.test_context import GOOD, SPAN, TRACE


def test_readings_carry_a_trace_that_is_recorded_and_no_other() -> None:
    assert Trace(Context(TRACE, SPAN, sampled=True)).reading == GOOD
    unrecorded = Trace(Context(TRACE, SPAN, sampled=False))
    assert (unrecorded.reading, unrecorded.trace_id) == ("", TRACE)
    assert unrecorded.headers() == {"traceparent": f"00-{TRACE}-{SPAN}-00"}


def test_a_request_that_has_ended_is_forgotten() -> None:
    trace = RUNNING["r"] = Trace(Context(TRACE, SPAN, sampled=True))
    assert RUNNING["r"] is trace
    del trace
    assert "r" not in RUNNING
