"""What the models of alerts accept."""

import pytest
from pydantic import ValidationError

from backend.alerts.events import TYPES
from backend.alerts.models import ChangeAlertSettings, CreateWebhook


def test_a_webhook_may_have_every_type() -> None:
    made = CreateWebhook.model_validate_json(f'{{"url": "https://x", "types": {list(TYPES)}}}'.replace("'", '"'))
    assert made.types == list(TYPES)


@pytest.mark.parametrize("text", ["[0]", "[-5]", "[1.5]", "[1,2,3,4,5,6]", "[10000000000000]"])
def test_a_threshold_is_a_positive_whole_number_of_micro_dollars(text: str) -> None:
    with pytest.raises(ValidationError):
        ChangeAlertSettings.model_validate_json(f'{{"balance_thresholds_micros": {text}}}')
