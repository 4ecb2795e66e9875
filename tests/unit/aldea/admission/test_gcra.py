from hypothesis import given
from hypothesis import strategies as st

from aldea.admission import gcra

NOW = 1_764_547_200_000_000
rates = st.integers(1, 100_000)


def admitted_at_once(rate: int, now_us: int = NOW, tat_us: int | None = None) -> tuple[int, int | None]:
    """How many requests get in at one moment, and the TAT after them."""
    count = 0
    while (decision := gcra.decide(tat_us, now_us, rate)).allowed:
        tat_us = decision.tat_us
        count += 1
    return count, tat_us


def test_a_burst_is_ten_seconds_worth_but_at_least_ten_and_never_above_a_minutes_worth() -> None:
    assert [gcra.burst(rate) for rate in (1, 9, 10, 59, 60, 61, 600)] == [1, 9, 10, 10, 10, 11, 100]


@given(st.integers(1, 3000))
def test_exactly_a_burst_gets_in_at_once_after_a_pause(rate: int) -> None:
    assert admitted_at_once(rate)[0] == gcra.burst(rate)


@given(st.integers(1, 3000))
def test_waiting_for_retry_after_admits_one_and_a_microsecond_less_none(rate: int) -> None:
    _, tat = admitted_at_once(rate)
    wait = gcra.decide(tat, NOW, rate).retry_after_us
    assert wait > 0
    assert not gcra.decide(tat, NOW + wait - 1, rate).allowed
    assert admitted_at_once(rate, NOW + wait, tat)[0] == 1


@given(rates, st.lists(st.integers(0, 120_000_000), max_size=200))
def test_no_minute_admits_more_than_the_rate_and_a_burst(rate: int, pauses: list[int]) -> None:
    tat: int | None = None
    now, times = NOW, []
    for pause in pauses:
        now += pause
        if (decision := gcra.decide(tat, now, rate)).allowed:
            tat = decision.tat_us
            times.append(now)
    for start in times:
        within = sum(start <= time < start + gcra.MICROSECONDS_PER_MINUTE for time in times)
        assert within <= rate + gcra.burst(rate) + 1


@given(rates, st.integers(0, 1 << 53))
def test_whatever_was_kept_nobody_waits_longer_than_one_interval(rate: int, tat: int) -> None:
    assert gcra.decide(tat, NOW, rate).retry_after_us <= gcra.interval_us(rate)


def test_a_refusal_changes_nothing() -> None:
    _, tat = admitted_at_once(60)
    assert gcra.decide(tat, NOW, 60).tat_us == tat


def test_a_limit_of_zero_admits_nobody() -> None:
    assert not gcra.decide(None, NOW, 0).allowed
