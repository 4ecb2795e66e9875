"""The refusals of tokens as the contract's errors; which request meets which is tested on a real backend."""

import inspect

from aldea.errors import ApiError
from backend.api.endpoint import DomainError
from backend.tokens import errors


def test_every_refusal_is_one_of_the_contracts_errors_of_the_client() -> None:
    refusals = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, DomainError) and kind is not DomainError
    }
    assert errors.ERRORS.keys() == refusals
    assert all(issubclass(error, ApiError) and 400 <= error.status < 500 for error in errors.ERRORS.values())
