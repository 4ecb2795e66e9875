"""Operators over HTTP: they see every project, change limits and suspend, and the proxies know at once."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError

from aldea.ids import new_request_id
from aldea.redis.errors import RedisUnavailable
from aldea.redis.schema import ProjectRecord, leases_key, project_key
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank
from backend.accounts.operators import appoint
from backend.app import REDIS
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.fakes.stt import FakeStt
from tests.integration.conftest import Api, Tenant, make_tenant, settings_for, sign_in
from tests.readings import reading
from tests.support.proxies import Service

PROJECTS = "/v1/operator/projects"


@pytest.fixture
async def root(api: Api) -> str:
    """A session of an operator."""
    tenant = await make_tenant(api, "root", operator=True)
    return await sign_in(api, tenant.email)


async def test_who_is_appointed_on_the_command_line_is_an_operator_at_once_until_they_are_dismissed(
    api: Api, ann: Tenant, database_url: str
) -> None:
    session = await sign_in(api, ann.email)
    await api.call("GET", PROJECTS, session, status=403)
    for operator in (True, False):
        assert await appoint(settings_for(database_url), ann.email.upper(), operator=operator)
        async with asyncio.timeout(60):
            while (await api.call("GET", PROJECTS, session, status=None))[0] != (200 if operator else 403):
                await asyncio.sleep(0.01)
    assert not await appoint(settings_for(database_url), "nobody@example.com", operator=True)
    async with api.database.connection() as connection:
        lines = await connection.fetch(
            "select action, target from audit_log where action ~ 'operator' order by audit_id"
        )
    assert list(map(tuple, lines)) == [("operator.appoint", ann.user_id), ("operator.dismiss", ann.user_id)]


async def mirrored(redis_client: redis.Redis, project_id: str) -> ProjectRecord:
    stored: Any = await redis_client.hgetall(project_key(project_id))
    return ProjectRecord.from_hash(stored)


async def lease(redis_client: redis.Redis, project_id: str, request_id: str, seconds: float = 30) -> None:
    now, _ = await redis_client.time()
    await redis_client.zadd(leases_key(project_id), {request_id: (int(now) + seconds) * 1000})


async def test_an_operator_lists_every_project_with_its_owners_limits_and_use(
    api: Api, ann: Tenant, bob: Tenant, root: str, redis_client: redis.Redis
) -> None:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    used = reading(project_id=ann.project_id, key_id=ann.key_id, started_ms=now_ms, rank=Rank.FINAL, audio_ms=1500)
    await Writer(api.database).merge(reduce_batch([Stamped(used, 0)]))
    await lease(redis_client, ann.project_id, "r1")
    await lease(redis_client, ann.project_id, "r2", seconds=-1)
    found = (await api.call("GET", PROJECTS, root))["projects"]
    assert [one["owners"] for one in found] == [["root@example.com"], [bob.email], [ann.email]]
    one = await api.call("GET", f"{PROJECTS}/{ann.project_id}", root)
    assert one == found[2]
    assert (one["name"], one["state"]) == ("ann's project", "active")
    assert one["limits"]["requests_per_minute"] == 600
    assert (one["month_audio_seconds"], one["streams_now"]) == (1.5, 1)


async def test_projects_are_found_by_a_part_of_their_name_an_owners_address_their_id_and_state(
    api: Api, ann: Tenant, bob: Tenant, root: str
) -> None:
    async def found(query: str) -> list[str]:
        return [one["project_id"] for one in (await api.call("GET", f"{PROJECTS}?{query}", root))["projects"]]

    assert await found("q=NN's") == [ann.project_id]
    assert await found("q=bob@") == [bob.project_id]
    assert await found(f"q={bob.project_id.upper()}") == [bob.project_id]
    assert await found("q=%25") == []
    assert await found("q=_nn") == []
    await api.call("POST", f"{PROJECTS}/{bob.project_id}/suspend", root)
    assert await found("state=suspended") == [bob.project_id]
    first = await api.call("GET", f"{PROJECTS}?limit=2", root)
    rest = await api.call("GET", f"{PROJECTS}?limit=2&page_token={first['next_page_token']}", root)
    assert [len(page["projects"]) for page in (first, rest)] == [2, 1]
    assert rest["projects"][0]["project_id"] == ann.project_id
    assert rest["next_page_token"] is None


async def test_changed_limits_are_in_redis_before_the_response_and_absent_ones_stay(
    api: Api, ann: Tenant, root: str, redis_client: redis.Redis
) -> None:
    path = f"{PROJECTS}/{ann.project_id}/limits"
    body = {"requests_per_minute": 7, "monthly_audio_seconds": None}
    assert (await api.call("PATCH", path, root, body))["propagation"] == "complete"
    found = await mirrored(redis_client, ann.project_id)
    assert found == ProjectRecord(
        state="active",
        requests_per_minute=7,
        concurrent_streams=100,
        monthly_audio_ms=None,
        account_id=found.account_id,
    )
    limits = await api.call("GET", f"/v1/projects/{ann.project_id}/limits", ann.key)
    assert (limits["requests_per_minute"], limits["monthly_audio_seconds"]) == (7, None)
    for unusable in ({"requests_per_minute": 0}, {"concurrent_streams": 1.5}, {"monthly_audio_seconds": -1}):
        await api.call("PATCH", path, root, unusable, status=400)


async def test_a_suspension_ends_what_runs_and_opens_nothing_until_the_project_is_resumed(
    api: Api, ann: Tenant, root: str, proxy: Service, stt: FakeStt
) -> None:
    session = await sign_in(api, ann.email)
    path = f"{PROJECTS}/{ann.project_id}"
    made = await api.call("POST", f"/v1/projects/{ann.project_id}/keys", ann.key, {"comment": "", "scopes": ["owner"]})
    headers = {"Authorization": f"Token {made['key']}"}
    url = f"{proxy.url}/v1/listen?encoding=linear16&sample_rate=16000"
    async with ClientSession() as http:
        async with http.ws_connect(url, headers=headers) as socket:
            suspended = await api.call("POST", f"{path}/suspend", root, {"reason": "unpaid"})
            assert suspended["propagation"] == "complete"
            async with asyncio.timeout(60):
                while (await socket.receive()).type is not WSMsgType.CLOSE:
                    pass
            assert socket.close_code == 1008
        with pytest.raises(WSServerHandshakeError) as refused:
            await http.ws_connect(url, headers=headers)
        assert refused.value.status in {401, 403}
        await api.call("GET", f"/v1/projects/{ann.project_id}", made["key"], status=401)
        detail = await api.call("GET", f"/v1/projects/{ann.project_id}", session)
        assert detail["state"] == "suspended"
        await api.call("POST", f"{path}/resume", root)
        async with http.ws_connect(url, headers=headers):
            pass
    await api.call("GET", f"/v1/projects/{ann.project_id}", made["key"])


async def test_what_an_operator_does_is_in_the_projects_audit_log_once(api: Api, ann: Tenant, root: str) -> None:
    path = f"{PROJECTS}/{ann.project_id}"
    for _ in range(2):
        await api.call("PATCH", f"{path}/limits", root, {"concurrent_streams": 3})
        await api.call("POST", f"{path}/suspend", root, {"reason": "unpaid"})
    await api.call("POST", f"{path}/resume", root)
    entries = (await api.call("GET", f"/v1/projects/{ann.project_id}/audit", await sign_in(api, ann.email)))["entries"]
    done = [entry for entry in entries if entry["actor"]["kind"] == "operator"]
    assert [(entry["action"], entry["detail"]) for entry in done] == [
        ("project.resume", {}),
        ("project.suspend", {"reason": "unpaid"}),
        ("project.limits", {"limits": {"concurrent_streams": 3}, "before": {"concurrent_streams": 100}}),
    ]
    # Who of the operators it was stays among them.
    assert {entry["actor"]["name"] for entry in done} == {None}


async def test_a_credit_is_on_the_balance_once_however_often_it_is_requested(
    api: Api, ann: Tenant, bob: Tenant, root: str
) -> None:
    path, credit_id = f"{PROJECTS}/{ann.project_id}/credits", "0199aaaa-0000-7000-8000-00000000000c"
    before = await api.call("GET", path, root)
    body = {"amount_micros": 50_000_000, "note": "Invoice 7"}
    responses = await asyncio.gather(*(api.call("PUT", f"{path}/{credit_id}", root, body) for _ in range(5)))
    assert all(response == responses[0] for response in responses)
    assert (responses[0]["credit_id"], responses[0]["amount_micros"]) == (credit_id, 50_000_000)
    await api.call("PUT", f"{path}/{new_request_id()}", root, {"amount_micros": -1, "note": "A typo"})
    after = await api.call("GET", path, root)
    assert [(one["amount_micros"], one["note"]) for one in after["credits"][:2]] == [
        (-1, "A typo"),
        (50_000_000, "Invoice 7"),
    ]
    assert after["credits"][2:] == before["credits"]
    assert after["amount_micros"] == before["amount_micros"] + 49_999_999
    (balance,) = (await api.call("GET", f"/v1/projects/{ann.project_id}/balances", ann.key))["balances"]
    assert balance["amount_micros"] == after["amount_micros"]
    # The same id with anything else is another credit's.
    for other, changed in ((ann, {**body, "amount_micros": 1}), (ann, {**body, "note": "x"}), (bob, body)):
        refused = await api.call("PUT", f"{PROJECTS}/{other.project_id}/credits/{credit_id}", root, changed, status=409)
        assert credit_id in refused["err_msg"]
    assert (await api.call("GET", path, root)) == after
    entries = (await api.call("GET", f"/v1/projects/{ann.project_id}/audit", await sign_in(api, ann.email)))["entries"]
    done = [(entry["action"], entry["detail"]) for entry in entries if entry["actor"]["kind"] == "operator"]
    assert done[1] == ("project.credit", {**body, "credit_id": credit_id})
    assert len(done) == 2


async def test_a_credit_that_is_none_is_refused_and_nothing_is_booked(api: Api, ann: Tenant, root: str) -> None:
    path = f"{PROJECTS}/{ann.project_id}/credits"
    before = await api.call("GET", path, root)
    for body in ({"amount_micros": 0, "note": "x"}, {"amount_micros": 10**13, "note": "x"}, {"amount_micros": 5}):
        await api.call("PUT", f"{path}/{new_request_id()}", root, body, status=400)
    await api.call("PUT", f"{path}/nonsense", root, {"amount_micros": 5, "note": "x"}, status=404)
    assert await api.call("GET", path, root) == before


async def test_a_change_while_redis_is_unavailable_says_so(
    api: Api, ann: Tenant, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: Any) -> Any:
        raise RedisUnavailable("unavailable", sent=False)

    monkeypatch.setattr(api.client.app[REDIS], "submit", unavailable)
    response = await api.call("POST", f"{PROJECTS}/{ann.project_id}/suspend", root)
    assert response["propagation"] == "pending"


async def test_nobody_else_operates(api: Api, ann: Tenant, bob: Tenant, root: str) -> None:
    session = await sign_in(api, ann.email)
    one = f"{PROJECTS}/{ann.project_id}"
    calls = [("GET", PROJECTS), ("GET", one), ("PATCH", f"{one}/limits"), ("POST", f"{one}/suspend"),
             ("POST", f"{one}/resume"), ("GET", "/v1/operator/live"), ("GET", f"{one}/credits"),
             ("PUT", f"{one}/credits/{ann.key_id}")]  # fmt: skip
    for method, path in calls:
        for credential in (session, ann.key):
            refused = await api.call(method, path, credential, {} if method != "GET" else None, status=403)
            assert refused["err_code"] == "INSUFFICIENT_PERMISSIONS"
    missing = f"{PROJECTS}/018f0000-0000-7000-8000-000000000009"
    absent = (
        ("GET", missing),
        ("PATCH", f"{missing}/limits"),
        ("POST", f"{missing}/suspend"),
        ("GET", f"{missing}/credits"),
    )
    for method, path in absent:
        body = {"requests_per_minute": 5} if method == "PATCH" else {}
        await api.call(method, path, root, body if method != "GET" else None, status=404)
