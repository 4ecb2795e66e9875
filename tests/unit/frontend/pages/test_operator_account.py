"""Operators' forms about a project's billing account."""

import pytest

from tests.fakes.platform_api import ACCOUNT, PROJECT, refusal
from tests.unit.frontend.conftest import Console

PAGE = f"/operator/projects/{PROJECT}"
OTHER = "0199dddd-0000-7000-8000-000000000002"


@pytest.fixture
def operator(signed_in: Console) -> Console:
    signed_in.api.user["operator"] = True
    return signed_in


def in_form(text: str, title: str) -> str:
    """The card with that heading."""
    return text.partition(f'<h2 id="{title}"')[2].partition("</section>")[0]


async def test_the_accounts_limits_are_shown_and_changed_in_hours_and_dollars(operator: Console) -> None:
    operator.api.account_limits = {"monthly_audio_seconds": 5400, "monthly_budget_micros": 12_500_000}
    page = await operator.get(PAGE)
    assert ACCOUNT in page.text
    card = in_form(page.text, "account-limits-title")
    assert 'id="account_monthly_hours" name="monthly_hours" type="text" value="1.5"' in card
    assert 'id="account_monthly_dollars" name="monthly_dollars" type="text" value="12.5"' in card
    fields = {
        "requests_per_minute": "1,000",
        "concurrent_streams": "",
        "monthly_hours": "2.5",
        "monthly_dollars": "$50",
    }
    done = await operator.submit(f"{PAGE}/account/limits", fields)
    assert operator.api.sent("PATCH", "/account/limits") == {
        "requests_per_minute": 1000, "concurrent_streams": None, "monthly_audio_seconds": 9000,
        "monthly_budget_micros": 50_000_000,
    }  # fmt: skip
    assert "The limits were changed." in done.text


@pytest.mark.parametrize("typed", ["many", "1e3", "1.5", "<b>", "--1"])
async def test_limits_that_are_no_numbers_come_back_in_their_form_alone(operator: Console, typed: str) -> None:
    page = await operator.submit(f"{PAGE}/account/limits", {"concurrent_streams": typed, "monthly_hours": "7"})
    assert page.status == 422
    card = in_form(page.text, "account-limits-title")
    assert "A limit is a number" in card
    assert f'value="{typed}"'.replace("<b>", "&lt;b&gt;") in card
    assert 'value="7"' in card
    assert page.text.count('role="alert"') == 1
    # The project's own limits are another form, with what is stored.
    assert 'value="1000"' in in_form(page.text, "limits-title")
    assert not [call for call in operator.api.calls if call[0] == "PATCH"]


async def test_limits_that_the_api_refuses_come_back_with_its_words(operator: Console) -> None:
    words = "Unusable parameters: monthly_budget_micros: got -1; allowed: 0 or more. Correct this and send it again."
    operator.api.refuse_changes["/account/limits"] = lambda: refusal(400, "Bad Request", words)
    page = await operator.submit(f"{PAGE}/account/limits", {"monthly_dollars": "-0.000001"})
    assert page.status == 422
    card = in_form(page.text, "account-limits-title")
    assert "Budget per month, in millionths of a US dollar: got -1; allowed: 0 or more." in card
    assert 'value="-0.000001"' in card


async def test_a_project_is_moved_to_another_account(operator: Console) -> None:
    page = await operator.submit(f"{PAGE}/account", {"account_id": f" {OTHER} "})
    assert operator.api.sent("PUT", "/account") == {"account_id": OTHER}
    assert "The project was moved." in page.text


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (404, "account_id: got x, and no billing account has that id.", "No billing account has that id."),
        (409, "The usage is locked by maintenance. Nothing was moved; try again.", "Nothing was moved; try again."),
        (
            400,
            "Unusable parameters: account_id: got &#39;x&#39;; allowed: a UUID. Correct this and send it again.",
            "Billing account id: got ",
        ),
    ],
)
async def test_a_move_that_is_refused_comes_back_in_its_form(
    operator: Console, status: int, message: str, said: str
) -> None:
    operator.api.refuse_changes["/account"] = lambda: refusal(status, "X", message)
    page = await operator.submit(f"{PAGE}/account", {"account_id": "<x>"})
    assert page.status == 422
    card = in_form(page.text, "move-title")
    assert said in card
    assert 'value="&lt;x&gt;"' in card
    assert page.text.count('role="alert"') == 1


async def test_for_everybody_else_there_is_nothing_here(signed_in: Console) -> None:
    for path in (f"{PAGE}/account", f"{PAGE}/account/limits"):
        assert (await signed_in.submit(path, {"account_id": OTHER})).status == 404
    assert not [call for call in signed_in.api.calls if "/operator/" in call[1]]


async def test_a_project_that_does_not_exist_is_not_found(operator: Console) -> None:
    operator.api.refuse_changes["/account"] = lambda: refusal(404, "PROJECT_NOT_FOUND", "No such project.")
    gone = "/operator/projects/00000000-0000-0000-0000-000000000000/account"
    assert (await operator.submit(gone, {"account_id": OTHER})).status == 404
    assert (await operator.submit("/operator/projects/x/account", {"account_id": OTHER})).status == 404
