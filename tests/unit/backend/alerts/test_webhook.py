"""A webhook's request, by the specification's own library."""

import json
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from backend.alerts import webhook

ID = "018f0000-0000-7000-8000-00000000000a"


def test_a_body_says_what_happened_when_and_to_what() -> None:
    moment = datetime(2026, 11, 30, 12, 0, 0, 5000, UTC)
    assert json.loads(webhook.payload(ID, "key.created", moment, {"key_id": "k"})) == {
        "id": ID,
        "type": "key.created",
        "timestamp": "2026-11-30T12:00:00.005Z",
        "data": {"key_id": "k"},
    }


def test_each_secret_that_is_good_verifies_and_no_other() -> None:
    new, former, other = (webhook.new_secret() for _ in range(3))
    body = '{"é": 1}'
    sent = webhook.headers(ID, body, time.time(), [new, former])
    for secret in (new, former):
        Webhook(secret).verify(body, sent)
    for secret, text in ((other, body), (new, body + " ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(text, sent)


def test_a_response_is_kept_as_text_that_a_table_and_a_page_can_hold() -> None:
    shown = webhook._shown(b"a\x00\x1b[31m\xff\n" + b"x" * 1000)
    assert len(shown) == webhook.RESPONSE_CHARACTERS
    assert "\0" not in shown
    assert "\x1b" not in shown
    assert shown.startswith("a\ufffd\ufffd[31m\ufffd\nx")
