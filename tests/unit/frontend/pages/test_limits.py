import pytest

from tests.fakes.platform_api import refusal
from tests.unit.frontend.conftest import Console


async def test_limits_say_how_much_is_used_and_what_happens_beyond(signed_in: Console) -> None:
    signed_in.api.month_audio_seconds = 900
    page = await signed_in.get(signed_in.project("limits"))
    assert "15.0 min" in page.text
    assert "of 1.00 h" in page.text
    assert 'value="25"' in page.text
    assert "402" in page.text
    assert "429" in page.text
    assert 'role="alert"' not in page.text


@pytest.mark.parametrize(
    ("used", "words"), [(2880, "80 % of this month&#39;s audio is used."), (3600, "This month&#39;s audio is used up")]
)
async def test_a_limit_that_is_near_is_said_aloud(signed_in: Console, used: float, words: str) -> None:
    signed_in.api.month_audio_seconds = used
    page = await signed_in.get(signed_in.project("limits"))
    assert words.replace("&#39;", "'") in page.text
    assert 'role="alert"' in page.text


async def test_an_operator_is_led_to_where_limits_are_changed(signed_in: Console) -> None:
    assert "Change limits" not in (await signed_in.get(signed_in.project("limits"))).text
    signed_in.api.user["operator"] = True
    assert "Change limits" in (await signed_in.get(signed_in.project("limits"))).text


async def test_running_requests_that_cannot_be_known_are_no_number(signed_in: Console) -> None:
    signed_in.api.streams = None  # type: ignore[assignment]
    assert '<span class="figure">—</span> of 100' in (await signed_in.get(signed_in.project("limits"))).text


async def test_an_owner_limits_the_project_in_hours_and_dollars(signed_in: Console) -> None:
    fields = {"requests_per_minute": "1,000", "monthly_hours": "1.5", "monthly_dollars": "12.50"}
    await signed_in.submit(signed_in.project("limits"), fields)
    assert signed_in.api.sent("PATCH", "/limits") == {
        "requests_per_minute": 1000, "concurrent_streams": None, "monthly_audio_seconds": 5400,
        "monthly_budget_micros": 12_500_000,
    }  # fmt: skip
    signed_in.api.own_limits["monthly_budget_micros"] = 12_500_000
    page = await signed_in.get(signed_in.project("limits"))
    assert 'value="12.5"' in page.text
    assert "Budget this month" in page.text


async def test_a_limit_that_is_refused_comes_back_as_it_was_typed(signed_in: Console) -> None:
    page = await signed_in.submit(signed_in.project("limits"), {"monthly_dollars": "many"})
    assert page.status == 422
    assert 'value="many"' in page.text
    signed_in.api.refuse["/limits"] = lambda: refusal(400, "Bad Request", "got 700; allowed: up to the plan's 600.")
    # The page itself is read from there, too.
    assert (await signed_in.submit(signed_in.project("limits"), {"requests_per_minute": "700"})).status >= 400


async def test_a_member_sees_the_limits_and_changes_none(signed_in: Console) -> None:
    signed_in.api.projects[0]["role"] = "member"
    assert "Your own limits" not in (await signed_in.get(signed_in.project("limits"))).text
