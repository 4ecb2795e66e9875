"""Removed, demoted, or deleted: nothing that a member made lets them back in, and an owner can keep what is in use."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis.asyncio as redis

from aldea.credentials import sha256_hex
from aldea.redis.schema import CredentialRecord, credential_key
from tests.integration.conftest import Api, Tenant, make_tenant, sign_in

EVERYTHING = ["admin"]
Join = Callable[[Tenant, str], Awaitable[str]]


@pytest.fixture
async def owner(api: Api, ann: Tenant) -> str:
    return await sign_in(api, ann.email)


@pytest.fixture
def join(api: Api, ann: Tenant, owner: str) -> Join:
    """Make somebody a member of Ann's project; a session of theirs."""

    async def invite_and_accept(who: Tenant, role: str) -> str:
        path, body = f"/v1/projects/{ann.project_id}/invites", {"email": who.email, "scope": role}
        token = (await api.call("POST", path, owner, body))["token"]
        session = await sign_in(api, who.email)
        await api.call("POST", "/v1/invites/accept", session, {"token": token})
        return session

    return invite_and_accept


async def make_key(api: Api, project_id: str, credential: str, *scopes: str, comment: str = "theirs") -> Any:
    body = {"comment": comment, "scopes": list(scopes)}
    return await api.call("POST", f"/v1/projects/{project_id}/keys", credential, body)


async def record(redis_client: redis.Redis, key: Any) -> CredentialRecord:
    stored: Any = await redis_client.hgetall(credential_key(sha256_hex(key["key"])))
    return CredentialRecord.from_hash(stored)


async def invite(api: Api, project_id: str, credential: str, email: str, role: str = "admin") -> str:
    body = {"email": email, "scope": role}
    return str((await api.call("POST", f"/v1/projects/{project_id}/invites", credential, body))["token"])


@pytest.mark.parametrize("way", ["removed", "demoted", "left"])
async def test_nobody_readmits_themselves_by_a_key_or_an_invite_that_they_made(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Join, redis_client: redis.Redis, way: str
) -> None:
    session = await join(bob, "admin")
    path = f"/v1/projects/{ann.project_id}"
    key = await make_key(api, ann.project_id, session, *EVERYTHING)
    child = await make_key(api, ann.project_id, key["key"], *EVERYTHING)
    # Rotation makes a key too, whoever made the one before.
    anns = await make_key(api, ann.project_id, owner, *EVERYTHING)
    rotated = await api.call("POST", f"{path}/keys/{anns['api_key_id']}/rotate", session, {}, status=201)
    puppet = await make_tenant(api, "puppet")
    tokens = [
        await invite(api, ann.project_id, session, puppet.email),
        await invite(api, ann.project_id, key["key"], "other@example.com"),
    ]
    match way:
        case "removed":
            done = await api.call("DELETE", f"{path}/members/{bob.user_id}", owner)
        case "demoted":
            done = await api.call("PUT", f"{path}/members/{bob.user_id}/scopes", owner, {"scope": "member"})
        case _:
            done = await api.call("DELETE", f"{path}/leave", session)
    assert done["propagation"] == "complete"
    assert {one["api_key_id"] for one in done["keys_revoked"]} == {one["api_key_id"] for one in (key, child, rotated)}
    assert done["invites_withdrawn"] == ["other@example.com", puppet.email]
    assert done["keys_kept"] == []
    for made in (key, child, rotated):
        assert (await record(redis_client, made)).state == "revoked"
        for method, place, body in (
            ("PUT", f"/members/{bob.user_id}/scopes", {"scope": "admin"}),
            ("POST", "/invites", {"email": bob.email, "scope": "admin"}),
        ):
            await api.call(method, path + place, made["key"], body, status=401)
    puppets = await sign_in(api, puppet.email)
    for token in tokens:
        await api.call("POST", "/v1/invites/accept", puppets, {"token": token}, status=404)
    assert (await api.call("GET", f"{path}/invites", owner))["invites"] == []
    # What others made is untouched.
    await api.call("GET", path, ann.key)


async def test_a_demoted_member_keeps_the_keys_that_their_role_may_have(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Join, redis_client: redis.Redis
) -> None:
    session = await join(bob, "admin")
    transcribes = await make_key(api, ann.project_id, session, "usage:write")
    path = f"/v1/projects/{ann.project_id}/members/{bob.user_id}/scopes"
    done = await api.call("PUT", path, owner, {"scope": "member"})
    assert done["keys_revoked"] == []
    assert (await record(redis_client, transcribes)).state == "active"
    # Up again, nothing is taken.
    assert (await api.call("PUT", path, owner, {"scope": "admin"}))["invites_withdrawn"] == []


@pytest.mark.parametrize("way", ["removed", "demoted"])
async def test_an_owner_keeps_the_keys_in_use_which_manage_nothing_any_more(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Join, redis_client: redis.Redis, way: str
) -> None:
    session = await join(bob, "admin")
    used = await make_key(api, ann.project_id, session, *EVERYTHING, comment="used")
    manages = await make_key(api, ann.project_id, session, "keys:write", "members:write", comment="manages")
    path = f"/v1/projects/{ann.project_id}"
    change: Any = (
        ("DELETE", f"{path}/members/{bob.user_id}?keys=keep", None)
        if way == "removed"
        else ("PUT", f"{path}/members/{bob.user_id}/scopes?keys=keep", {"scope": "member"})
    )
    method, place, body = change
    # Neither an admin nor a key may say so.
    carol = await make_tenant(api, "carol")
    for credential in (await join(carol, "admin"), ann.key):
        await api.call(method, place, credential, body, status=403)
    done = await api.call(method, place, owner, body)
    assert [one["comment"] for one in done["keys_kept"]] == ["used"]
    assert [one["comment"] for one in done["keys_revoked"]] == ["manages"]
    kept = await record(redis_client, used)
    assert kept.state == "active"
    assert "usage:write" in kept.scopes
    assert not {"keys:write", "members:write", "project:write"} & kept.scopes
    assert (await record(redis_client, manages)).state == "revoked"
    await api.call("POST", f"{path}/invites", used["key"], {"email": bob.email, "scope": "admin"}, status=403)
    [shown] = [
        one for one in (await api.call("GET", f"{path}/keys", owner))["api_keys"] if one["api_key"]["comment"] == "used"
    ]
    assert shown["member"]["email"] == ann.email


