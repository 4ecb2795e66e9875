from aldea.errors import BadRequest, Conflict
from backend.prices.errors import ERRORS, PriceTaken, PriceUnusable


def test_a_time_that_is_taken_is_a_conflict_and_one_that_no_price_begins_at_a_bad_request() -> None:
    assert {PriceUnusable: BadRequest, PriceTaken: Conflict} == ERRORS
