"""The record of a waiting delivery; the store itself is tested before a real Redis (tests/integration)."""

from http_proxy.deliveries import Delivery, record_key


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
    assert record["size"] == str(len('{"text":"naïve"}'.encode())), "bytes, not characters"
    assert record_key("id") == "callback:id"
