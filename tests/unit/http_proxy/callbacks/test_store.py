"""The record of a waiting delivery; the store itself is tested before a real Redis (tests/integration)."""

import json

import pytest

from http_proxy.callbacks.store import RECORD_BYTES, Delivery, Taken, given_up, record_key


def test_a_delivery_is_read_back_as_it_was_written() -> None:
    delivery = Delivery(
        request_id="id",
        url="https://example.com/?a=1",
        method="PUT",
        body='{"text":"naïve"}',
        content_type="application/json",
        secret="s",
        reading="{}",
        attempts=3,
    )
    record = delivery.to_hash()
    assert Delivery.from_hash("id", record) == delivery
    texts = sum(len(text.encode()) for name, text in record.items() if name != "size")
    assert record["size"] == str(texts + RECORD_BYTES), "bytes, not characters, and of all that is kept"
    assert record_key("id") == "callback:id"


@pytest.mark.parametrize(("reading", "project"), [('{"project_id":"p"}', "p"), ("{}", ""), ("[1]", "")])
def test_whose_a_delivery_is_stands_in_its_reading(reading: str, project: str) -> None:
    delivery = Delivery(request_id="id", url="", method="POST", body="", content_type="", secret="", reading=reading)
    assert delivery.project_id == project


def test_of_what_was_given_up_a_customer_learns_the_host_and_no_more_of_the_url() -> None:
    report = given_up(Taken("r", "p", 1, "https://user.example:8443/path?token=secret", 10), "responded 500")
    assert json.loads(report) == {
        "type": "callback.failed",
        "project_id": "p",
        "request_id": "r",
        "host": "user.example",
        "attempts": 11,
        "reason": "responded 500",
    }
