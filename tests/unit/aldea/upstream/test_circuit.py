"""The circuit breaker of one server, by itself."""

import pytest

from aldea.upstream.circuit import FAILURES_TO_OPEN, Circuit, State
from tests.unit.aldea.upstream.clocks import Clock, assert_state


def test_good_probes_do_not_hide_failing_requests(clock: Clock) -> None:
    circuit = Circuit(clock, lambda: 0.5)
    for _ in range(FAILURES_TO_OPEN):
        circuit.failed()
        circuit.probe_succeeded()
    assert_state(circuit, State.OPEN)


def test_failing_probes_alone_open_a_circuit_and_good_ones_between_do_not(clock: Clock) -> None:
    circuit = Circuit(clock, lambda: 0.5)
    for _ in range(10):
        circuit.probe_failed()
        circuit.probe_failed()
        circuit.probe_succeeded()
    assert_state(circuit, State.CLOSED)
    for _ in range(FAILURES_TO_OPEN):
        circuit.probe_failed()
    assert_state(circuit, State.OPEN)


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 0.8), (1.0, 1.2)])
def test_the_backoff_carries_jitter(clock: Clock, chance: float, wait: float) -> None:
    circuit = Circuit(clock, lambda: chance)
    for _ in range(FAILURES_TO_OPEN):
        circuit.failed()
    assert circuit.due - clock.now == pytest.approx(wait)
