import pytest

from aldea.redis.prices import price_at, schedule

ANY, MODEL = "0 360000 1000 300000", "500 900000"


def test_a_schedule_is_in_the_order_in_which_its_prices_begin() -> None:
    assert schedule([(1000, 300_000), (0, 360_000)]) == ANY
    assert schedule([]) == ""


@pytest.mark.parametrize(
    ("started_ms", "schedules", "price"),
    [
        (0, (ANY,), 360_000),
        (999, (ANY,), 360_000),
        (1000, (ANY,), 300_000),
        (1 << 45, ("", ANY), 300_000),
        (499, (MODEL, ANY), 360_000),
        (500, (MODEL, ANY), 900_000),
        (2000, (MODEL, ANY), 900_000),
        (0, (MODEL,), 0),
        (0, ("", ""), 0),
        (0, (), 0),
    ],
)
def test_the_price_of_a_model_goes_before_the_one_of_any(
    started_ms: int, schedules: tuple[str, ...], price: int
) -> None:
    assert price_at(started_ms, *schedules) == price