async def test_an_owner_who_leaves_can_leave_their_keys_to_another(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Join, redis_client: redis.Redis
) -> None:
    path = f"/v1/projects/{ann.project_id}"
    # There is no owner left to keep them.
    await api.call("DELETE", f"{path}/leave?keys=keep", owner, status=409)
    session = await join(bob, "owner")
    key = await make_key(api, ann.project_id, owner, "usage:write", comment="in use")
    await api.call("DELETE", f"{path}/leave?keys=keep", owner)
    assert (await record(redis_client, key)).state == "active"
    found = (await api.call("GET", f"{path}/keys", session))["api_keys"]
    assert {one["member"]["email"] for one in found} == {bob.email}


async def test_an_owner_who_hands_the_project_over_keeps_their_keys_and_loses_their_open_invites(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Join
) -> None:
    session = await join(bob, "owner")
    token = await invite(api, ann.project_id, owner, "carol@example.com", "owner")
    path = f"/v1/projects/{ann.project_id}/members/{ann.user_id}/scopes"
    done = await api.call("PUT", path, session, {"scope": "admin"})
    assert (done["keys_revoked"], done["invites_withdrawn"]) == ([], ["carol@example.com"])
    carol = await make_tenant(api, "carol")
    await api.call("POST", "/v1/invites/accept", await sign_in(api, carol.email), {"token": token}, status=404)
    await api.call("GET", f"/v1/projects/{ann.project_id}", ann.key)


async def test_a_key_manages_only_while_its_maker_may(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Join
) -> None:
    session = await join(bob, "admin")
    key = await make_key(api, ann.project_id, session, *EVERYTHING)
    waiting = await invite(api, ann.project_id, session, "carol@example.com", "member")
    path = f"/v1/projects/{ann.project_id}"
    body = {"email": "dora@example.com", "scope": "member"}
    await api.call("POST", f"{path}/invites", key["key"], body)
    # As an earlier release left it: the role is lower, and nothing was revoked or withdrawn with it.
    async with api.database.connection() as connection:
        await connection.execute("update memberships set role = 'member' where user_id = $1", bob.user_id)
        await connection.execute("select pg_notify('platform_changes', $1)", f"user:{bob.user_id}")
    carol = await sign_in(api, (await make_tenant(api, "carol")).email)
    await api.call("POST", "/v1/invites/accept", carol, {"token": waiting}, status=404)
    for method, place, sent in (
        ("POST", "/invites", body),
        ("PUT", f"/members/{bob.user_id}/scopes", {"scope": "admin"}),
        ("POST", "/keys", {"comment": "", "scopes": ["usage:read"]}),
        ("PATCH", "", {"name": "mine"}),
    ):
        await api.call(method, path + place, key["key"], sent, status=403)
    await api.call("GET", path, key["key"])
    async with api.database.connection() as connection:
        await connection.execute("delete from memberships where user_id = $1 and role = 'member'", bob.user_id)
    await api.call("POST", f"{path}/invites", key["key"], body, status=403)


async def test_keys_and_invites_that_are_made_beside_a_removal_do_not_survive_it(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Join, redis_client: redis.Redis
) -> None:
    path = f"/v1/projects/{ann.project_id}"
    for number in range(4):
        session = await join(bob, "admin")
        key = await make_key(api, ann.project_id, session, *EVERYTHING)
        body = {"comment": "", "scopes": EVERYTHING}
        made = [
            api.call("POST", f"{path}/keys", credential, body, status=None)
            for credential in (session, key["key"], session)
        ]
        invited = {"email": f"friend{number}@example.com", "scope": "admin"}
        made += [
            api.call("POST", f"{path}/invites", credential, invited, status=None)
            for credential in (session, key["key"])
        ]
        removal = api.call("DELETE", f"{path}/members/{bob.user_id}", owner)
        # The removal goes somewhere among the others.
        *responses, _ = await asyncio.gather(*made, removal)
        assert {status for status, _ in responses} <= {200, 401, 403, 404}
        for status, one in responses[:3]:
            assert status != 200 or (await record(redis_client, one)).state == "revoked"
        assert (await api.call("GET", f"{path}/invites", owner))["invites"] == []


async def test_an_invite_that_is_accepted_beside_its_makers_removal_lets_in_before_it_or_not_at_all(
    api: Api, ann: Tenant, bob: Tenant, owner: str, join: Join
) -> None:
    carol = await make_tenant(api, "carol")
    carols = await sign_in(api, carol.email)
    path = f"/v1/projects/{ann.project_id}"
    for _ in range(4):
        session = await join(bob, "admin")
        token = await invite(api, ann.project_id, session, carol.email)
        (status, _), removed = await asyncio.gather(
            api.call("POST", "/v1/invites/accept", carols, {"token": token}, status=None),
            api.call("DELETE", f"{path}/members/{bob.user_id}", owner),
        )
        assert status == (404 if removed["invites_withdrawn"] else 200)
        await api.call("POST", "/v1/invites/accept", carols, {"token": token}, status=404)
        if status == 200:
            await api.call("DELETE", f"{path}/members/{carol.user_id}", owner)
