"""When a price may begin; what is stored of it is tested on a real PostgreSQL."""

from datetime import UTC, date, datetime, timedelta

import pytest

from backend.prices.errors import PriceUnusable
from backend.prices.models import Prices
from backend.prices.service import LATEST, SHOWN, SOONEST, _refuse_unusable, moment

# More than any clock moves while a test runs.
MARGIN = timedelta(minutes=30)


def test_the_document_says_how_many_prices_are_shown() -> None:
    assert f"the newest {SHOWN} of its prices" in (Prices.__doc__ or "")


@pytest.mark.parametrize("ahead", [SOONEST + MARGIN, LATEST - MARGIN])
def test_a_price_may_begin_soon_or_in_a_year(ahead: timedelta) -> None:
    _refuse_unusable(datetime.now(UTC) + ahead)


@pytest.mark.parametrize(
    "ahead", [-MARGIN, timedelta(0), timedelta(seconds=1), LATEST + MARGIN, timedelta(days=30_000)]
)
def test_a_price_of_the_past_of_thismoment_or_of_years_ahead_is_refused(ahead: timedelta) -> None:
    with pytest.raises(PriceUnusable, match=r"effective_from: got .*; allowed: .* \(two minutes"):
        _refuse_unusable(datetime.now(UTC) + ahead)


def test_a_day_begins_at_midnight_utc() -> None:
    assert moment(date(2027, 1, 1)) == datetime(2027, 1, 1, tzinfo=UTC)
