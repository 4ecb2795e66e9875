import re
from uuid import UUID

import pytest

from tests.fakes.platform_api import NOW, OTHER_PROJECT, PROJECT, refusal
from tests.unit.frontend.conftest import Console

PAGE = f"/operator/projects/{PROJECT}"


@pytest.fixture
def operator(signed_in: Console) -> Console:
    signed_in.api.user["operator"] = True
    return signed_in


async def test_for_everybody_else_there_is_nothing_here(signed_in: Console) -> None:
    for path in ("/operator", "/operator/reset", PAGE):
        assert (await signed_in.get(path)).status == 404
    assert (await signed_in.submit(f"{PAGE}/suspend")).status == 404
    assert not [call for call in signed_in.api.calls if "/operator/" in call[1]]
    assert 'href="/operator"' not in (await signed_in.get("/account")).text


async def test_operators_see_what_runs_and_every_project(operator: Console) -> None:
    operator.api.lanes = [
        {
            "lane": "eu-1", "service": "streaming", "streams": 3, "projects": 2, "audio_seconds": 90.0,
            "oldest": NOW.isoformat(),
        }
    ]  # fmt: skip
    page = await operator.get("/operator")
    assert "eu-1" in page.text
    assert "3 on all lanes" in page.text
    assert "Demo &lt;b&gt;" in page.text
    assert "0 % of 1,000 h" in page.text
    assert "no limit" in page.text


async def test_projects_are_searched_by_the_api(operator: Console) -> None:
    page = await operator.get("/operator?q=+sec+&state=active")
    assert operator.api.query_of("/operator/projects") == {"q": "sec", "state": "active", "limit": "50"}
    assert f"/operator/projects/{OTHER_PROJECT}" in page.text
    assert PAGE not in page.text
    assert "No projects match" in (await operator.get("/operator?q=zzz")).text


async def test_a_state_that_does_not_exist_is_not_requested(operator: Console) -> None:
    await operator.get("/operator?state=x%26y")
    assert "state" not in operator.api.query_of("/operator/projects")


async def test_limits_are_shown_in_hours_and_sent_in_seconds_and_an_empty_one_is_lifted(operator: Console) -> None:
    page = await operator.get(PAGE)
    assert 'name="monthly_hours" type="text" value="1000"' in page.text
    fields = {"requests_per_minute": "", "concurrent_streams": "1,200", "monthly_hours": "2.5"}
    done = await operator.submit(f"{PAGE}/limits", fields)
    assert operator.api.sent("PATCH", "/limits") == {
        "requests_per_minute": None, "concurrent_streams": 1200, "monthly_audio_seconds": 9000,
    }  # fmt: skip
    assert "The limits were changed." in done.text


@pytest.mark.parametrize(
    "typed",
    ["many", "nan", "inf", "1e999", "1e3", "1_000", "0x10", "1.5", "1,5", "1,00", "\uff11\uff12", "9" * 400, "--1"],
)
async def test_a_limit_that_is_no_number_comes_back_as_it_was_typed(operator: Console, typed: str) -> None:
    page = await operator.submit(f"{PAGE}/limits", {"concurrent_streams": typed})
    assert page.status == 422
    assert "A limit is a number, as 1,000 (hours and dollars also as 1.5), or nothing for no limit." in page.text
    assert f'value="{typed}"' in page.text
    assert not [call for call in operator.api.calls if call[0] == "PATCH"]


async def test_limits_that_are_shown_can_be_sent_back(operator: Console) -> None:
    await operator.submit(f"{PAGE}/limits", {"monthly_hours": "0.0002777777778", "requests_per_minute": "1,000,000"})
    sent = operator.api.sent("PATCH", "/limits")
    assert (sent["monthly_audio_seconds"], sent["requests_per_minute"]) == (1, 1_000_000)


async def test_a_limit_too_large_for_its_unit_is_no_number(operator: Console) -> None:
    page = await operator.submit(f"{PAGE}/limits", {"monthly_hours": "1e308"})
    assert page.status == 422


async def test_a_limit_that_the_api_refuses_comes_back_with_its_words(operator: Console) -> None:
    operator.api.refuse_changes["/limits"] = lambda: refusal(400, "Bad Request", "concurrent_streams: 1 or more.")
    page = await operator.submit(f"{PAGE}/limits", {"concurrent_streams": "-3"})
    assert page.status == 422
    assert "Concurrent requests: 1 or more." in page.text


