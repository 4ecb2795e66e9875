"""Keys and invites that keys make: none outlives or exceeds its maker, and a revocation can take them along."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis.asyncio as redis

from aldea.credentials import sha256_hex
from aldea.redis.schema import CredentialRecord, credential_key
from tests.integration.conftest import Api, Tenant, sign_in


class Keys:
    """Ann's keys, made and changed with whatever credential."""

    def __init__(self, api: Api, ann: Tenant, redis_client: redis.Redis) -> None:
        self.api, self.ann, self.redis = api, ann, redis_client
        self.path = f"/v1/projects/{ann.project_id}/keys"

    async def make(self, credential: str, status: int = 200, **body: Any) -> Any:
        body = {"comment": "made by a test", "scopes": ["admin"], **body}
        return await self.api.call("POST", self.path, credential, body, status=status)

    async def rotate(self, credential: str, key: Any, status: int = 201, **body: Any) -> Any:
        return await self.api.call("POST", f"{self.path}/{key['api_key_id']}/rotate", credential, body, status=status)

    async def revoke(self, credential: str, key: Any, query: str = "", status: int = 200) -> Any:
        return await self.api.call("DELETE", f"{self.path}/{key['api_key_id']}{query}", credential, status=status)

    async def state(self, key: Any) -> str:
        stored: Any = await self.redis.hgetall(credential_key(sha256_hex(key["key"])))
        return CredentialRecord.from_hash(stored).state


@pytest.fixture
def keys(api: Api, ann: Tenant, redis_client: redis.Redis) -> Keys:
    return Keys(api, ann, redis_client)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_key_that_a_key_makes_never_outlives_it(keys: Keys, ann: Tenant) -> None:
    maker = await keys.make(ann.key, time_to_live_in_seconds=60)
    ends = maker["expiration_date"]
    child = await keys.make(maker["key"])
    assert child["expiration_date"] == ends
    assert (await keys.make(child["key"]))["expiration_date"] == ends
    assert (await keys.make(maker["key"], expiration_date=ends))["expiration_date"] == ends
    sooner = (at(ends) - timedelta(seconds=30)).isoformat()
    assert at((await keys.make(maker["key"], expiration_date=sooner))["expiration_date"]) == at(sooner)
    later = (at(ends) + timedelta(milliseconds=1)).isoformat()
    for lifetime in ({"expiration_date": later}, {"time_to_live_in_seconds": 3600}):
        error = await keys.make(maker["key"], status=400, **lifetime)
        assert ends[:23] in error["err_msg"]
    # A key without an end makes ones without an end; so does a person.
    assert (await keys.make(ann.key))["expiration_date"] is None


async def test_a_key_that_a_key_rotates_never_outlives_it_and_is_no_wider(keys: Keys, ann: Tenant) -> None:
    endless = await keys.make(ann.key)
    maker = await keys.make(ann.key, time_to_live_in_seconds=60)
    rotated = await keys.rotate(maker["key"], endless)
    assert rotated["expiration_date"] == maker["expiration_date"]
    narrow = await keys.make(ann.key, scopes=["keys:write"])
    await keys.rotate(narrow["key"], rotated, status=403)
    await keys.make(narrow["key"], scopes=["usage:read"], status=403)


async def test_revoking_a_key_finds_what_it_rotated_itself_into(keys: Keys, ann: Tenant) -> None:
    leaked = await keys.make(ann.key)
    child = await keys.make(leaked["key"])
    second = await keys.rotate(leaked["key"], leaked)
    third = await keys.rotate(second["key"], second)
    grandchild = await keys.make(third["key"])
    invite = {"email": "thief@example.com", "scope": "member"}
    await keys.api.call("POST", f"/v1/projects/{ann.project_id}/invites", third["key"], invite)
    listed = await keys.api.call("GET", f"{keys.path}/{leaked['api_key_id']}", ann.key)
    family = {key["api_key_id"] for key in (child, second, third, grandchild)}
    assert {one["api_key_id"] for one in listed["made"]} == family
    assert listed["invites"] == [invite["email"]]
    done = await keys.revoke(ann.key, leaked, "?children=revoke")
    assert {one["api_key_id"] for one in done["children"]} == family
    for key in (leaked, child, second, third, grandchild):
        assert await keys.state(key) == "revoked"


async def test_what_somebody_rotates_a_leaked_key_into_stays_when_the_old_one_is_revoked(
    keys: Keys, ann: Tenant
) -> None:
    leaked = await keys.make(ann.key)
    own = await keys.rotate(ann.key, leaked)
    assert (await keys.revoke(ann.key, leaked, "?children=revoke"))["children"] == []
    assert await keys.state(own) == "active"


