"""Usage's refusals as the contract's errors."""

from backend.usage import errors


def test_an_unusable_query_is_400_and_what_does_not_exist_404() -> None:
    assert {kind.__name__: error.status for kind, error in errors.ERRORS.items()} == {
        "PeriodUnusable": 400,
        "PageUnusable": 400,
        "TooManyGroups": 400,
        "RequestGone": 404,
        "DayNotKept": 404,
        "BalanceGone": 404,
    }
