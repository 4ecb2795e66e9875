from datetime import datetime, timedelta

import pytest

from frontend.models import ListedKey
from frontend.pages.keys import shown_key
from frontend.scopes import SCOPES
from tests.fakes.platform_api import KEY_TEXT, NO_LIMITS, NOW, OTHER_PROJECT, refusal
from tests.unit.frontend.conftest import Console

FORM = {"comment": "server", "scopes": "usage:write", "tags": " prod, web ,", "lifetime": str(30 * 86_400)}


async def test_without_keys_the_page_offers_the_first_one(signed_in: Console) -> None:
    page = await signed_in.get(signed_in.project("keys"))
    assert "No keys yet" in page.text
    assert "Create the first key" in page.text


async def test_a_new_key_is_shown_in_the_response_and_never_again(signed_in: Console) -> None:
    page = await signed_in.submit(signed_in.project("keys"), FORM)
    assert KEY_TEXT in page.text
    assert signed_in.api.sent("POST", "/keys") == {
        "comment": "server", "scopes": ["usage:write"], "tags": ["prod", "web"],
        "time_to_live_in_seconds": 2_592_000,
    }  # fmt: skip
    for snippet in ("curl", "python", "javascript"):
        code = page.text.partition(f'id="code-{snippet}"')[2].partition("</pre>")[0]
        assert KEY_TEXT in code, snippet
    assert "sample/speech.wav" in page.text
    assert '/docs">documentation</a> has every parameter' in page.text
    again = await signed_in.get(signed_in.project("keys"))
    assert KEY_TEXT not in again.text
    assert "code-curl" not in again.text
    assert "org_…x7Qz" in again.text


async def test_a_key_that_may_not_transcribe_comes_without_a_first_request(signed_in: Console) -> None:
    page = await signed_in.submit(signed_in.project("keys"), {**FORM, "scopes": "usage:read"})
    assert KEY_TEXT in page.text
    assert "code-curl" not in page.text


async def test_a_key_that_may_do_nothing_is_not_requested(signed_in: Console) -> None:
    # Refused in the dialog that the form is in, or on the page of its own.
    for headers in ({}, {"X-Dialog": "true"}):
        page = await signed_in.submit(signed_in.project("keys"), {"comment": "server"}, headers=headers)
        assert page.status == 422
        assert "Choose at least one thing" in page.text
        assert page.headers.get("HX-Retarget") == ("#dialog-body" if headers else None)
    assert not signed_in.api.keys


async def test_what_the_api_refuses_comes_back_in_the_form_with_what_was_typed(signed_in: Console) -> None:
    signed_in.api.refuse["/keys"] = lambda: refusal(409, "CONFLICT", "The project has 1000 keys.")
    page = await signed_in.submit(signed_in.project("keys"), FORM)
    assert page.status == 422
    assert "The project has 1000 keys." in page.text
    assert 'value="server"' in page.text
    assert "usage:write" in page.text


async def test_a_lifetime_that_is_no_choice_counts_as_never(signed_in: Console) -> None:
    await signed_in.submit(signed_in.project("keys"), {**FORM, "lifetime": "-5"})
    assert "time_to_live_in_seconds" not in signed_in.api.sent("POST", "/keys")


async def test_rotating_shows_the_new_key_and_until_when_the_old_one_lives(signed_in: Console) -> None:
    key = signed_in.api.add_key("server")
    path = signed_in.project(f"keys/{key['api_key_id']}/rotate")
    assert "Rotate “server”" in (await signed_in.get(path)).text
    page = await signed_in.submit(path, {"overlap": "3600"})
    assert KEY_TEXT in page.text
    assert "23 Nov 2026, 16:00" in page.text
    assert signed_in.api.sent("POST", "/rotate") == {"overlap_seconds": 3600}


async def test_revoking_warns_first_and_then_revokes(signed_in: Console) -> None:
    key = signed_in.api.add_key("server <1>")
    path = signed_in.project(f"keys/{key['api_key_id']}/revoke")
    warning = await signed_in.get(path)
    assert "stops working at once" in warning.text
    assert "server &lt;1&gt;" in warning.text
    assert signed_in.api.keys, "looking revokes nothing"
    done = await signed_in.submit(path)
    assert "The key was revoked." in done.text
    assert not signed_in.api.keys