async def test_a_key_that_rotates_itself_is_succeeded_and_keeps_its_children(keys: Keys, ann: Tenant) -> None:
    maker = await keys.make(ann.key, time_to_live_in_seconds=3600)
    child = await keys.make(maker["key"])
    successor = await keys.rotate(maker["key"], maker, overlap_seconds=0)
    assert successor["expiration_date"] == maker["expiration_date"]
    item = await keys.api.call("GET", f"{keys.path}/{successor['api_key_id']}", ann.key)
    assert item["item"]["member"]["api_key"]["made_by"] == maker["api_key_id"]
    assert [one["api_key_id"] for one in item["made"]] == [child["api_key_id"]]


async def test_revoking_a_maker_lists_what_it_made_and_revokes_it_too_on_request(
    keys: Keys, ann: Tenant, bob: Tenant
) -> None:
    maker = await keys.make(ann.key)
    child = await keys.make(maker["key"], comment="child")
    grandchild = await keys.make(child["key"], comment="grandchild")
    other = await keys.make(ann.key)
    invites = f"/v1/projects/{ann.project_id}/invites"
    await keys.api.call("POST", invites, child["key"], {"email": bob.email, "scope": "member"})
    shown = await keys.api.call("GET", f"{keys.path}/{maker['api_key_id']}", ann.key)
    assert [one["comment"] for one in shown["made"]] == ["child", "grandchild"]
    assert shown["invites"] == [bob.email]
    await keys.revoke(ann.key, maker, "?children=all", status=400)
    kept = await keys.revoke(ann.key, maker)
    assert [one["comment"] for one in kept["children"]] == ["child", "grandchild"]
    assert (kept["invites"], kept["children_revoked"]) == ([bob.email], False)
    assert [await keys.state(one) for one in (maker, child, grandchild)] == ["revoked", "active", "active"]
    # What a revoked key left can still be revoked afterwards, once.
    gone = await keys.revoke(ann.key, maker, "?children=revoke")
    assert gone["children_revoked"]
    assert [await keys.state(one) for one in (child, grandchild, other)] == ["revoked", "revoked", "active"]
    assert (await keys.api.call("GET", invites, ann.key))["invites"] == []
    await keys.revoke(ann.key, maker, "?children=revoke", status=404)
    await keys.revoke(ann.key, maker, status=404)


async def test_no_other_project_reaches_a_keys_children_or_invites(keys: Keys, ann: Tenant, bob: Tenant) -> None:
    maker = await keys.make(ann.key)
    child = await keys.make(maker["key"])
    await keys.api.call(
        "POST", f"/v1/projects/{ann.project_id}/invites", maker["key"], {"email": "c@x", "scope": "member"}
    )
    path = f"/v1/projects/{bob.project_id}/keys/{maker['api_key_id']}"
    await keys.api.call("DELETE", f"{path}?children=revoke", bob.key, status=404)
    assert await keys.state(child) == "active"
    assert (await keys.api.call("GET", f"/v1/projects/{ann.project_id}/invites", ann.key))["invites"]


async def test_an_invite_that_a_key_makes_ends_with_it(keys: Keys, ann: Tenant, bob: Tenant) -> None:
    maker = await keys.make(ann.key, time_to_live_in_seconds=60)
    path = f"/v1/projects/{ann.project_id}/invites"
    made = await keys.api.call("POST", path, maker["key"], {"email": bob.email, "scope": "member"})
    assert made["expires"] == maker["expiration_date"]
    again = await keys.api.call("POST", path, ann.key, {"email": bob.email, "scope": "member"})
    assert at(again["expires"]) > at(made["expires"])


async def test_a_token_of_a_key_never_outlives_it(keys: Keys, ann: Tenant) -> None:
    maker = await keys.make(ann.key, time_to_live_in_seconds=60)
    granted = await keys.api.call("POST", "/v1/auth/grant", maker["key"], {"ttl_seconds": 3600})
    assert 0 < granted["expires_in"] <= 60


async def test_a_key_that_is_revoked_while_it_makes_another_leaves_none_behind(keys: Keys, ann: Tenant) -> None:
    owner = await sign_in(keys.api, ann.email)
    for _ in range(5):
        maker = await keys.make(owner)
        body = {"comment": "", "scopes": ["usage:write"]}
        making = [keys.api.call("POST", keys.path, maker["key"], body, status=None) for _ in range(4)]
        revoking = keys.api.call("DELETE", f"{keys.path}/{maker['api_key_id']}?children=revoke", owner)
        *made, revoked = await asyncio.gather(*making, revoking)
        found = {one["api_key_id"] for status, one in made if status == 200}
        assert {one["api_key_id"] for one in revoked["children"]} == found
        assert {status for status, _ in made} <= {200, 401}
        for status, one in made:
            assert status == 401 or await keys.state(one) == "revoked"
