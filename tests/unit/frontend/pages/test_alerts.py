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


async def test_what_the_api_refuses_comes_back_as_it_was_typed(signed_in: Console) -> None:
    signed_in.api.refuse["/webhooks"] = lambda: refusal(409, "CONFLICT", "The project has 10 webhooks.")
    page = await signed_in.submit(signed_in.project("alerts"), {"url": "https://x.example/"})
    # The list itself is read from there, too.
    assert page.status >= 400


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
    signed_in.api.deliveries = [delivery]
    signed_in.api.older = "older"
    page = await signed_in.get(signed_in.project(f"alerts/{hook}"))
    for text in ("API key created", "responded 500", "&lt;script&gt;", "12 ms", "page_token=older"):
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


def test_what_is_newer_than_the_console_is_shown_as_it_is() -> None:
    assert words("volume.loud") == "volume.loud"
    assert detail(AlertEvent(event_id="e", type="x", created="", data={"reason": {"a": 1}})) == '{"a": 1}'
    assert detail(AlertEvent(event_id="e", type="x", created="", data={})) == ""
