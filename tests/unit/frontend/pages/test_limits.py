import pytest

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
