"""The refusals of the operators' console; which request meets which is tested on a real backend."""

from backend.fleet import errors
from tests.support.refusals import check_refusals


def test_every_refusal_is_an_error_of_the_client_and_is_raised_and_documented() -> None:
    check_refusals(errors)
