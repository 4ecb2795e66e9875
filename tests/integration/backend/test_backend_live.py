"""What runs now over HTTP: counted by leases, described by rows, by lane for operators."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession
from yarl import URL

from aldea.redis.errors import RedisUnavailable
from aldea.redis.schema import leases_key
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank, UsageReading
from backend.app import REDIS
from onebox import stores
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant, backend_env, make_tenant, sign_in
from tests.readings import reading
from tests.support.failover import Name
from tests.support.proxies import Service


@pytest.fixture
async def rows(api: Api, ann: Tenant, bob: Tenant) -> list[UsageReading]:
    """Two streams and a file of Ann's that run, one that ended, and one of Bob's that runs."""

    now_ms = int(datetime.now(UTC).timestamp() * 1000)

    def one(tenant: Tenant, **changes: Any) -> UsageReading:
        common = {"project_id": tenant.project_id, "key_id": tenant.key_id, "started_ms": now_ms}
        return reading(**{**common, **changes})

    made = [
        one(ann, audio_ms=1000, tags=("prod",)),
        one(ann, audio_ms=500, lane="live2", path="/v1/listen/pcm", started_ms=now_ms + 1),
        one(ann, service="prerecorded"),
        one(ann, rank=Rank.FINAL),
        one(bob, audio_ms=250),
    ]
    await Writer(api.database).merge(reduce_batch(Stamped(found, 0) for found in made))
    return made


async def lease(redis_client: redis.Redis, found: UsageReading, seconds: float = 30) -> None:
    now, _ = await redis_client.time()
    await redis_client.zadd(leases_key(found.project_id), {found.request_id: (int(now) + seconds) * 1000})


async def test_a_project_sees_its_own_requests_that_hold_a_lease(
    api: Api, ann: Tenant, rows: list[UsageReading], redis_client: redis.Redis
) -> None:
    await lease(redis_client, rows[0])
    await lease(redis_client, rows[1])
    await lease(redis_client, rows[2], seconds=-1)
    unwritten = reading(project_id=ann.project_id)
    await lease(redis_client, unwritten)
    live = await api.call("GET", f"/v1/projects/{ann.project_id}/live", ann.key)
    assert live["count"] == 3
    assert [stream["request_id"] for stream in live["streams"]] == [rows[1].request_id, rows[0].request_id]
    assert live["streams"][1] == {
        "request_id": rows[0].request_id, "created": live["streams"][1]["created"], "api_key_id": ann.key_id,
        "service": "streaming", "lane": "live1", "path": "/v1/listen", "audio_seconds": 1.0, "tags": ["prod"],
    }  # fmt: skip


async def test_without_redis_the_rows_are_what_is_known(
    api: Api, ann: Tenant, rows: list[UsageReading], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any) -> Any:
        raise RedisUnavailable("unavailable", sent=False)

    monkeypatch.setattr(api.client.app[REDIS], "call", unavailable)
    live = await api.call("GET", f"/v1/projects/{ann.project_id}/live", ann.key)
    assert live["count"] == len(live["streams"]) == 3
    limits = await api.call("GET", f"/v1/projects/{ann.project_id}/limits", ann.key)
    assert limits["used"]["streams_now"] is None


async def test_an_operator_sees_what_runs_by_lane(api: Api, rows: list[UsageReading]) -> None:
    root = await sign_in(api, (await make_tenant(api, "root", operator=True)).email)
    lanes = (await api.call("GET", "/v1/operator/live", root))["lanes"]
    oldest = [round(datetime.fromisoformat(lane.pop("oldest")).timestamp() * 1000) for lane in lanes]
    assert oldest == [rows[2].started_ms, rows[0].started_ms, rows[1].started_ms]
    assert lanes == [
        {"lane": "live1", "service": "prerecorded", "streams": 1, "projects": 1, "audio_seconds": 0.0},
        {"lane": "live1", "service": "streaming", "streams": 2, "projects": 2, "audio_seconds": 1.25},
        {"lane": "live2", "service": "streaming", "streams": 1, "projects": 1, "audio_seconds": 0.5},
    ]


# What a command may take, and what one takes here at least. More than a hundred requests at once are seconds of work on
# a busy machine, which is no Redis that fails.
COMMAND_SECONDS = 2.0
COMMAND_DELAY_SECONDS = 0.05


async def test_many_who_look_at_once_are_the_platforms_own_queue_and_no_dead_redis(
    database_url: str, redis_url: str, ann: Tenant, http: ClientSession, tmp_path: Path
) -> None:
    far = Name(URL(redis_url).port or 0, delay=COMMAND_DELAY_SECONDS)
    await far.start()
    env = backend_env(database_url, stores.redis_url(far.port)) | {"REDIS_COMMAND_SECONDS": str(COMMAND_SECONDS)}
    service = Service("backend", tmp_path / "backend.log", **env)
    try:
        await _all_look_at_once(service.url, ann, http)
    finally:
        await asyncio.to_thread(service.process.stop)
        await far.stop()


async def _all_look_at_once(backend_url: str, ann: Tenant, http: ClientSession) -> None:
    base = f"{backend_url}/v1/projects/{ann.project_id}"
    headers = {"Authorization": f"Token {ann.key}"}

    async def call(method: str, url: str, body: Any = None) -> tuple[int, Any]:
        async with http.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def grant_make_and_revoke() -> list[Any]:
        granted, _ = await call("POST", f"{backend_url}/v1/auth/grant")
        made, key = await call("POST", f"{base}/keys", {"comment": "", "scopes": ["usage:write"]})
        _, revoked = await call("DELETE", f"{base}/keys/{key['api_key_id']}")
        return [granted, made, revoked["propagation"]]

    looks = [call("GET", f"{base}/live") for _ in range(100)]
    *changed, looked = await asyncio.gather(*(grant_make_and_revoke() for _ in range(5)), asyncio.gather(*looks))
    assert changed == [[200, 200, "complete"]] * 5
    assert {status for status, _ in looked} == {200}
