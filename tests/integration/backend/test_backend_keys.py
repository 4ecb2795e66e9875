"""API keys over HTTP, with PostgreSQL and Redis behind: made, listed, revoked, rotated, and seen by admission."""

from datetime import UTC, datetime, timedelta
from typing import Any

import redis.asyncio as redis

from aldea.credentials import checksum_ok, sha256_hex
from aldea.redis.schema import CredentialRecord, ProjectRecord, credential_key, project_key
from aldea.usage.envelope import Stamped
from backend.api.authentication import AUTHENTICATOR
from backend.keys.last_used import write_once
from backend.keys.models import MAX_TTL_SECONDS
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant, sign_in
from tests.readings import reading


async def record(redis_client: redis.Redis, key: str) -> CredentialRecord:
    stored: Any = await redis_client.hgetall(credential_key(sha256_hex(key)))
    return CredentialRecord.from_hash(stored)


async def make_key(api: Api, tenant: Tenant, **body: Any) -> Any:
    body = {"comment": "made by a test", "scopes": ["usage:write"], **body}
    return await api.call("POST", f"/v1/projects/{tenant.project_id}/keys", tenant.key, body)


async def test_a_new_key_is_in_redis_before_its_text_is_returned(
    api: Api, ann: Tenant, redis_client: redis.Redis
) -> None:
    made = await make_key(api, ann, scopes=["usage:write", "usage:read"], tags=["prod"])
    assert made["propagation"] == "complete"
    assert checksum_ok(made["key"])
    stored = await record(redis_client, made["key"])
    assert stored.kind == "key"
    assert stored.state == "active"
    assert (stored.project_id, stored.key_id) == (ann.project_id, made["api_key_id"])
    assert stored.scopes == {"usage:write", "usage:read"}


async def test_no_text_of_a_key_is_stored_anywhere(api: Api, ann: Tenant, redis_client: redis.Redis) -> None:
    made = await make_key(api, ann)
    async with api.database.connection() as connection:
        rows = await connection.fetch("select to_jsonb(api_keys)::text from api_keys")
        rows += await connection.fetch("select to_jsonb(audit_log)::text from audit_log")
    assert len(rows) > 2
    assert not [row for row in rows if made["key"] in row[0]]
    for name in await redis_client.keys():
        if await redis_client.type(name) == "hash":
            assert made["key"] not in str(await redis_client.hgetall(name))


async def test_keys_are_listed_with_their_member_and_by_their_last_characters(api: Api, ann: Tenant) -> None:
    made = await make_key(api, ann, comment="second", tags=["a", "b", "a"])
    listed = (await api.call("GET", f"/v1/projects/{ann.project_id}/keys", ann.key))["api_keys"]
    assert [row["api_key"]["api_key_id"] for row in listed] == [ann.key_id, made["api_key_id"]]
    assert listed[1]["member"] == {"member_id": ann.user_id, "email": ann.email}
    assert listed[1]["api_key"]["last4"] == made["key"][-4:]
    assert listed[1]["api_key"]["tags"] == ["a", "b"]
    one = await api.call("GET", f"/v1/projects/{ann.project_id}/keys/{made['api_key_id']}", ann.key)
    assert one["item"]["member"]["first_name"] == "ann"
    assert one["item"]["member"]["api_key"] == listed[1]["api_key"]


async def test_a_revoked_key_is_stored_as_revoked_and_opens_nothing(
    api: Api, ann: Tenant, redis_client: redis.Redis
) -> None:
    made = await make_key(api, ann, scopes=["project:read"])
    path = f"/v1/projects/{ann.project_id}"
    await api.call("GET", path, made["key"])
    revoked = await api.call("DELETE", f"{path}/keys/{made['api_key_id']}", ann.key)
    assert revoked["propagation"] == "complete"
    assert (await record(redis_client, made["key"])).state == "revoked"
    error = await api.call("GET", path, made["key"], status=401)
    assert error["err_code"] == "INVALID_AUTH"
    await api.call("DELETE", f"{path}/keys/{made['api_key_id']}", ann.key, status=404)
    await api.call("GET", f"{path}/keys/{made['api_key_id']}", ann.key, status=404)


async def test_a_key_with_an_expiry_is_known_by_it(api: Api, ann: Tenant, redis_client: redis.Redis) -> None:
    made = await make_key(api, ann, time_to_live_in_seconds=MAX_TTL_SECONDS)
    stored = await record(redis_client, made["key"])
    assert stored.expires_ms is not None
    past = await api.call(
        "POST",
        f"/v1/projects/{ann.project_id}/keys",
        ann.key,
        {"comment": "", "scopes": ["usage:read"], "expiration_date": "2020-01-01T00:00:00Z"},
        status=400,
    )
    assert "past" in past["err_msg"]


async def test_expired_keys_are_listed_apart_from_active_ones(api: Api, ann: Tenant) -> None:
    made = await make_key(api, ann, time_to_live_in_seconds=600)
    async with api.database.connection() as connection:
        await connection.execute("update api_keys set expires = now() where key_id = $1", made["api_key_id"])
    path = f"/v1/projects/{ann.project_id}/keys"

    async def listed(status: str) -> list[str]:
        rows = (await api.call("GET", f"{path}?status={status}", ann.key))["api_keys"]
        return [row["api_key"]["api_key_id"] for row in rows]

    assert await listed("expired") == [made["api_key_id"]]
    assert await listed("active") == [ann.key_id]
    await api.call("GET", f"{path}?status=lost", ann.key, status=400)


