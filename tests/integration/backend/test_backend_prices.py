"""The price book over HTTP, and what requests are charged by it: each at its own price, whatever comes later."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank, UsageReading
from backend.pipeline.charges import reconcile_charges
from backend.pipeline.rollups import reconcile
from backend.usage.money import cost_micros
from backend.usage.period import DAY_MS, day_of, start_of
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant, make_tenant, sign_in
from tests.readings import reading

PRICES = "/v1/operator/prices"
NOW_MS = TODAY_MS = 0


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the test itself: tests are collected long before the last of them runs, perhaps on another day."""
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    monkeypatch.setitem(globals(), "NOW_MS", now_ms)
    monkeypatch.setitem(globals(), "TODAY_MS", start_of(day_of(now_ms)))


@pytest.fixture
async def root(api: Api) -> str:
    """A session of an operator."""
    tenant = await make_tenant(api, "root", operator=True)
    return await sign_in(api, tenant.email)


def price(begins_ms: int, micros: float, **changes: Any) -> dict[str, Any]:
    begins = datetime.fromtimestamp(begins_ms / 1000, UTC).isoformat()
    return {"plan": "free", "service": "streaming", "micros_per_hour": micros, "effective_from": begins, **changes}


def of(tenant: Tenant, started_ms: int, **changes: Any) -> UsageReading:
    return reading(project_id=tenant.project_id, key_id=tenant.key_id, started_ms=started_ms, **changes)


async def write(api: Api, *readings: UsageReading) -> None:
    await Writer(api.database).merge(reduce_batch(Stamped(one, 0) for one in readings))


async def charge_of(api: Api, tenant: Tenant, one: UsageReading) -> tuple[int, int]:
    found = await api.call("GET", f"/v1/projects/{tenant.project_id}/requests/{one.request_id}", tenant.key)
    return found["price_id"], found["charge_micros"]


async def test_the_price_in_force_at_the_start_is_frozen_with_the_first_reading(
    api: Api, ann: Tenant, root: str
) -> None:
    begins = TODAY_MS + 2 * DAY_MS
    added = await api.call("POST", PRICES, root, price(begins, 720_000))
    last = of(ann, begins - 1, audio_ms=10_000)
    first = of(ann, begins, audio_ms=10_000)
    recorded = of(ann, begins, audio_ms=10_000, service="prerecorded", path="/transcribe")
    await write(api, last, first, recorded)
    old, charge = await charge_of(api, ann, last)
    assert charge == 1000
    assert await charge_of(api, ann, first) == (added["price_id"], 2000)
    assert (await charge_of(api, ann, recorded))[1] == 1000
    # The account's plan changes the price of what begins, not of what runs.
    async with api.database.connection() as connection:
        await connection.execute("update billing_accounts set plan = 'postpaid'")
    for one, seconds in ((last, 30), (first, 30), (last, 5), (first, 5)):
        later = of(ann, one.started_ms, request_id=one.request_id, seq=100 - seconds, audio_ms=seconds * 1000)
        await write(api, later)
        assert await charge_of(api, ann, one) == (
            (old, seconds * 100) if one is last else (added["price_id"], seconds * 200)
        )
    for day in (day_of(begins - 1), day_of(begins)):
        assert await reconcile(api.database, day) == []
        assert await reconcile_charges(api.database, day) == []


