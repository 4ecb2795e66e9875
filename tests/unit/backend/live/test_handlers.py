"""Who sees what runs."""

from backend.api.access import InProject, Operator
from backend.live.handlers import ENDPOINTS


def test_a_project_is_seen_by_who_reads_its_usage_and_the_platform_by_operators() -> None:
    guards = {endpoint.path: endpoint.access for endpoint in ENDPOINTS}
    assert guards == {
        "/v1/projects/{project_id}/live": InProject("usage:read"),
        "/v1/operator/live": Operator(),
    }
