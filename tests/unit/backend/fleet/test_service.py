"""What is left of an error budget."""

import pytest

from backend.fleet.service import left


@pytest.mark.parametrize(
    ("measured", "expected"), [(None, None), (1.0, 1.0), (0.9995, 0.5), (0.999, 0.0), (0.998, -1.0), (0.0, -999.0)]
)
def test_a_budget_is_used_up_by_what_failed(measured: float | None, expected: float | None) -> None:
    found = left(measured, 0.001)
    assert found is None if expected is None else found == pytest.approx(expected)
