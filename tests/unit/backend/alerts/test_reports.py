"""What proxies report."""

import json
from typing import Any

import pytest

from backend.alerts.reports import event_of

GOOD = {
    "type": "callback.failed", "project_id": "018f0000-0000-7000-8000-00000000000a",
    "request_id": "018f0000-0000-7000-8000-00000000000b", "host": "example.com", "attempts": 11, "reason": "r\0",
}  # fmt: skip


def test_a_callback_that_was_given_up_is_an_event_once() -> None:
    found = event_of({"e": json.dumps(GOOD)})
    assert found is not None
    assert found.dedup == f"callback.failed:{GOOD['request_id']}"
    assert found.data["reason"] == "r"


@pytest.mark.parametrize(
    "fields",
    [{}, {"e": "x"}, {"e": "1"}, *({"e": json.dumps({**GOOD, name: value})} for name, value in [
        ("type", "other"), ("type", []), ("project_id", "x"), ("request_id", None), ("attempts", "many"),
    ])],
)  # fmt: skip
def test_what_cannot_be_read_is_dropped(fields: dict[str, Any]) -> None:
    assert event_of(fields) is None
