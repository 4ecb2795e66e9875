"""What happened once is known for longer than any period lasts."""

from backend.alerts.schedule import KEPT_DAYS


def test_a_months_threshold_is_known_until_the_month_is_over() -> None:
    assert KEPT_DAYS > 2 * 31
