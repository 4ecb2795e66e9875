from tests.fakes.platform_api import NOW, OTHER_PROJECT, refusal
from tests.unit.frontend.conftest import Console


def entry(action: str, target: str, **detail: object) -> dict[str, object]:
    actor = {"kind": "user", "id": "1", "name": "ada@example.com"}
    return {
        "at": NOW.isoformat(), "actor": actor, "action": action, "target": target, "detail": detail, "request_id": None,
    }  # fmt: skip


async def test_changes_name_the_members_and_keys_that_are_there_still(signed_in: Console) -> None:
    member = signed_in.api.add_member("bob@example.com", "member")["member_id"]
    key = signed_in.api.add_key("server <1>")["api_key_id"]
    signed_in.api.audit = [
        entry("member.change", member, role="admin", before="member"),
        entry("key.rotate", key),
    ]
    page = await signed_in.get(signed_in.project("audit"))
    assert "Changed the role of <strong>bob@example.com</strong>" in page.text
    assert "member → admin" in page.text
    assert 'Rotated the key <strong>server &lt;1&gt; <span class="whole">(…x7Qz)</span></strong>' in page.text


async def test_older_changes_are_a_page_away(signed_in: Console) -> None:
    signed_in.api.audit = [entry("project.create", "1")]
    signed_in.api.older = "17"
    page = await signed_in.get(signed_in.project("audit"))
    assert 'href="?page_token=17"' in page.text
    await signed_in.get(signed_in.project("audit?page_token=17"))
    assert signed_in.api.query_of("/audit") == {"limit": "50", "page_token": "17"}


async def test_whoever_is_no_owner_sees_why_and_is_not_offered_the_log(signed_in: Console) -> None:
    signed_in.api.refuse["/audit"] = lambda: refusal(
        403, "INSUFFICIENT_PERMISSIONS", "This needs the scope audit:read."
    )
    page = await signed_in.get(f"/projects/{OTHER_PROJECT}/audit")
    assert page.status == 403
    assert "This needs the scope audit:read." in page.text
    assert "Audit log" not in (await signed_in.get(f"/projects/{OTHER_PROJECT}/settings")).text
