"""The console reads the status as the API gives it."""

from frontend.status_models import Status
from tests.fakes.platform_api import incident_of, status_of


def test_a_status_is_read_with_its_incidents() -> None:
    found = Status.model_validate(status_of() | {"incidents": [incident_of()]})
    assert len(found.components) == 3
    assert found.incidents[0].updates[0].state == "investigating"
