import pytest

from frontend.cookies import Cookies
from tests.fakes.platform_api import EMAIL, PASSWORD, refusal
from tests.unit.frontend.conftest import Console


async def test_a_password_is_changed_with_the_current_one_alone(signed_in: Console) -> None:
    fields = {"current_password": "wrong one here", "new_password": "another sentence"}
    refused = await signed_in.submit("/account/password", fields)
    assert (refused.status, refused.path) == (422, "/account/password")
    assert "The current password is wrong." in refused.text
    changed = await signed_in.submit("/account/password", {**fields, "current_password": PASSWORD})
    assert "Your password was changed." in changed.text


async def test_a_session_that_ends_while_the_password_is_changed_leads_to_login(signed_in: Console) -> None:
    token = (await signed_in.get("/account")).token
    signed_in.api.refuse["/me/password"] = lambda: refusal(401, "INVALID_AUTH", "Invalid credentials.")
    fields = {"current_password": PASSWORD, "new_password": "another sentence"}
    assert (await signed_in.post("/account/password", fields, token=token)).path == "/login"


async def test_a_name_is_changed_and_a_refused_one_is_kept_with_its_reason(signed_in: Console) -> None:
    changed = await signed_in.submit("/account/name", {"name": " Ada King "})
    assert signed_in.api.sent("PATCH", "/me") == {"name": "Ada King"}
    assert "Your name was changed." in changed.text
    assert 'value="Ada King"' in changed.text
    refused = await signed_in.submit("/account/name", {"name": "<b>"})
    assert (refused.status, "Use other words." in refused.text, 'value="&lt;b&gt;"' in refused.text) == (
        422,
        True,
        True,
    )


async def test_another_address_needs_the_password_and_this_browser_stays_known(signed_in: Console) -> None:
    fields = {"email": "king@example.com", "current_password": "wrong one here"}
    refused = await signed_in.submit("/account/email", fields)
    assert (refused.status, "The current password is wrong." in refused.text) == (422, True)
    assert 'value="king@example.com"' in refused.text
    assert "wrong one here" not in refused.text
    changed = await signed_in.submit("/account/email", {**fields, "current_password": PASSWORD})
    assert "Your e-mail was changed." in changed.text
    known = {mark.partition(":")[2] for mark in (signed_in.cookie("device") or "").split("~")}
    assert len(known) == 1, "one proof, under two addresses"
    await signed_in.post("/login", {"email": "king@example.com", "password": PASSWORD})
    assert signed_in.api.sent("POST", "/sessions")["device_token"] in known


async def test_an_account_is_deleted_with_its_password_and_the_browser_signed_out(signed_in: Console) -> None:
    signed_in.api.in_projects = True
    refused = await signed_in.submit("/account/delete", {"current_password": PASSWORD})
    assert (refused.status, "Leave or delete each of them first" in refused.text) == (422, True)
    signed_in.api.in_projects = False
    wrong = await signed_in.submit("/account/delete", {"current_password": "wrong"})
    assert (wrong.status, "The current password is wrong." in wrong.text) == (422, True)
    page = await signed_in.submit("/account/delete", {"current_password": PASSWORD})
    assert (page.path, "Your account was deleted." in page.text) == ("/login", True)
    assert signed_in.cookie(Cookies(secure=False).session_name) is None


@pytest.mark.parametrize("form", ["name", "email", "password", "delete"])
async def test_a_reload_of_a_refused_form_leads_to_its_page(signed_in: Console, form: str) -> None:
    assert (await signed_in.get(f"/account/{form}")).path == "/account"


async def test_each_form_shows_its_own_problem(signed_in: Console) -> None:
    page = await signed_in.submit("/account/delete", {"current_password": "wrong"})
    assert "banner danger" in page.text.partition('id="delete-title"')[2]
    assert "banner danger" not in page.text.partition('id="delete-title"')[0]
    assert EMAIL in page.text
