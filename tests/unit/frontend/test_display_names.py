from tests.fakes.platform_api import refusal
from tests.unit.frontend.conftest import Console


async def test_usage_is_distinguished_by_key_and_by_who_was_in_the_playground(signed_in: Console) -> None:
    key = signed_in.api.add_key("server")["api_key_id"]
    member = signed_in.api.members[0]["member_id"]
    page = await signed_in.get(signed_in.project("usage"))
    assert f'<option value="{key}">server (…x7Qz)</option>' in page.text
    assert f'<option value="{member}">ada@example.com, playground</option>' in page.text


async def test_a_page_does_without_names_that_the_api_refuses(signed_in: Console) -> None:
    for what in ("/keys", "/members"):
        signed_in.api.refuse[what] = lambda: refusal(403, "INSUFFICIENT_PERMISSIONS", "No.")
    assert (await signed_in.get(signed_in.project("usage"))).status == 200


async def test_a_session_that_has_ended_is_not_passed_over(signed_in: Console) -> None:
    signed_in.api.refuse["/keys"] = lambda: refusal(401, "INVALID_AUTH", "Ended.")
    assert (await signed_in.get(signed_in.project("usage"))).path.startswith("/login")
