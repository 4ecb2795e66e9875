"""The accounts' refusals as the contract's errors."""

from backend.accounts.errors import (
    ERRORS,
    AccountGone,
    AddressTaken,
    ResetUnusable,
    SignInRefused,
    WeakPassword,
    WrongPassword,
)


def test_each_refusal_has_its_status() -> None:
    assert {kind: (error.status, error.err_code) for kind, error in ERRORS.items()} == {
        AddressTaken: (409, "ACCOUNT_UNAVAILABLE"),
        SignInRefused: (401, "INVALID_AUTH"),
        WrongPassword: (403, "INSUFFICIENT_PERMISSIONS"),
        WeakPassword: (400, "Bad Request"),
        ResetUnusable: (404, "NOT_FOUND"),
        AccountGone: (404, "NOT_FOUND"),
    }
