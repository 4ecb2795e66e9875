"""What each refusal says: which limit of whose, how much, what to do."""

import re

import pytest

from aldea import errors
from aldea.admission.refusals import refusal


@pytest.mark.parametrize(
    ("reason", "number", "more", "whose", "error", "words"),
    [
        ("rate", 1_500_000, 60, "key", errors.TooManyRequests, "API key's request rate.*60 requests a minute"),
        ("rate", 1, 9, "account", errors.TooManyRequests, "billing account's request rate"),
        ("concurrency", 5, 0, "key", errors.TooManyRequests, "API key's limit of 5 concurrent streams.*End one"),
        ("quota", 3_600_500, 3_600_000, "account", errors.PaymentRequired, r"account's.*3600\.5 of 3600 s.*Raise it"),
        ("budget", 5_000_001, 5_000_000, "key", errors.PaymentRequired, r"API key's.*5\.000001 of 5\.00 USD.*Raise"),
        ("budget", 0, 0, "project", errors.PaymentRequired, r"project's monthly budget is spent: 0\.00 of 0\.00"),
    ],
)  # fmt: skip
def test_a_refusal_says_whose_limit_how_much_and_what_to_do(
    reason: str, number: int, more: int, whose: str, error: type[errors.ApiError], words: str
) -> None:
    found = refusal(reason, number, more, whose)
    assert isinstance(found, error)

    assert re.search(words, found.message), found.message