async def test_a_model_with_a_price_of_its_own_is_charged_at_that_and_others_at_that_of_any(
    api: Api, ann: Tenant, root: str
) -> None:
    begins = TODAY_MS + 2 * DAY_MS
    later = begins + DAY_MS
    fast = await api.call("POST", PRICES, root, price(begins, 900_000, model="fast"))
    assert fast["model"] == "fast"
    # Repeated, it is the same; another one of any model may begin at the same time.
    assert await api.call("POST", PRICES, root, price(begins, 900_000, model="fast")) == fast
    usual = await api.call("POST", PRICES, root, price(begins, 720_000))
    await api.call("POST", PRICES, root, price(begins, 1, model="fast"), status=409)
    dearer = await api.call("POST", PRICES, root, price(later, 1_800_000, model="fast"))
    requests = {
        of(ann, begins, audio_ms=4000, model="fast"): (fast["price_id"], 1000),
        of(ann, begins, audio_ms=4000, model="slow"): (usual["price_id"], 800),
        of(ann, begins, audio_ms=4000): (usual["price_id"], 800),
        of(ann, later, audio_ms=4000, model="fast"): (dearer["price_id"], 2000),
    }
    before = of(ann, begins - 1, audio_ms=4000, model="fast")
    await write(api, *requests, before)
    for one, charged in requests.items():
        assert await charge_of(api, ann, one) == charged
    assert (await charge_of(api, ann, before))[1] == 400
    for day in (begins - 1, begins, later):
        assert await reconcile_charges(api.database, day_of(day)) == []
    prices = (await api.call("GET", f"/v1/projects/{ann.project_id}/prices", ann.key))["prices"]
    assert [(one["model"], one["micros_per_hour"]) for one in prices if one["service"] == "streaming"] == [
        (None, 360_000), (None, 720_000), ("fast", 900_000), ("fast", 1_800_000),
    ]  # fmt: skip
    for model in ("", " ", "x" * 101, "a b", "é", 5, ["fast"]):
        refused = await api.call("POST", PRICES, root, price(later, 1, model=model), status=400)
        assert "model" in refused["err_msg"]


