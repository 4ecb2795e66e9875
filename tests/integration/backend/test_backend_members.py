"""Members and invites over HTTP: who joins, who may change whom, and that an owner always stays."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from backend.members import service
from tests.integration.conftest import Api, Tenant, sign_in


@pytest.fixture
async def owner(api: Api, ann: Tenant) -> str:
    """A session of Ann, who owns her project."""
    return await sign_in(api, ann.email)


@pytest.fixture
def join(api: Api, ann: Tenant, owner: str) -> Callable[[Tenant, str], Awaitable[str]]:
    """Make somebody a member of Ann's project by an invite; a session of theirs."""

    async def invite_and_accept(who: Tenant, role: str) -> str:
        path, body = f"/v1/projects/{ann.project_id}/invites", {"email": who.email, "scope": role}
        token = (await api.call("POST", path, owner, body))["token"]
        session = await sign_in(api, who.email)
        joined = await api.call("POST", "/v1/invites/accept", session, {"token": token})
        assert joined == {"project_id": ann.project_id, "role": role}
        return session

    return invite_and_accept


async def test_an_invited_person_joins_with_the_invites_role_once(
    api: Api, ann: Tenant, bob: Tenant, owner: str
) -> None:
    path = f"/v1/projects/{ann.project_id}"
    made = await api.call("POST", f"{path}/invites", owner, {"email": "Bob@example.com", "scope": "member"})
    session = await sign_in(api, bob.email)
    await api.call("GET", path, session, status=404)
    [shown] = (await api.call("GET", f"{path}/invites", owner))["invites"]
    assert (shown["email"], shown["scope"]) == ("Bob@example.com", "member")
    assert made["token"] not in str(shown)
    await api.call("POST", "/v1/invites/accept", session, {"token": made["token"]})
    await api.call("GET", path, session)
    assert (await api.call("GET", f"{path}/invites", owner))["invites"] == []
    await api.call("POST", "/v1/invites/accept", session, {"token": made["token"]}, status=404)
    members = (await api.call("GET", f"{path}/members", owner))["members"]
    assert [(member["email"], member["role"]) for member in members] == [(ann.email, "owner"), (bob.email, "member")]
    assert members[1]["first_name"] == "bob"
    scopes = await api.call("GET", f"{path}/members/{bob.user_id}/scopes", owner)
    assert scopes == {"scopes": members[1]["scopes"], "role": "member"}
    await api.call("POST", f"{path}/invites", owner, {"email": bob.email, "scope": "admin"}, status=409)


async def test_an_invite_is_good_for_its_address_only_until_it_is_replaced_withdrawn_or_expires(
    api: Api, ann: Tenant, bob: Tenant, owner: str
) -> None:
    path = f"/v1/projects/{ann.project_id}/invites"
    session = await sign_in(api, bob.email)

    async def invite(email: str = bob.email) -> str:
        return str((await api.call("POST", path, owner, {"email": email, "scope": "member"}))["token"])

    async def refused(token: str) -> None:
        await api.call("POST", "/v1/invites/accept", session, {"token": token}, status=404)

    await refused(await invite("carol@example.com"))
    first = await invite()
    second = await invite("BOB@example.com")
    await refused(first)
    await api.call("DELETE", f"{path}/{quote('bob@EXAMPLE.com', safe='')}", owner)
    await refused(second)
    await api.call("DELETE", f"{path}/{bob.email}", owner, status=404)
    third = await invite()
    async with api.database.connection() as connection:
        await connection.execute("update invites set expires = now()")
    await refused(third)
    assert (await api.call("GET", path, owner))["invites"] == []
    await api.call("GET", f"/v1/projects/{ann.project_id}", session, status=404)


async def test_a_changed_role_counts_from_the_next_request_on(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Any
) -> None:
    session = await join(bob, "member")
    path = f"/v1/projects/{ann.project_id}"
    await api.call("PATCH", path, session, {"name": "mine"}, status=403)
    await api.call("PUT", f"{path}/members/{bob.user_id}/scopes", owner, {"scope": "admin"})
    await api.call("PATCH", path, session, {"name": "mine"})
    await api.call("PUT", f"{path}/members/{bob.user_id}/scopes", owner, {"scope": "member"})
    await api.call("PATCH", path, session, {"name": "mine"}, status=403)
    await api.call("DELETE", f"{path}/members/{bob.user_id}", owner)
    await api.call("GET", path, session, status=404)
    await api.call("DELETE", f"{path}/members/{bob.user_id}", owner, status=404)


