import pytest

from frontend.pages.members import ROLES
from tests.fakes.platform_api import INVITE, OTHER_PROJECT, PROJECT, refusal
from tests.unit.frontend.conftest import Console


async def test_an_invites_code_is_shown_once_with_the_place_where_it_is_entered(signed_in: Console) -> None:
    page = await signed_in.submit(signed_in.project("members/invite"), {"email": "bob@example.com", "role": "admin"})
    assert INVITE in page.text
    assert "Give this code to bob@example.com" in page.text
    assert f"<code>http://127.0.0.1:{signed_in.client.port}/invite</code>" in page.text
    assert signed_in.api.sent("POST", "/invites") == {"email": "bob@example.com", "scope": "admin"}
    again = await signed_in.get(signed_in.project("members"))
    assert INVITE not in again.text
    assert "bob@example.com" in again.text


async def test_a_refused_invite_comes_back_in_its_form_with_what_was_typed(signed_in: Console) -> None:
    signed_in.api.refuse["/invites"] = lambda: refusal(409, "CONFLICT", "This person is a member already.")
    page = await signed_in.submit(signed_in.project("members/invite"), {"email": "bob@example.com", "role": "admin"})
    assert page.status == 422
    assert "This person is a member already." in page.text
    assert 'value="bob@example.com"' in page.text
    assert 'value="admin" required checked' in page.text


async def test_an_address_is_withdrawn_whatever_characters_it_has_and_stands_in_no_page_address(
    signed_in: Console,
) -> None:
    email = "o'neil+b@example.com"
    await signed_in.submit(signed_in.project("members/invite"), {"email": email, "role": "member"})
    page = await signed_in.submit(signed_in.project("members/withdraw"), {"email": email})
    assert "The invite was withdrawn." in page.text
    assert page.path == signed_in.project("members")
    assert not signed_in.api.invites


async def test_an_invite_that_is_gone_already_is_said_on_the_page(signed_in: Console) -> None:
    signed_in.api.refuse["/invites/bob@example.com"] = lambda: refusal(404, "NOT_FOUND", "No invite for this address.")
    page = await signed_in.submit(signed_in.project("members/withdraw"), {"email": "bob@example.com"})
    assert "No invite for this address." in page.text


async def test_a_role_is_changed_and_a_member_removed(signed_in: Console) -> None:
    member = signed_in.api.add_member("bob@example.com", "member")["member_id"]
    assert "Role of Ada Lovelace" in (await signed_in.get(signed_in.project(f"members/{member}/role"))).text
    page = await signed_in.submit(signed_in.project(f"members/{member}/role"), {"role": "admin"})
    assert "The role was changed." in page.text
    assert signed_in.api.sent("PUT", f"/members/{member}/scopes") == {"scope": "admin"}
    warning = await signed_in.get(signed_in.project(f"members/{member}/remove"))
    assert "Their open invites are withdrawn." in warning.text
    page = await signed_in.submit(signed_in.project(f"members/{member}/remove"))
    assert "The member was removed." in page.text
    assert ("DELETE", f"/v1/projects/{PROJECT}/members/{member}") in [call[:2] for call in signed_in.api.calls]


@pytest.mark.parametrize(("action", "verb"), [("role", "PUT"), ("remove", "DELETE")])
async def test_the_keys_that_a_change_ends_are_named_and_an_owner_may_keep_them(
    signed_in: Console, action: str, verb: str
) -> None:
    # The fake's keys all count as the reader's.
    own = signed_in.api.members[0]["member_id"]
    signed_in.api.add_key("manages", scopes=["members:write"])
    signed_in.api.add_key("transcribes", scopes=["usage:write"])
    path = signed_in.project(f"members/{own}/{action}")
    page = await signed_in.get(path)
    assert "the key “manages”" in page.text
    assert ("the key “transcribes”" in page.text) == (action == "remove")
    assert 'name="keys" value="keep"' in page.text
    for chosen in ("keep", ""):
        await signed_in.submit(path, {"role": "member", "keys": chosen}, follow=False)
        sent = [query for method, _, query, _ in signed_in.api.calls if method == verb]
        assert sent[-1] == ({"keys": "keep"} if chosen else {})
    signed_in.api.projects[0]["role"] = "admin"
    signed_in.api.members[0]["role"] = "admin"
    assert 'value="keep"' not in (await signed_in.get(path)).text


@pytest.mark.parametrize(("action", "suffix"), [("role", "/scopes"), ("remove", "")])
async def test_the_last_owner_sees_why_they_must_stay(signed_in: Console, action: str, suffix: str) -> None:
    own = signed_in.api.members[0]["member_id"]
    signed_in.api.refuse[f"/members/{own}{suffix}"] = lambda: refusal(409, "CONFLICT", "This is the last owner.")
    page = await signed_in.submit(signed_in.project(f"members/{own}/{action}"), {"role": "member"})
    assert page.status == 422
    assert "This is the last owner." in page.text


async def test_an_admin_can_neither_touch_owners_nor_make_any(signed_in: Console) -> None:
    signed_in.api.projects[0]["role"] = "admin"
    owner = signed_in.api.add_member("owner@example.com", "owner")["member_id"]
    member = signed_in.api.add_member("bob@example.com", "member")["member_id"]
    page = await signed_in.get(signed_in.project("members"))
    assert f"{owner}/role" not in page.text
    assert f"{member}/role" in page.text
    form = await signed_in.get(signed_in.project("members/invite"))
    assert 'value="admin"' in form.text
    assert 'value="owner"' not in form.text


async def test_a_member_sees_who_is_there_and_is_offered_no_change(signed_in: Console) -> None:
    page = await signed_in.get(f"/projects/{OTHER_PROJECT}/members")
    assert "ada@example.com" in page.text
    assert "Invite someone" not in page.text
    assert "/remove" not in page.text


async def test_somebody_who_is_no_member_is_not_there(signed_in: Console) -> None:
    assert (await signed_in.get(signed_in.project("members/nobody/role"))).status == 404


def test_every_role_is_explained() -> None:
    assert [role for role, _ in ROLES] == ["member", "admin", "owner"]
    assert all(words.endswith(".") for _, words in ROLES)


@pytest.mark.parametrize("email", ["", ".", "..", " ", "bob"])
async def test_what_is_no_address_withdraws_nothing_and_says_what_to_do(signed_in: Console, email: str) -> None:
    page = await signed_in.submit(signed_in.project("members/withdraw"), {"email": email})
    assert page.status == 422
    assert "Choose the invite to withdraw" in page.text
    assert not [call for call in signed_in.api.calls if call[0] == "DELETE"]


async def test_a_form_that_was_refused_speaks_of_its_own_labels(signed_in: Console) -> None:
    text = "Unusable parameters: email: got an empty text; allowed: an e-mail address. Correct this and send it again."
    signed_in.api.refuse["/invites"] = lambda: refusal(400, "Bad Request", text)
    page = await signed_in.submit(signed_in.project("members/invite"), {"email": "", "role": "member"})
    assert page.status == 422
    assert "E-mail: got an empty text; allowed: an e-mail address." in page.text
    assert "Unusable parameters" not in page.text
