"""The official SDK's management client reads usage from a real Platform API: typed responses, every field filled."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from deepgram import AsyncDeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from deepgram.types.project_request_response import ProjectRequestResponse
from deepgram.types.usage_breakdown_v1response_results_item import UsageBreakdownV1ResponseResultsItem

from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank, UsageReading
from backend.credits import repository as credits_of
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant
from tests.readings import reading

NOW = datetime.min.replace(tzinfo=UTC)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the test itself: tests are collected long before the last of them runs, perhaps on another day."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))


@pytest.fixture
async def written(api: Api, ann: Tenant) -> list[UsageReading]:
    """A stream and a file of ann's, an hour ago."""
    common: dict[str, Any] = {
        "project_id": ann.project_id,
        "key_id": ann.key_id,
        "started_ms": int((NOW - timedelta(hours=1)).timestamp() * 1000),
        "rank": Rank.FINAL,
    }
    stream = reading(**common, audio_ms=5_400_000, status=101, close_code=1000, tags=("prod",))
    file = reading(**common, audio_ms=1_800_000, status=200, service="prerecorded", path="/v1/listen")
    await Writer(api.database).merge(reduce_batch(Stamped(one, 0) for one in (stream, file)))
    return [stream, file]


@pytest.fixture
async def sdk(backend_url: str, ann: Tenant) -> AsyncIterator[Any]:
    environment = DeepgramClientEnvironment(
        base=backend_url, production=backend_url, agent=backend_url, agent_rest=backend_url
    )
    async with httpx.AsyncClient(timeout=60) as client:
        yield AsyncDeepgramClient(api_key=ann.key, environment=environment, httpx_client=client).manage.v1.projects


async def test_requests_are_listed_and_got(sdk: Any, ann: Tenant, written: list[UsageReading]) -> None:
    start, end = NOW - timedelta(hours=2), NOW
    page = await sdk.requests.list(ann.project_id, start=start, end=end, limit=10, page=0, status="succeeded")
    assert (page.page, page.limit) == (0, 10)
    assert {row.request_id for row in page.requests} == {one.request_id for one in written}
    streams = await sdk.requests.list(ann.project_id, method="streaming", endpoint="listen", accessor=ann.key_id)
    [row] = streams.requests
    assert isinstance(row, ProjectRequestResponse)
    assert (row.request_id, row.project_uuid, row.api_key_id) == (written[0].request_id, ann.project_id, ann.key_id)
    assert row.created is not None
    assert abs(row.created - NOW + timedelta(hours=1)) < timedelta(seconds=1)
    assert (row.path, row.code, row.deployment) == ("/v1/listen", 101, "hosted")
    assert row.response is not None
    assert row.response["details"]["total_audio"] == 5400.0
    assert (await sdk.requests.list(ann.project_id, status="failed")).requests == []

    one = (await sdk.requests.get(ann.project_id, written[0].request_id)).request
    assert one.dict() == row.dict()


@pytest.mark.usefixtures("written")
async def test_usage_is_got_and_broken_down(sdk: Any, ann: Tenant) -> None:
    start, end = (NOW - timedelta(days=6)).date().isoformat(), NOW.date().isoformat()
    usage = await sdk.usage.get(ann.project_id, start=start, end=end)
    assert (usage.start, usage.end) == (start, end)
    assert (usage.resolution.units, usage.resolution.amount) == ("day", 1)
    assert sum(day["hours"] for day in usage.results) == 2.0

    found = await sdk.usage.breakdown.get(ann.project_id, start=start, end=end, grouping="accessor")
    [result] = found.results
    assert isinstance(result, UsageBreakdownV1ResponseResultsItem)
    assert (result.hours, result.total_hours, result.requests) == (2.0, 2.0, 2)
    assert (result.agent_hours, result.tokens_in, result.tokens_out, result.tts_characters) == (0, 0, 0, 0)
    assert (result.grouping.accessor, result.grouping.start, result.grouping.end) == (ann.key_id, start, end)
    assert found.resolution.amount == 7

    tagged = await sdk.usage.breakdown.get(ann.project_id, grouping="tags", tag="prod")
    assert [(row.grouping.tags, row.hours) for row in tagged.results] == [(["prod"], 1.5)]
    by_method = await sdk.usage.breakdown.get(ann.project_id, grouping="method")
    assert {row.grouping.method: row.hours for row in by_method.results} == {"streaming": 1.5, "sync": 0.5}


@pytest.mark.usefixtures("written")
async def test_balances_are_listed_and_got(sdk: Any, api: Api, ann: Tenant) -> None:
    async with api.database.connection() as connection:
        await credits_of.insert(connection, ann.project_id, 10_000_000, "test")
    [listed] = (await sdk.billing.balances.list(ann.project_id)).balances
    assert (listed.amount, listed.units) == (10 - 2 * 0.36, "usd")
    one = await sdk.billing.balances.get(ann.project_id, listed.balance_id)
    assert (one.balance_id, one.amount, one.units) == (ann.project_id, listed.amount, "usd")
