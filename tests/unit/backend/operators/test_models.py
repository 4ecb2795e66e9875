"""What operators may query and set."""

import pytest
from pydantic import ValidationError

from backend.operators.models import ChangePlanLimits, ProjectsQuery


def test_an_absent_limit_is_not_a_lifted_limit() -> None:
    body = ChangePlanLimits.model_validate_json('{"concurrent_streams": null}')
    assert body.model_dump(include=body.model_fields_set) == {"concurrent_streams": None}
    with pytest.raises(ValidationError, match="at least one of requests_per_minute"):
        ChangePlanLimits.model_validate_json("{}")


@pytest.mark.parametrize(
    "text",
    ['{"requests_per_minute": 0}', '{"requests_per_minute": 2147483648}', '{"concurrent_streams": "5"}',
     '{"monthly_audio_seconds": 1e30}', '{"monthly_audio_seconds": -1}'],
)  # fmt: skip
def test_a_limit_that_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        ChangePlanLimits.model_validate_json(text)


def test_no_audio_at_all_is_a_limit() -> None:
    assert ChangePlanLimits.model_validate_json('{"monthly_audio_seconds": 0}').monthly_audio_seconds == 0


def test_a_page_token_is_an_id() -> None:
    with pytest.raises(ValidationError):
        ProjectsQuery.model_validate({"page_token": "x"})
