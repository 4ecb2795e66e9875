from html import escape
from typing import Any

import pytest

from frontend.models import AlertEvent
from frontend.pages.alerts import detail, words
from tests.fakes.platform_api import refusal
from tests.unit.frontend.conftest import Console


async def test_a_new_webhooks_secret_is_shown_once(signed_in: Console) -> None:
    page = await signed_in.submit(
        signed_in.project("alerts"), {"url": "https://example.com/?a=<b>", "description": "d"}
    )
    assert "whsec_c2VjcmV0" in page.text
    assert "<b>" not in page.written
    assert signed_in.api.sent("POST", "/webhooks") == {"url": "https://example.com/?a=<b>", "description": "d"}
    assert "whsec_" not in (await signed_in.get(signed_in.project("alerts"))).text


async def test_a_webhook_is_switched_rotated_and_deleted(signed_in: Console) -> None:
    hook = signed_in.api.add_webhook("https://example.com/")["webhook_id"]
    await signed_in.submit(signed_in.project(f"alerts/{hook}/switch"), {"enabled": "false"})
    assert signed_in.api.sent("PATCH", hook) == {"enabled": False}
    assert "whsec_bmV3" in (await signed_in.submit(signed_in.project(f"alerts/{hook}/rotate"))).text
    page = await signed_in.submit(signed_in.project(f"alerts/{hook}/delete"))
    assert "The webhook was deleted." in page.text
    assert ("DELETE", hook) in [(method, path.rpartition("/")[2]) for method, path, *_ in signed_in.api.calls]


async def test_deliveries_show_how_the_receiver_responded_and_are_sent_again(signed_in: Console) -> None:
    hook = signed_in.api.add_webhook("https://example.com/")["webhook_id"]
    delivery = {
        "delivery_id": "018f0000-0000-7000-8000-00000000000a", "event_id": "e", "type": "key.created",
        "state": "failed", "attempts": 3, "created": "2026-11-30T12:00:00Z", "due": None, "attempted": None,
        "took_ms": 12, "status": 500, "response": "<script>", "error": "responded 500",
    }  # fmt: skip
    attempt = {"attempted": "2026-11-30T12:00:00Z", "took_ms": 7, "status": 418, "response": "<b>", "error": "first"}
    delivery["history"] = [attempt, attempt | {"error": "responded 500"}]
    signed_in.api.deliveries = [delivery]
    signed_in.api.older = "older"
    page = await signed_in.get(signed_in.project(f"alerts/{hook}"))
    for text in (
        "API key created",
        "responded 500",
        "&lt;script&gt;",
        "12 ms",
        "page_token=older",
        "418, 7 ms",
        "first",
        "&lt;b&gt;",
    ):
        assert text in page.text, text
    again = f"alerts/{hook}/deliveries/{delivery['delivery_id']}/send"
    assert "It is being sent." in (await signed_in.submit(signed_in.project(again))).text
    signed_in.api.refuse["/test"] = lambda: refusal(429, "TOO_MANY_REQUESTS", "Too many tests.")
    page = await signed_in.submit(signed_in.project(f"alerts/{hook}/test"))
    assert page.status == 422
    assert "Too many tests." in page.text
    assert (await signed_in.get(signed_in.project("alerts/018f0000-0000-7000-8000-0000000000ff"))).status == 404


async def test_events_are_in_words(signed_in: Console) -> None:
    signed_in.api.events = [
        {"event_id": "e", "type": "quota.reached", "created": "2026-11-30T12:00:00Z",
         "data": {"percent": 80, "subject": "project"}},
    ]  # fmt: skip
    page = await signed_in.get(signed_in.project("alerts"))
    assert "Part of a quota used" in page.text
    assert "80 % (project)" in page.text