async def test_a_projects_account_is_shown_and_what_it_was_credited_with(operator: Console) -> None:
    operator.api.credits = [
        {"credit_id": str(UUID(int=3)), "amount_micros": -500_000, "note": "Typo <b>", "created": NOW.isoformat()},
        {"credit_id": str(UUID(int=2)), "amount_micros": 50_000_000, "note": "Invoice 7", "created": NOW.isoformat()},
    ]
    text = (await operator.get(PAGE)).text
    for figure in ("$49.50", "$1.25", "$48.25", "-$0.50", "$50.00", "Typo &lt;b&gt;", "Invoice 7"):
        assert figure in text


@pytest.mark.parametrize(
    ("typed", "micros"), [("50", 50_000_000), ("-12.50", -12_500_000), ("$1,000", 1_000_000_000), ("0.000001", 1)]
)
async def test_a_credit_goes_to_the_api_exactly_under_the_id_that_came_with_the_form(
    operator: Console, typed: str, micros: int
) -> None:
    (credit_id,) = re.findall(r'name="credit_id" value="([0-9a-f-]{36})"', (await operator.get(PAGE)).text)
    fields = {"amount": typed, "note": "Invoice 7", "credit_id": credit_id}
    done = await operator.submit(f"{PAGE}/credits", fields)
    assert operator.api.sent("PUT", f"/credits/{credit_id}") == {"amount_micros": micros, "note": "Invoice 7"}
    assert "The credit was added." in done.text


@pytest.mark.parametrize(
    "typed",
    [
        "", "much", "nan", "sNaN", "inf", "1e999999", "1e2", "0.0000001", "12,50", "1.000,50", "1,0000", "5_0",
        "$", "$$5",
        "١٢", "9" * 30, "9" * 20,
    ],
)  # fmt: skip
async def test_a_credit_that_is_no_amount_comes_back_as_it_was_typed(operator: Console, typed: str) -> None:
    fields = {"amount": typed, "note": "Invoice 7", "credit_id": str(UUID(int=9))}
    page = await operator.submit(f"{PAGE}/credits", fields)
    assert page.status == 422
    assert "A credit is a number of dollars" in page.text
    assert f'value="{typed}"' in page.text
    assert 'value="Invoice 7"' in page.text
    assert not [call for call in operator.api.calls if call[0] == "PUT"]


async def test_a_credit_that_the_api_refuses_comes_back_with_its_words_and_another_id(operator: Console) -> None:
    credit_id = str(UUID(int=9))
    operator.api.refuse[credit_id] = lambda: refusal(409, "CONFLICT", "credit_id: it is another credit's.")
    page = await operator.submit(f"{PAGE}/credits", {"amount": "5", "note": "x", "credit_id": credit_id})
    assert page.status == 422
    assert "it is another credit&#39;s" in page.text
    assert credit_id not in page.text


async def test_a_project_is_suspended_with_its_reason_and_resumed(operator: Console) -> None:
    page = await operator.submit(f"{PAGE}/suspend", {"reason": "unpaid"})
    assert operator.api.sent("POST", f"{PROJECT}/suspend") == {"reason": "unpaid"}
    assert "The project was suspended." in page.text
    operator.api.projects[0]["state"] = "suspended"
    page = await operator.get(PAGE)
    assert "Resume this project" in page.text
    assert "Suspend this project" not in page.text
    assert "The project was resumed." in (await operator.submit(f"{PAGE}/resume")).text


async def test_a_project_that_does_not_exist_is_not_there(operator: Console) -> None:
    assert (await operator.get("/operator/projects/nonsense")).status == 404
    assert (await operator.get("/operator/projects/00000000-0000-0000-0000-000000000000")).status == 404


async def test_a_password_resets_code_is_shown_once_with_the_place_where_it_is_entered(operator: Console) -> None:
    page = await operator.submit("/operator/reset", {"email": "bob@example.com"})
    assert "reset-code-123" in page.text
    assert "/reset</code>" in page.text
    operator.api.refuse["/password-resets"] = lambda: refusal(404, "NOT_FOUND", "No such account.")
    page = await operator.submit("/operator/reset", {"email": "bob@example.com"})
    assert page.status == 422
    assert "No such account." in page.text
