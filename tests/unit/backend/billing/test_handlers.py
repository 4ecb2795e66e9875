"""The billing endpoints: whom they let in."""

from backend.api.access import InProject
from backend.billing.handlers import ENDPOINTS


def test_bills_are_for_those_who_may_read_bills() -> None:
    assert {endpoint.access for endpoint in ENDPOINTS} == {InProject("billing:read")}
