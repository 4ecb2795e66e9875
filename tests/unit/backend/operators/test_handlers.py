"""Who may call the operators' endpoints, and a project as it is shown there."""

from datetime import UTC, datetime

from backend.api.access import Operator
from backend.operators.handlers import ENDPOINTS, _shown
from backend.operators.repository import OperatedRow
from backend.operators.service import Operated


def test_every_one_of_them_is_for_operators_and_says_so_in_its_path() -> None:
    for endpoint in ENDPOINTS:
        assert isinstance(endpoint.access, Operator)
        assert endpoint.path.startswith("/v1/operator/")


def test_a_project_shows_seconds_and_what_cannot_be_known_as_null() -> None:
    row = OperatedRow(
        project_id="p", name="n", state="active", created=datetime(2026, 1, 2, tzinfo=UTC), owners=["a@x"],
        requests_per_minute=1, concurrent_streams=None, monthly_audio_seconds=0,
    )  # fmt: skip
    shown = _shown(Operated(row, 1500, None))
    assert (shown.month_audio_seconds, shown.streams_now) == (1.5, None)
    assert (shown.limits.concurrent_streams, shown.limits.monthly_audio_seconds) == (None, 0)
