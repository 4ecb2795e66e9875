"""The operators' console over HTTP: what proxies report, any request, and keys by their end."""

import asyncio
import time
from typing import Any

import redis.asyncio as redis

from aldea.redis.schema import FLEET_TASKS
from aldea.upstream import Upstreams
from aldea.upstream.fleet import FleetReports
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank
from backend.fleet.views import read
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant, make_tenant, sign_in
from tests.readings import reading
from tests.support.proxies import patient_link

NOBODY = "0190a5e2-0000-7000-8000-00000000000a"


async def looking(api: Api) -> Any:
    session = await sign_in(api, (await make_tenant(api, "root", operator=True)).email)
    return session, await api.call("GET", "/v1/operator/fleet", session)


async def test_an_operator_sees_the_servers_that_proxies_report(
    api: Api, redis_url: str, redis_client: redis.Redis
) -> None:
    session, empty = await looking(api)
    assert (empty["reported"], empty["servers"], empty["tasks"]) == (True, [], [])
    assert [one["left"] for one in empty["budgets"]] == [None] * 4
    upstreams = Upstreams(["http://own:8800", "http://other:8800"])
    upstreams.note_failover(NOBODY, upstreams.servers[0], upstreams.servers[1], "died")
    async with patient_link(redis_url) as link:
        reporting = FleetReports(link, upstreams, service="ws-proxy", lane="live1", running=lambda: 3)
        await reporting.report()
        await reporting.report()
        other = FleetReports(link, upstreams, service="http-proxy", lane="live1", running=lambda: 4)
        await other.report()
        found = await api.call("GET", "/v1/operator/fleet", session)
        assert [(one["name"], one["seen_by"]) for one in found["servers"]] == [("other:8800", 2), ("own:8800", 2)]
        assert sorted(task["running"] for task in found["tasks"]) == [3, 4]
        assert {one["taken"] for one in found["failovers"]} == {"other:8800"}
        # A task that ended is forgotten: its place in the list is over, whether or not anybody else reports.
        await redis_client.zadd(FLEET_TASKS, {other.task: 1})
        assert [view["task"] for view in (await read(link)).views] == [reporting.task]  # type: ignore[union-attr]
        await reporting.report()
        assert await redis_client.zcard(FLEET_TASKS) == 1
        assert 0 < await redis_client.ttl(FLEET_TASKS) <= 35


async def test_any_request_is_found_by_its_id_with_whose_it_is(api: Api, ann: Tenant) -> None:
    common: dict[str, Any] = {"project_id": ann.project_id, "key_id": ann.key_id, "started_ms": int(time.time() * 1000)}
    ended = reading(**common, rank=Rank.FINAL, audio_ms=1500, status=200)
    slow = reading(**common, audio_ms=500, first_word_ms=7000)
    await Writer(api.database).merge(reduce_batch([Stamped(ended, 0), Stamped(slow, 0)]))
    session, fleet = await looking(api)
    assert [(one["request_id"], one["first_word_ms"]) for one in fleet["slowest"]] == [(slow.request_id, 7000)]
    found = await api.call("GET", f"/v1/operator/requests/{ended.request_id}", session)
    assert (found["project_id"], found["api_key_id"], found["last4"]) == (ann.project_id, ann.key_id, ann.key[-4:])
    assert (found["state"], found["audio_seconds"], found["code"]) == ("final", 1.5, 200)
    await api.call("GET", f"/v1/operator/requests/{NOBODY}", session, status=404)
    [key] = (await api.call("GET", f"/v1/operator/keys?last4={ann.key[-4:]}", session))["keys"]
    assert (key["api_key_id"], key["project_id"]) == (ann.key_id, ann.project_id)
    assert ann.key not in str(key)
    await api.call("GET", "/v1/operator/keys?last4=x", session, status=400)


async def test_nobody_else_looks(api: Api, ann: Tenant) -> None:
    session = await sign_in(api, ann.email)
    paths = ("fleet", f"requests/{NOBODY}", "keys?last4=abcd")
    await asyncio.gather(*(api.call("GET", f"/v1/operator/{path}", session, status=403) for path in paths))
    await api.call("GET", "/v1/operator/fleet", ann.key, status=403)
