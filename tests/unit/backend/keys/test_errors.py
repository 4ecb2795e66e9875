"""The keys' refusals as the contract's errors."""

from backend.keys.errors import ERRORS, ExpiryUnusable, KeyGone, ScopeTooWide, TooManyKeys


def test_each_refusal_has_its_status() -> None:
    assert {kind: error.status for kind, error in ERRORS.items()} == {
        KeyGone: 404,
        ScopeTooWide: 403,
        TooManyKeys: 409,
        ExpiryUnusable: 400,
    }