async def test_an_admin_neither_makes_nor_unmakes_owners(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Any
) -> None:
    session = await join(bob, "admin")
    path = f"/v1/projects/{ann.project_id}"
    for credential in (session, ann.key):
        await api.call("PUT", f"{path}/members/{bob.user_id}/scopes", credential, {"scope": "owner"}, status=403)
        await api.call("PUT", f"{path}/members/{ann.user_id}/scopes", credential, {"scope": "member"}, status=403)
        await api.call("DELETE", f"{path}/members/{ann.user_id}", credential, status=403)
        await api.call("POST", f"{path}/invites", credential, {"email": "c@x", "scope": "owner"}, status=403)
    await api.call("POST", f"{path}/invites", owner, {"email": "c@x", "scope": "owner"})
    # Neither by withdrawing an owner's invite, nor by putting a lower one in its place.
    await api.call("DELETE", f"{path}/invites/c@x", session, status=403)
    await api.call("POST", f"{path}/invites", session, {"email": "c@x", "scope": "member"}, status=403)
    await api.call("POST", f"{path}/invites", session, {"email": "d@x", "scope": "admin"})


async def test_the_last_owner_neither_leaves_nor_is_demoted_nor_removed(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Any
) -> None:
    path = f"/v1/projects/{ann.project_id}"
    await join(bob, "owner")
    await api.call("PUT", f"{path}/members/{bob.user_id}/scopes", owner, {"scope": "admin"})
    await api.call("DELETE", f"{path}/leave", owner, status=409)
    await api.call("DELETE", f"{path}/members/{ann.user_id}", owner, status=409)
    await api.call("PUT", f"{path}/members/{ann.user_id}/scopes", owner, {"scope": "admin"}, status=409)
    await api.call("PUT", f"{path}/members/{ann.user_id}/scopes", owner, {"scope": "owner"})
    await api.call("PUT", f"{path}/members/{bob.user_id}/scopes", owner, {"scope": "owner"})
    await api.call("DELETE", f"{path}/leave", owner)
    await api.call("GET", path, owner, status=404)


async def test_two_owners_who_leave_at_once_do_not_both_go(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Any
) -> None:
    sessions = [owner, await join(bob, "owner")]
    path = f"/v1/projects/{ann.project_id}/leave"
    responses = await asyncio.gather(*(api.call("DELETE", path, session, status=None) for session in sessions))
    assert sorted(status for status, _ in responses) == [200, 409]


async def test_a_key_leaves_nothing_and_a_member_may_leave(api: Api, ann: Tenant, bob: Tenant, join: Any) -> None:
    path = f"/v1/projects/{ann.project_id}"
    await api.call("DELETE", f"{path}/leave", ann.key, status=403)
    session = await join(bob, "member")
    await api.call("DELETE", f"{path}/leave", session)
    await api.call("GET", path, session, status=404)


async def test_members_and_invites_are_bounded(
    api: Api, ann: Tenant, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_MEMBERS", 2)
    path = f"/v1/projects/{ann.project_id}/invites"
    await api.call("POST", path, owner, {"email": "a@x", "scope": "member"})
    await api.call("POST", path, owner, {"email": "b@x", "scope": "member"}, status=409)
    await api.call("POST", path, owner, {"email": "A@x", "scope": "admin"})


async def test_a_name_in_the_path_that_cannot_be_stored_is_not_found(api: Api, ann: Tenant, owner: str) -> None:
    await api.call("DELETE", f"/v1/projects/{ann.project_id}/invites/a%00@x", owner, status=404)
    await api.call("DELETE", f"/v1/projects/{ann.project_id}/invites/a%2Fb@x", owner, status=404)
    await api.call("GET", f"/v1/projects/{ann.project_id}/keys?status=%00", owner, status=400)


async def test_an_invite_of_any_address_can_be_withdrawn(api: Api, ann: Tenant) -> None:
    path, session = f"/v1/projects/{ann.project_id}/invites", await sign_in(api, ann.email)
    for email in ("{bob}@example.com", "b/ob@example.com", "b%7Bob@example.com", "bob+a@example.com", "b}o{b@x.org"):
        await api.call("POST", path, session, {"email": email, "scope": "member"})
        await api.call("DELETE", f"{path}/{quote(email, safe='')}", session)
        # As some clients write it: braces and the at sign as they are.
        await api.call("POST", path, session, {"email": email, "scope": "member"})
        written = URL(f"{api.url.rstrip('/')}{path}/{quote(email, safe='{}@')}", encoded=True)
        async with api.client.session.delete(written, headers={"Authorization": f"Bearer {session}"}) as response:
            assert response.status == 200, await response.text()
    assert (await api.call("GET", path, session))["invites"] == []