async def test_prices_change_under_load_and_every_charge_is_its_own_prices(api: Api, ann: Tenant, root: str) -> None:
    """Writers race over readings on both sides of prices that are added meanwhile; yesterday stays as it is."""
    draw = random.Random(20261130)
    yesterday = [of(ann, TODAY_MS - 1 - n, rank=Rank.FINAL, audio_ms=draw.randrange(90_000)) for n in range(40)]
    await write(api, *yesterday)
    path = f"/v1/projects/{ann.project_id}/usage/csv?start={day_of(TODAY_MS - 1)}&end={day_of(TODAY_MS - 1)}&by="

    async def bill() -> list[bytes]:
        found = []
        for by in ("request", "day"):
            headers = {"Authorization": f"Bearer {ann.key}"}
            async with api.client.get(path + by, headers=headers) as response:
                assert response.status == 200
                found.append(await response.read())
        return found

    before = await bill()
    begins = [TODAY_MS + (n + 2) * DAY_MS for n in range(4)]
    sent: list[UsageReading] = []
    for _ in range(120):
        one = of(ann, draw.choice(begins) + draw.choice((-1, 0, 1)) * draw.randrange(1, 1000), seq=1)
        sent += [
            of(ann, one.started_ms, request_id=one.request_id, seq=seq, audio_ms=draw.randrange(90_000))
            for seq in range(1, 6)
        ]

    async def deliver(seed: int) -> None:
        mine = random.Random(seed)
        some = mine.sample(sent, len(sent))
        while some:
            batch, some = some[:23], some[23:]
            await write(api, *batch)

    async def announce() -> None:
        for number, begin in enumerate(begins):
            await api.call("POST", PRICES, root, price(begin, 400_000 + number * 123_457))

    await announce()  # before the first request begins that they are for, as the API makes sure
    more = [TODAY_MS + (n + 20) * DAY_MS for n in range(8)]

    async def announce_more() -> None:
        for begin in more:
            await api.call("POST", PRICES, root, price(begin, 1_000_000))

    await asyncio.gather(deliver(1), deliver(2), deliver(3), announce_more())
    async with api.database.connection() as connection:
        rows = await connection.fetch(
            "select started_ms, audio_ms, charge_micros, micros_per_hour from usage_requests"
            " join prices using (price_id) where started_ms >= $1", begins[0] - 1000
        )  # fmt: skip
        total = await connection.fetchval("select sum(charge_micros)::bigint from usage_daily")
    assert len(rows) == 120
    for row in rows:
        begun = [n for n, begin in enumerate(begins) if begin <= row["started_ms"]]
        assert row["micros_per_hour"] == (400_000 + begun[-1] * 123_457 if begun else 360_000)
        assert row["charge_micros"] == cost_micros(row["audio_ms"], row["micros_per_hour"])
    assert total == sum(row["charge_micros"] for row in rows) + sum((one.audio_ms + 5) // 10 for one in yesterday)
    assert await bill() == before


async def test_a_price_that_begins_in_the_past_or_is_absurd_is_refused_and_nothing_is_added(
    api: Api, ann: Tenant, root: str
) -> None:
    before = await api.call("GET", PRICES, root)
    later = TODAY_MS + 9 * DAY_MS
    bad = [
        price(NOW_MS - 1000, 1), price(NOW_MS + 1000, 1), price(TODAY_MS + 500 * DAY_MS, 1), price(later, -1),
        price(later, 10**10), price(later, 0.5), price(later, 1, plan="gold"), price(later, 1, service="sync"),
        price(later, 1, effective_from="2020-01-01"), price(later, 1, effective_from="soon"),
        {**price(later, 1), "plan": None}, {},
    ]  # fmt: skip
    for body in bad:
        refused = await api.call("POST", PRICES, root, body, status=400)
        assert "allowed: " in refused["err_msg"]
    for credential in (ann.key, await sign_in(api, ann.email)):
        await api.call("POST", PRICES, credential, price(later, 1), status=403)
        await api.call("GET", PRICES, credential, status=403)
    assert await api.call("GET", PRICES, root) == before


async def test_a_price_counts_once_however_often_it_is_requested_and_is_never_another(
    api: Api, ann: Tenant, root: str
) -> None:
    body = price(TODAY_MS + 2 * DAY_MS, 300_000)
    made = await asyncio.gather(*(api.call("POST", PRICES, root, body) for _ in range(5)))
    assert made == [made[0]] * 5
    assert made[0]["price_per_hour"] == 0.3
    refused = await api.call("POST", PRICES, root, {**body, "micros_per_hour": 300_001}, status=409)
    assert "another time" in refused["err_msg"]
    listed = (await api.call("GET", PRICES, root))["prices"]
    assert listed[0] == made[0]
    assert len(listed) == 7
    paid = (await api.call("GET", f"/v1/projects/{ann.project_id}/prices", ann.key))["prices"]
    assert [(one["service"], one["micros_per_hour"], one["effective_from"] is None) for one in paid] == [
        ("streaming", 360_000, True), ("streaming", 300_000, False), ("prerecorded", 360_000, True)
    ]  # fmt: skip


async def test_the_database_itself_changes_no_price_and_takes_none_that_has_begun(api: Api) -> None:
    add = "insert into prices (plan, service, micros_per_hour, effective_from) values ('free', 'streaming', 1, $1)"
    async with api.database.connection() as connection:
        for statement in ("update prices set micros_per_hour = 1", "delete from prices", "truncate prices"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(statement)
        with pytest.raises(asyncpg.CheckViolationError, match="allowed: a minute from now"):
            await connection.execute(add, datetime.now(UTC) + timedelta(seconds=1))


@pytest.mark.parametrize("audio_ms", [0, 1, 4, 5, 3_599_999, 3_600_000, 2**53 - 1])
@pytest.mark.parametrize("micros", [0, 1, 360_000, 999_999_999, 1_000_000_000])
async def test_the_database_rounds_as_the_arithmetic_does(api: Api, audio_ms: int, micros: int) -> None:
    async with api.database.connection() as connection:
        charge = await connection.fetchval("select charge_micros($1, $2)", audio_ms, micros)
    assert charge == cost_micros(audio_ms, micros)
