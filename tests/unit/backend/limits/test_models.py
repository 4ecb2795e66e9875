"""What may be set as a limit."""

import pytest
from pydantic import ValidationError

from backend.keys.models import CreateKey
from backend.limits.models import MOST_BUDGET_MICROS, ChangeLimits, LimitSet
from backend.limits.repository import Limits


def test_every_limit_can_be_seen_and_set_of_a_key_that_is_new_and_of_whatever_is_there() -> None:
    names = set(Limits().to_dict())
    assert names == set(ChangeLimits.model_fields) == set(LimitSet.model_fields)
    assert names <= set(CreateKey.model_fields)


@pytest.mark.parametrize(
    "body",
    ['{"requests_per_minute": 0}', '{"concurrent_streams": -1}', '{"monthly_audio_seconds": -1}',
     '{"monthly_budget_micros": -1}', '{"monthly_budget_micros": 0.5}', '{"monthly_budget_micros": "5"}',
     f'{{"monthly_budget_micros": {MOST_BUDGET_MICROS + 1}}}', '{"monthly_budget_micros": 1e30}',
     '{"monthly_budget_micros": true}', '{"requests_per_minute": 1000001}'],
)  # fmt: skip
def test_a_limit_below_nothing_beyond_reason_or_in_parts_is_refused(body: str) -> None:
    with pytest.raises(ValidationError):
        ChangeLimits.model_validate_json(body)


def test_null_lifts_a_limit_and_absence_leaves_it() -> None:
    found = ChangeLimits.model_validate_json('{"monthly_budget_micros": null, "concurrent_streams": 3}')
    assert found.model_dump(include=found.model_fields_set) == {"monthly_budget_micros": None, "concurrent_streams": 3}
