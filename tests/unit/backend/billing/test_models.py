"""The shapes of bills."""

import pytest
from pydantic import ValidationError

from backend.billing.models import BillingQuery, PurchasesQuery


def test_a_line_item_of_the_public_api_is_no_error_and_a_grouping_that_is_none_is() -> None:
    assert BillingQuery.model_validate({"line_item": "nova-3::streaming"}).line_item == "nova-3::streaming"
    with pytest.raises(ValidationError):
        BillingQuery.model_validate({"grouping": ["day"]})


@pytest.mark.parametrize("limit", ["0", "201", "x"])
def test_the_number_of_purchases_is_bounded(limit: str) -> None:
    with pytest.raises(ValidationError):
        PurchasesQuery.model_validate({"limit": limit})