async def test_nobody_hands_on_a_scope_that_they_lack(api: Api, ann: Tenant) -> None:
    weak = await make_key(api, ann, scopes=["keys:write", "keys:read"])
    path = f"/v1/projects/{ann.project_id}/keys"
    for scopes in (["usage:write"], ["keys:read", "owner"], ["member"]):
        refused = await api.call("POST", path, weak["key"], {"comment": "", "scopes": scopes}, status=403)
        assert refused["err_code"] == "INSUFFICIENT_PERMISSIONS"
    await api.call("POST", f"{path}/{ann.key_id}/rotate", weak["key"], {}, status=403)
    await api.call("POST", path, weak["key"], {"comment": "", "scopes": ["keys:read"]})


async def test_a_rotated_key_stays_good_for_the_overlap_only(api: Api, ann: Tenant, redis_client: redis.Redis) -> None:
    old = await make_key(api, ann, comment="robot", tags=["t"], scopes=["project:read"])
    path = f"/v1/projects/{ann.project_id}"
    new = await api.call(
        "POST", f"{path}/keys/{old['api_key_id']}/rotate", ann.key, {"overlap_seconds": 600}, status=201
    )
    assert (new["comment"], new["tags"], new["scopes"]) == ("robot", ["t"], ["project:read"])
    assert new["replaces"] == old["api_key_id"]
    for key in (old["key"], new["key"]):
        await api.call("GET", path, key)
    assert (await record(redis_client, old["key"])).expires_ms is not None
    assert (await record(redis_client, new["key"])).expires_ms is None
    at_once = f"{path}/keys/{new['api_key_id']}/rotate"
    await api.call("POST", at_once, ann.key, {"overlap_seconds": 0}, status=201)
    await api.call("GET", path, new["key"], status=401)


async def test_the_last_use_of_a_key_is_written_down(api: Api, ann: Tenant) -> None:
    path = f"/v1/projects/{ann.project_id}/keys/{ann.key_id}"
    assert (await api.call("GET", path, ann.key))["item"]["member"]["api_key"]["last_used"] is None
    await write_once(api.database, api.client.app[AUTHENTICATOR])
    assert (await api.call("GET", path, ann.key))["item"]["member"]["api_key"]["last_used"] is not None


async def test_what_a_key_transcribes_is_a_use_of_it(api: Api, ann: Tenant) -> None:
    made = await make_key(api, ann)
    path = f"/v1/projects/{ann.project_id}/keys"

    async def last_used() -> datetime | None:
        one = (await api.call("GET", f"{path}/{made['api_key_id']}", ann.key))["item"]["member"]["api_key"]
        listed = {
            row["api_key"]["api_key_id"]: row["api_key"] for row in (await api.call("GET", path, ann.key))["api_keys"]
        }
        assert listed[made["api_key_id"]] == one
        return None if one["last_used"] is None else datetime.fromisoformat(one["last_used"])

    assert await last_used() is None
    began = datetime(2026, 3, 31, 23, 59, 59, 5000, tzinfo=UTC)
    for when in (began, began - timedelta(days=40)):
        used = reading(project_id=ann.project_id, key_id=made["api_key_id"], started_ms=round(when.timestamp() * 1000))
        await Writer(api.database).merge(reduce_batch([Stamped(used, 0)]))
    assert await last_used() == began


async def test_a_deleted_project_is_suspended_in_redis_with_all_its_keys_revoked(
    api: Api, ann: Tenant, redis_client: redis.Redis
) -> None:
    made = await make_key(api, ann)
    await api.call("DELETE", f"/v1/projects/{ann.project_id}", await sign_in(api, ann.email))
    assert (await record(redis_client, made["key"])).state == "revoked"
    stored: Any = await redis_client.hgetall(project_key(ann.project_id))
    assert ProjectRecord.from_hash(stored).state == "suspended"
    await api.call("GET", f"/v1/projects/{ann.project_id}", ann.key, status=401)


async def test_a_key_is_read_from_the_top_and_from_its_item_alike(api: Api, ann: Tenant) -> None:
    one = await api.call("GET", f"/v1/projects/{ann.project_id}/keys/{ann.key_id}", ann.key)
    member = {"member_id": ann.user_id, "email": ann.email, "first_name": "ann", "last_name": "Doe"}
    assert one["member"] == member
    assert one["item"] == {"member": {**member, "api_key": one["api_key"]}}
    assert one["api_key"]["api_key_id"] == ann.key_id


async def test_a_whole_number_with_a_point_and_a_null_for_nothing_are_taken(api: Api, ann: Tenant) -> None:
    made = await make_key(api, ann, time_to_live_in_seconds=300.0, tags=None, expiration_date=None)
    assert made["tags"] == []
    ends = datetime.fromisoformat(made["expiration_date"])
    assert timedelta(seconds=240) < ends - datetime.now(UTC) <= timedelta(seconds=300)
    rotate = f"/v1/projects/{ann.project_id}/keys/{made['api_key_id']}/rotate"
    assert (await api.call("POST", rotate, ann.key, {"overlap_seconds": None}, status=201))["replaces"]
    body = {"comment": "x", "scopes": ["usage:write"]}
    for wrong, says in (
        ({"time_to_live_in_seconds": 300.5}, "time_to_live_in_seconds: got 300.5; allowed: a whole number"),
        ({"time_to_live_in_seconds": 0.0}, "time_to_live_in_seconds: got 0; allowed: 1 or more"),
        ({"scopes": None, "tags": None}, "scopes: got null; allowed: a list"),
        ({"tags": [None]}, "tags[0]: got null; allowed: a text"),
    ):
        error = await api.call("POST", f"/v1/projects/{ann.project_id}/keys", ann.key, {**body, **wrong}, status=400)
        assert says in error["err_msg"]