async def test_thresholds_are_shown_and_saved_in_dollars(signed_in: Console) -> None:
    signed_in.api.thresholds = [12_500_000, 1_000_000_000_000, 1]
    page = await signed_in.get(signed_in.project("alerts"))
    for number, value in enumerate(("12.5", "1000000", "0.000001", "", ""), 1):
        assert f'name="threshold_{number}" type="text" value="{value}"' in page.text
    page = await signed_in.submit(
        signed_in.project("alerts/thresholds"), {"threshold_1": "$1,000", "threshold_4": " 0.5 "}
    )
    assert signed_in.api.sent("PUT", "/billing/alerts") == {"balance_thresholds_micros": [1_000_000_000, 500_000]}
    assert "The thresholds were saved." in page.text
    await signed_in.submit(signed_in.project("alerts/thresholds"), {})
    assert signed_in.api.thresholds == []


@pytest.mark.parametrize("typed", ["0", "-1", "many", "1e3", "12,50", "0.0000001", "9" * 30, "<b>", "nan"])
async def test_a_threshold_that_is_none_comes_back_as_it_was_typed_in_its_form(signed_in: Console, typed: str) -> None:
    page = await signed_in.submit(signed_in.project("alerts/thresholds"), {"threshold_1": "5", "threshold_3": typed})
    assert page.status == 422
    head, _, form = page.text.partition('id="thresholds-title"')
    assert "A threshold is more than 0 US dollars" in form
    assert 'role="alert"' not in head
    assert f'name="threshold_3" type="text" value="{escape(typed)}"' in form
    assert 'name="threshold_1" type="text" value="5"' in form
    assert signed_in.api.thresholds == [10_000_000]


async def test_thresholds_that_the_api_refuses_come_back_with_its_words(signed_in: Console) -> None:
    message = "Unusable parameters: balance_thresholds_micros[1]: got 9; allowed: less. Correct this and send it again."
    signed_in.api.refuse_changes["/billing/alerts"] = lambda: refusal(400, "Bad Request", message)
    page = await signed_in.submit(signed_in.project("alerts/thresholds"), {"threshold_1": "5"})
    assert page.status == 422
    assert "Threshold, in millionths of a US dollar, number 2: got 9; allowed: less." in page.text
    assert 'name="threshold_1" type="text" value="5"' in page.text


async def test_who_has_no_billing_account_has_no_thresholds_to_set(signed_in: Console) -> None:
    signed_in.api.thresholds = None
    page = await signed_in.get(signed_in.project("alerts"))
    assert page.status == 200
    assert "threshold" not in page.text


async def test_a_webhook_that_is_refused_comes_back_in_its_form(signed_in: Console) -> None:
    signed_in.api.refuse_changes["/webhooks"] = lambda: refusal(400, "Bad Request", "url: got a private address.")
    page = await signed_in.submit(signed_in.project("alerts"), {"url": "https://10.0.0.1/", "description": "<d>"})
    assert page.status == 422
    head, _, card = page.text.partition('id="webhooks-title"')
    assert "URL: got a private address." in card
    assert "private address" not in head
    assert 'value="https://10.0.0.1/"' in card
    assert 'value="&lt;d&gt;"' in card


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"threshold_micros": 5_000_000, "balance_micros": 4_990_000}, "$4.99 left, below $5.00"),
        ({"threshold_micros": 0, "balance_micros": -10_000}, "-$0.01 left"),
        (
            {"service": "streaming", "micros_per_hour": 420_000, "effective_from": "2027-01-01T00:00:00+00:00"},
            "Live: $0.42 an hour from 2027-01-01 on",
        ),
    ],
)
def test_an_event_of_money_says_how_much(data: dict[str, Any], said: str) -> None:
    assert detail(AlertEvent(event_id="e", type="x", created="", data=data)) == said


def test_what_is_newer_than_the_console_is_shown_as_it_is() -> None:
    assert words("volume.loud") == "volume.loud"
    assert detail(AlertEvent(event_id="e", type="x", created="", data={"reason": {"a": 1}})) == '{"a": 1}'
    assert detail(AlertEvent(event_id="e", type="x", created="", data={})) == ""
