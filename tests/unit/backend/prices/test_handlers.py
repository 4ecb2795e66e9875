"""Who may call the prices' endpoints."""

from backend.api.access import InProject, Operator
from backend.prices.handlers import ENDPOINTS


def test_the_book_is_for_operators_and_its_paths_say_so() -> None:
    for endpoint in ENDPOINTS:
        assert endpoint.path.startswith("/v1/operator/") == isinstance(endpoint.access, Operator)


def test_what_a_project_pays_can_be_read_by_who_reads_its_bills() -> None:
    assert [endpoint.access for endpoint in ENDPOINTS if "{project_id}" in endpoint.path] == [InProject("billing:read")]
