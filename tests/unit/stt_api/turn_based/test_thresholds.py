from typing import Any

import pytest

from stt_api.turn_based.thresholds import Thresholds


def test_what_is_not_given_stays() -> None:
    changed = Thresholds().changed({"eot_threshold": "0.8", "eager_eot_threshold": 0.4, "eot_timeout_ms": None})
    assert changed == Thresholds(eot=0.8, eager=0.4, timeout_ms=5000)
    assert changed.changed({"eot_timeout_ms": 800.0}) == Thresholds(eot=0.8, eager=0.4, timeout_ms=800)
    assert changed.to_wire() == {"eot_threshold": 0.8, "eager_eot_threshold": 0.4, "eot_timeout_ms": 5000}
    assert Thresholds().to_wire() == {"eot_threshold": 0.7, "eot_timeout_ms": 5000}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"eot_threshold": "0.4"}, "eot_threshold: got '0.4'; allowed: a number from 0.5 to 1."),
        ({"eot_threshold": "1.1"}, "eot_threshold"),
        ({"eot_threshold": "nan"}, "eot_threshold"),
        ({"eot_threshold": "1e0"}, "eot_threshold"),
        ({"eot_threshold": "-0.7"}, "eot_threshold"),
        ({"eot_threshold": "\u0660.\u0667"}, "eot_threshold"),
        ({"eot_threshold": float("nan")}, "eot_threshold"),
        ({"eot_threshold": True}, "eot_threshold"),
        ({"eot_threshold": [0.7]}, "eot_threshold"),
        ({"eager_eot_threshold": 0.2}, "eager_eot_threshold"),
        ({"eager_eot_threshold": 0.95}, "eager_eot_threshold"),
        ({"eager_eot_threshold": 0.8}, "eager_eot_threshold: got 0.8 with eot_threshold 0.7; allowed: not above it."),
        ({"eot_timeout_ms": "499"}, "eot_timeout_ms"),
        ({"eot_timeout_ms": 60_001}, "eot_timeout_ms"),
        ({"eot_timeout_ms": 700.5}, "eot_timeout_ms: got '700.5'; allowed: a whole number from 500 to 60000."),
        ({"eot_timeout_ms": "9" * 5000}, "eot_timeout_ms"),
        ({"eot_timeout_ms": 10**400}, "eot_timeout_ms"),
        ({"silence": 1}, "silence: no such threshold"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match="allowed") as refused:
        Thresholds().changed(given)
    assert str(refused.value).startswith(fault)
    assert len(str(refused.value)) < 200
