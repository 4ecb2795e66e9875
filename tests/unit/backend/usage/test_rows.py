"""What follows from the rows of usage."""

from backend.usage.rows import Balance


def test_a_balance_is_what_is_left_and_below_zero_what_is_owed() -> None:
    assert Balance(credit_micros=5, spent_micros=2, audio_ms=0, newest_credit=None).amount_micros == 3
    assert Balance(credit_micros=2, spent_micros=5, audio_ms=0, newest_credit="c").amount_micros == -3
