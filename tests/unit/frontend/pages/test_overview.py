import pytest

from tests.fakes.platform_api import refusal
from tests.unit.frontend.conftest import Console

DAYS = [{"day": "2026-11-22", "hours": 0.0, "requests": 0}, {"day": "2026-11-23", "hours": 1.5, "requests": 12}]


async def test_before_the_first_request_the_first_steps_are_shown_with_the_right_addresses(signed_in: Console) -> None:
    page = await signed_in.get(signed_in.project("overview"))
    assert "Your first request" in page.text
    assert "http://api.localhost:8080/v1/listen" in page.text
    assert 'hx-trigger="tick from:body"' in page.text


async def test_a_first_step_that_is_done_is_ticked(signed_in: Console) -> None:
    assert 'class="done"' not in (await signed_in.get(signed_in.project("overview"))).text
    signed_in.api.add_key()
    assert 'class="done"' in (await signed_in.get(signed_in.project("overview"))).text


async def test_the_page_notices_the_first_request_by_itself(signed_in: Console) -> None:
    waiting = signed_in.project("overview/live?waiting")
    assert "HX-Refresh" not in (await signed_in.get(waiting)).headers
    signed_in.api.add_request()
    assert (await signed_in.get(waiting)).headers["HX-Refresh"] == "true"
    assert "Your first request" not in (await signed_in.get(signed_in.project("overview"))).text


async def test_figures_limits_spend_and_what_runs_are_shown(signed_in: Console) -> None:
    signed_in.api.days = DAYS
    signed_in.api.month_audio_seconds = 3000
    request = signed_in.api.add_request(state="open", close_code=None)
    signed_in.api.streams = [
        {"request_id": request["request_id"], "service": "streaming", "lane": "local", "path": "/v1/listen",
         "key_id": "", "started": request["created"], "audio_seconds": 7.0}
    ]  # fmt: skip
    page = (await signed_in.get(signed_in.project("overview"))).text
    for words in ("1.50 h", "12 requests", "$1.25", "$199.50", "50.0 min of 1.00 h", "1 request", "7.0 s", "active"):
        assert words in page, words
    assert 'class="bar near"' in page, "83 % of the month's audio is a warning"


@pytest.mark.parametrize("missing", ["/live", "/spend", "/balances"])
async def test_a_figure_that_the_api_refuses_does_not_take_the_page_away(signed_in: Console, missing: str) -> None:
    signed_in.api.refuse[missing] = lambda: refusal(403, "INSUFFICIENT_PERMISSIONS", "no")
    assert (await signed_in.get(signed_in.project("overview"))).status == 200


async def test_streams_that_cannot_be_counted_are_a_dash(signed_in: Console) -> None:
    signed_in.api.refuse["/live"] = lambda: refusal(404, "NOT_FOUND", "no")
    signed_in.api.streams = None  # type: ignore[assignment]
    page = await signed_in.get(signed_in.project("overview"))
    assert page.status == 200
    assert "— of 100" in page.text