async def test_revoking_shows_what_the_key_made_and_offers_to_revoke_that_too(signed_in: Console) -> None:
    key = signed_in.api.add_key("maker")
    path = signed_in.project(f"keys/{key['api_key_id']}/revoke")
    alone = await signed_in.get(path)
    assert "Revoke these too" not in alone.text
    signed_in.api.add_key("child <1>", made_by=key["api_key_id"])
    signed_in.api.invited_by_keys.append("bob@example.com")
    page = await signed_in.get(path)
    assert "child &lt;1&gt;" in page.text
    assert "the invite for bob@example.com" in page.text
    assert "with the key “maker”" in (await signed_in.get(signed_in.project("keys"))).text
    await signed_in.submit(path, {"children": "revoke"}, follow=False)
    assert signed_in.api.calls[-1][0] == "DELETE"
    assert signed_in.api.calls[-1][2] == {"children": "revoke"}


async def test_a_revocation_takes_nothing_along_that_was_not_chosen(signed_in: Console) -> None:
    key = signed_in.api.add_key("maker")
    await signed_in.submit(signed_in.project(f"keys/{key['api_key_id']}/revoke"), {"children": "x"}, follow=False)
    assert signed_in.api.calls[-1][2] == {}


@pytest.mark.parametrize("action", ["rotate", "revoke"])
async def test_a_key_that_is_not_the_projects_is_not_there(signed_in: Console, action: str) -> None:
    assert (await signed_in.get(signed_in.project(f"keys/no-such-key/{action}"))).status == 404


async def test_a_member_sees_keys_and_changes_none(signed_in: Console) -> None:
    signed_in.api.add_key()
    page = await signed_in.get(f"/projects/{OTHER_PROJECT}/keys")
    assert "org_…x7Qz" in page.text
    assert "Revoke" not in page.text
    assert "Create key" not in page.text


def test_a_keys_status_says_whether_it_works_and_for_how_long() -> None:
    nobody = {"member_id": None, "email": None}

    def status(expires: datetime | None) -> str:
        key: dict[str, object] = {
            "api_key_id": "1", "comment": "", "last4": "x", "scopes": [], "tags": [], "created": NOW.isoformat(),
            "expiration_date": expires and expires.isoformat(), "last_used": None,
        }  # fmt: skip
        return shown_key(ListedKey.model_validate({"api_key": key, "member": nobody}), NOW).status

    assert status(None) == "active"
    assert status(NOW) == "expired"
    assert status(NOW + timedelta(days=3)) == "expires soon"
    assert status(NOW + timedelta(days=30)) == "active"


def test_every_scope_of_the_contract_is_offered_once() -> None:
    names = [name for name, _, _ in SCOPES]
    assert len(names) == len(set(names)) == 9


async def test_a_new_key_takes_limits_along_and_the_list_shows_them(signed_in: Console) -> None:
    await signed_in.submit(signed_in.project("keys"), {**FORM, "monthly_dollars": "5", "concurrent_streams": "2"})
    sent = signed_in.api.sent("POST", "/keys")
    assert (sent["monthly_budget_micros"], sent["concurrent_streams"]) == (5_000_000, 2)
    assert "monthly_audio_seconds" not in sent
    limits = {**NO_LIMITS, "monthly_budget_micros": 5_000_000, "concurrent_streams": 2}
    signed_in.api.add_key("web", limits=limits)
    assert "2 at a time, $5.00 per month" in (await signed_in.get(signed_in.project("keys"))).text
    page = await signed_in.submit(signed_in.project("keys"), {**FORM, "monthly_hours": "1e9"})
    assert page.status == 422
    assert 'value="1e9"' in page.text


async def test_a_keys_limits_are_changed_and_lifted(signed_in: Console) -> None:
    key = signed_in.api.add_key("web", limits={**NO_LIMITS, "monthly_audio_seconds": 5400}, limited_as="other")
    path = signed_in.project(f"keys/{key['api_key_id']}/limits")
    page = await signed_in.get(path)
    assert 'value="1.5"' in page.text
    assert "shares its limits" in page.text
    await signed_in.submit(path, {"requests_per_minute": "60"})
    assert signed_in.api.sent("PATCH", key["api_key_id"]) == {**NO_LIMITS, "requests_per_minute": 60}
    refused = await signed_in.submit(path, {"requests_per_minute": "1.5"})
    assert refused.status == 422
    assert 'value="1.5"' in refused.text
