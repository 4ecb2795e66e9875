"""What each refusal says: which limit of whose, how much, what to do."""

import re

import pytest

from aldea import errors
from aldea.admission.refusals import no_room, refusal


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


@pytest.mark.parametrize(
    ("reason", "used", "allowed", "whose", "words"),
    [
        ("quota", 50_500, 100_000, "key", r"API key's monthly audio quota.*60 s: 50\.5 of 100 s.*raise the quota"),
        ("budget", 5, 1_000_000, "account", r"account's monthly budget.*60 s and 0\.06 USD: 0\.000005 of 1\.00 USD"),
        ("balance", 40_000, 0, "account", r"balance of 0\.04 USD, less.*60 s and 0\.06 USD.*add credit"),
        ("balance", -1, 500, "account", r"-0\.000001 USD and the credit limit of 0\.0005 USD"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_estimate(
    reason: str, used: int, allowed: int, whose: str, words: str
) -> None:
    found = no_room(60_000, reason, used, allowed, whose, 60_000)
    assert re.search(words, found.message), found.message
