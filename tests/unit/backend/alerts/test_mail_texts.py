"""The texts of mails: one for each type that is mailed."""

from typing import Any

import pytest

from backend.alerts.events import MAILED, Type
from backend.alerts.mail_texts import _TEXTS, text_of

LIMIT: dict[str, Any] = {"subject": "project", "percent": 100, "month": "2026-11"}
DATA: dict[Type, dict[str, Any]] = {
    "balance.low": {"balance_micros": -6490, "threshold_micros": 5_000_000},
    "balance.spent": {"balance_micros": -6490, "threshold_micros": 0},
    "quota.reached": {**LIMIT, "limit_audio_ms": 3_600_000, "used_audio_ms": 3_600_000},
    "budget.reached": {**LIMIT, "limit_micros": 5_000_000, "used_micros": 5_000_000},
    "key.expiring": {"key_id": "k", "comment": "two\nlines", "expires": "2026-12-01"},
    "project.suspended": {"reason": "unpaid"},
    "price.announced": {
        "service": "streaming", "model": None, "micros_per_hour": 360_000, "effective_from": "2026-12-01",
    },
    "sign_in.new_device": {"user_id": "u", "user_agent": "curl/8", "network": "203.0.113.0/24"},
    "webhook.disabled": {"url": "https://example.com/", "reason": "it failed"},
}  # fmt: skip


def test_every_type_that_is_mailed_has_a_text() -> None:
    assert _TEXTS.keys() == MAILED == DATA.keys()


@pytest.mark.parametrize("kind", sorted(MAILED))
def test_a_subject_is_one_line_and_a_text_says_of_what_and_where_to_look(kind: Type) -> None:
    subject, text = text_of(kind, DATA[kind], "Name (id)", "https://console.example")
    assert "\n" not in subject
    assert len(subject) <= 160
    assert "Name (id)" in text
    assert "https://console.example" in text


def test_amounts_are_exact() -> None:
    assert "-0.00649 USD" in text_of("balance.low", DATA["balance.low"], None, None)[1]
    assert "1.0 of 1.0 hours" in text_of("quota.reached", DATA["quota.reached"], None, None)[1]
