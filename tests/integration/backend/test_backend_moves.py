"""A project that is moved to another billing account: nothing is charged twice, and no closed month changes."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aldea.ids import new_request_id
from aldea.postgres import Database
from aldea.usage.envelope import Stamped
from aldea.usage.reading import UsageReading
from backend.pipeline.charges import reconcile_spend
from backend.usage import repository as usage
from backend.usage.money import cost_micros
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant, make_tenant, sign_in
from tests.readings import KEY

PRICE = 360_000


def reading(project_id: str, at: datetime, audio_ms: int) -> UsageReading:
    common: Any = {"key_id": KEY, "service": "streaming", "lane": "l", "path": "/v1/listen", "rank": 2, "seq": 1}
    started_ms = int(at.timestamp() * 1000)
    return UsageReading(
        request_id=new_request_id(), project_id=project_id, started_ms=started_ms, audio_ms=audio_ms, **common
    )


async def merge(database: Database, *found: UsageReading) -> None:
    await Writer(database).merge(reduce_batch(Stamped(one, 0) for one in found))


async def spent(database: Database, project_id: str) -> int:
    async with database.connection() as connection:
        return (await usage.balance(connection, project_id)).spent_micros


async def account_of(api: Api, root: str, project_id: str) -> str:
    found = await api.call("GET", f"/v1/operator/projects/{project_id}/limits", root)
    return str(found["account"]["account_id"])


async def test_a_moved_project_takes_its_open_month_along_and_leaves_what_closed_months_say(
    api: Api, ann: Tenant, bob: Tenant, database: Database
) -> None:
    root = await sign_in(api, (await make_tenant(api, "root", operator=True)).email)
    now = datetime.now(UTC)
    long_ago = (now.replace(day=1) - timedelta(days=40)).replace(day=2)
    session = await sign_in(api, ann.email)
    await merge(database, reading(ann.project_id, long_ago, 7_000), reading(ann.project_id, now, 3_000))
    moved = await api.call(
        "PUT", f"/v1/operator/projects/{ann.project_id}/account", root,
        {"account_id": await account_of(api, root, bob.project_id)},
    )  # fmt: skip
    assert moved["moved_micros"] == cost_micros(3_000, PRICE)
    assert await account_of(api, root, ann.project_id) == await account_of(api, root, bob.project_id)
    # What was closed for Ann's own account stays there; the open month is Bob's to pay.
    assert await spent(database, bob.project_id) == cost_micros(3_000, PRICE)
    closed = await api.call("GET", f"/v1/billing/statements/{long_ago:%Y-%m}", session)
    assert (closed["closed"], closed["charged_micros"]) == (True, cost_micros(7_000, PRICE))
    await merge(database, reading(ann.project_id, now, 500))
    opened = await api.call("GET", f"/v1/billing/statements/{now:%Y-%m}", await sign_in(api, bob.email))
    assert opened["charged_micros"] == cost_micros(3_000, PRICE) + cost_micros(500, PRICE)
    assert (await api.call("GET", f"/v1/billing/statements/{now:%Y-%m}", session))["charged_micros"] == 0
    assert await reconcile_spend(database) == []
    again = await api.call("GET", f"/v1/billing/statements/{long_ago:%Y-%m}", session)
    assert again == closed


async def test_readings_that_are_merged_while_a_project_moves_to_and_fro_are_charged_once(
    api: Api, ann: Tenant, bob: Tenant, database: Database
) -> None:
    root = await sign_in(api, (await make_tenant(api, "root", operator=True)).email)
    homes = [await account_of(api, root, one.project_id) for one in (ann, bob)]
    draw, now = random.Random(3), datetime.now(UTC)

    async def use() -> int:
        micros = 0
        for _ in range(20):
            audio_ms = draw.randrange(1, 9_999)
            await merge(database, reading(ann.project_id, now, audio_ms))
            micros += cost_micros(audio_ms, PRICE)
        return micros

    async def move() -> int:
        for turn in range(1, 8):
            body = {"account_id": homes[turn % 2]}
            await api.call("PUT", f"/v1/operator/projects/{ann.project_id}/account", root, body)
        return 0

    charged = sum(await asyncio.gather(use(), use(), move()))
    assert await reconcile_spend(database) == []
    assert await spent(database, bob.project_id) == charged


@pytest.mark.parametrize(
    ("body", "status"),
    [({"account_id": "0190a5e2-0000-7000-8000-0000000000ff"}, 404), ({"account_id": "x"}, 400), ({}, 400)],
    ids=["an account that is none", "no id", "nothing"],
)
async def test_a_move_to_nowhere_is_refused_and_nothing_moves(
    api: Api, ann: Tenant, body: dict[str, str], status: int
) -> None:
    root = await sign_in(api, (await make_tenant(api, "root", operator=True)).email)
    before = await account_of(api, root, ann.project_id)
    await api.call("PUT", f"/v1/operator/projects/{ann.project_id}/account", root, body, status=status)
    await api.call("PUT", f"/v1/operator/projects/{new_request_id()}/account", root, {"account_id": before}, status=404)
    await api.call(
        "PUT", f"/v1/operator/projects/{ann.project_id}/account", await sign_in(api, ann.email),
        {"account_id": before}, status=403,
    )  # fmt: skip
    assert await account_of(api, root, ann.project_id) == before
